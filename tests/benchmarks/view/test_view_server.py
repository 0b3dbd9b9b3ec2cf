"""The viewer's server as a stranger meets it, over real sockets."""

import http.client
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.view.contents import Contents
from facekit.benchmarks.view.scene import Layer, Shown, scalar_coloring
from facekit.benchmarks.view.server import start_server
from facekit.benchmarks.view.window import Window
from facekit.core.errors import InputError, MissingDependencyError
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.mesh import Mesh

viser = pytest.importorskip("viser")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets")


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Any, int, str]]:
    """Give a server, its port and its key."""
    server, address = start_server(port=0)
    yield server, server.get_port(), address.partition("key=")[2]
    server.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "", "a" * 80])
def test_an_address_that_this_machine_has_not_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="not an address of this machine"):
        start_server(host=host, port=0)


def answer(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def handshake(port: int, **headers: str) -> int:
    """Return the status of a websocket's handshake; 101 opens it."""
    wanted = {
        "Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": f"viser-v{viser.__version__}", **headers,
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
        stranger.sendall(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())
        return int(stranger.recv(64).split()[1])


def test_the_printed_address_opens_the_page_and_its_cookie_the_rest(
    running: tuple[Any, int, str],
) -> None:
    _, port, key = running
    status, headers, page = answer(port, f"/?key={key}")
    assert status == 200 and b"<html" in page
    assert headers["Set-Cookie"].endswith("HttpOnly; SameSite=Strict")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    status, headers, _ = answer(port, Cookie=cookie)
    assert status == 200 and "Set-Cookie" not in headers
    assert handshake(port, Cookie=cookie, Origin=f"http://127.0.0.1:{port}") == 101


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_another_origin_gets_403_for_page_and_websocket(
    origin: str, running: tuple[Any, int, str]
) -> None:
    _, port, key = running
    cookie = f"facekit-view-{port}={key}"
    status, _, said = answer(port, f"/?key={key}", Origin=origin)
    assert status == 403 and b"<html" not in said
    assert handshake(port, Cookie=cookie, Origin=origin) == 403


def test_without_key_origin_or_host_there_is_nothing(running: tuple[Any, int, str]) -> None:
    _, port, key = running
    cookie, ours = f"facekit-view-{port}={key}", f"http://127.0.0.1:{port}"
    assert answer(port)[0] == 403
    assert answer(port, "/?key=guess")[0] == 403
    assert answer(port, f"/?key={key}", Host=f"elsewhere.example:{port}")[0] == 403
    assert handshake(port, Origin=ours) == 403
    assert handshake(port, Cookie=cookie) == 403
    rebound = f"elsewhere.example:{port}"
    assert handshake(port, Cookie=cookie, Host=rebound, Origin=f"http://{rebound}") == 403


@pytest.mark.parametrize("path", ["/../../../etc/passwd", "/%2e%2e/%2e%2e/x", "/..%5c..%5cx"])
def test_no_path_leads_out(path: str, running: tuple[Any, int, str]) -> None:
    _, port, key = running
    assert answer(port, path, Cookie=f"facekit-view-{port}={key}")[0] == 404


def test_it_listens_on_loopback_alone(running: tuple[Any, int, str]) -> None:
    server, port, _ = running
    with pytest.raises(OSError):  # bound to all addresses, it would answer on this one, too
        socket.create_connection(("127.0.0.2", port), timeout=5)
    assert server.get_host() == "127.0.0.1"


def test_the_tunnel_cannot_be_opened(
    running: tuple[Any, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _, _ = running
    opened: list[object] = []
    monkeypatch.setattr("viser._viser.ViserTunnel", lambda *a: opened.append(a))
    assert server.request_share_url() is None and not opened


def test_a_viser_that_misses_the_guard_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import websockets
    from websockets.asyncio import server as websockets_server

    own = SimpleNamespace(serve=websockets_server.serve)  # a viser with a reference of its own
    apart = SimpleNamespace(
        asyncio=SimpleNamespace(server=own), datastructures=websockets.datastructures,
        exceptions=websockets.exceptions,
    )  # fmt: skip
    monkeypatch.setattr("viser.infra._infra.websockets", apart)
    with pytest.raises(MissingDependencyError, match="cannot be guarded"):
        start_server(port=0)


@pytest.fixture
def contents(ball: Mesh, make_rig: Callable[..., Rig]) -> Contents:
    """Give a ball with three cameras, and something that cannot be read."""

    def show(name: str) -> Shown:
        if name == "broken":
            raise InputError("broken: cannot be read")
        height = ball.vertices[:, 1].astype(np.float32)
        layer = Layer(
            name="scan", mesh=ball, colorings={"sigma_mm": scalar_coloring("sigma_mm", height)}
        )
        return Shown(layers=(layer,), cameras=make_rig("a<b>", "c", "d").cameras)

    return Contents(title="A <b>", kind="build", choices=("one", "broken"), show=show)


def test_controls_change_what_is_shown(running: tuple[Any, int, str], contents: Contents) -> None:
    server, _, _ = running
    window = Window(server, contents, max_faces=500)
    assert len(window.shown.layers[0].mesh.faces) <= 500
    n_nodes = len(window._own)
    window.choose("broken")
    assert window.shown.remarks == ("broken: cannot be read",) and not window.shown.layers
    window.choose("one")
    assert len(window._own) == n_nodes  # nothing of the earlier ones is left over


def test_nothing_to_show_at_all_is_an_error(
    running: tuple[Any, int, str], contents: Contents
) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Window(running[0], replace(contents, choices=("broken",)))
