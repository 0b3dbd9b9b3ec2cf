"""viser's server, shut to everybody but the browser that has the printed address.

By itself viser binds to every address of the machine, hands its scene to a websocket of any
origin and can open a tunnel to a public address. Here it is bound to one address, every request
passes `guard.py` first, and the tunnel cannot be opened.
"""

import http.client
import io
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ...core.devices import require
from ...core.errors import InputError, MissingDependencyError
from .guard import PAGE_HEADERS, Guard, is_loopback

log = logging.getLogger(__name__)

Answer = Callable[[Any, Any], Any]
"""(connection, request) -> response, or None for the handshake to go on."""


def check_host(host: str, *, i_know: bool) -> None:
    """Refuse an address that other machines reach, unless that is meant.

    Raises
    ------
    InputError
        It is no loopback address, and `i_know` is false.
    """
    if not i_know and not is_loopback(host):
        raise InputError(
            f"host {host}: other machines could look at the faces; use 127.0.0.1 and an SSH "
            "tunnel (ssh -L), or say --i-know"
        )


def check_address(host: str) -> None:
    """Refuse an address that this machine has not: viser would wait for ever.

    Raises
    ------
    InputError
        It has not, or the name is nobody's.
    """
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(where)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"host {host}: not an address of this machine ({error}); use 127.0.0.1"
        ) from error


def start_server(*, host: str = "127.0.0.1", port: int = 8080) -> tuple[Any, str]:
    """Start a guarded viser server.

    Parameters
    ----------
    port : int
        The next free one from here on; 0 for any.

    Returns
    -------
    viser.ViserServer
        Empty.
    str
        The address to open; it holds the key.

    Raises
    ------
    InputError
        The address is none of this machine's.
    MissingDependencyError
        viser is not installed, or a version whose requests cannot be guarded.
    """
    check_address(host)
    viser: Any = require("viser", extra="view")
    guard = Guard(host=host)

    class LocalServer(viser.ViserServer):  # type: ignore[misc]
        """Without the tunnel, whoever asks for it."""

        def request_share_url(self, verbose: bool = True) -> None:
            log.warning("view: a public address was asked for and refused")

        def stop(self) -> None:
            with redirect_stdout(io.StringIO()):  # viser tells that it stops, whatever is asked
                super().stop()

    with _guarded(guard), redirect_stdout(io.StringIO()):  # its address lacks the key
        server = LocalServer(host=host, port=port, label="facekit", verbose=False)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host
    try:
        _check_guard(shown, server.get_port())
    except BaseException:
        server.stop()
        raise
    server.gui.configure_theme(show_share_button=False, show_logo=False)
    named = f"[{shown}]" if ":" in shown else shown
    return server, f"http://{named}:{server.get_port()}/?key={guard.key}"


@contextmanager
def _guarded(guard: Guard) -> Iterator[None]:
    """Let every websockets server that is started meanwhile ask the guard first.

    viser takes no handler of its own for requests; it looks `serve` up when it starts, and has
    bound its port when its constructor returns.
    """
    from websockets.asyncio import server as websockets_server

    serve: Any = websockets_server.serve

    def guarded_serve(*args: Any, process_request: Answer | None = None, **options: Any) -> Any:
        return serve(*args, process_request=_asking(guard, process_request), **options)

    websockets_server.serve = guarded_serve  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        websockets_server.serve = serve  # type: ignore[misc]


def _asking(guard: Guard, answer: Answer | None) -> Answer:
    """Return a handler of requests that refuses or lets `answer` go on."""

    def ask_first(connection: Any, request: Any) -> Any:
        port = int(connection.local_address[1])
        reason = guard.refusal(request.path, request.headers, port=port)
        if reason is not None:
            response = connection.respond(403, f"{reason}\n")
        else:
            response = None if answer is None else answer(connection, request)
        if response is not None:
            for name, value in PAGE_HEADERS.items():
                response.headers[name] = value
            if reason is None and guard.brings_key(request.path):
                response.headers["Set-Cookie"] = guard.cookie(port)
        return response

    return ask_first


def _check_guard(host: str, port: int) -> None:
    """Make sure that a stranger is refused: a viser built otherwise could miss the guard."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Origin": "http://elsewhere.invalid"})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 403:
        raise MissingDependencyError(
            f"viser answers strangers (status {status}): this version cannot be guarded; run: "
            "pip install 'viser>=1,<2'"
        )
