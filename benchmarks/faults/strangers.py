"""Strangers at the viewer's server: other hosts, origins, keys, paths that lead out, addresses.

The server is the one that `facekit view` starts, met over real sockets with the bytes of a
request, so that no library puts a request right on its way. Each stranger lacks one thing alone;
who has all of it is let in, else the rest would say nothing.
"""

import http.client
import itertools
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.devices import require
from .gate import Gate

_FOUND = b"CANARY-OUTSIDE"
_PATIENCE_S = 10.0
_REFUSED = 403
_NOT_THERE = (400, 403, 404)
_ELSEWHERE = "elsewhere.example"


@dataclass(frozen=True, kw_only=True)
class StrangerFaults(Gate):
    """What came of requests that should not be answered."""

    requests: int = 0
    let_in: int = 0
    """Requests that were answered with more than a refusal."""
    leaked: int = 0
    """Paths that gave what lies outside of the page's folder."""
    addresses: int = 0
    """Other addresses of this machine."""
    reached: int = 0
    """Of those, on how many the server answered."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "requests": self.requests, "let_in": self.let_in, "leaked": self.leaked,
            "addresses": self.addresses, "reached": self.reached,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Door:
    """A server, its key, and how it is asked."""

    port: int
    key: str
    protocol: str
    """That viser's websocket speaks."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def cookie(self) -> tuple[str, str]:
        return ("Cookie", f"facekit-view-{self.port}={self.key}")

    def page(self, path: str, *headers: tuple[str, str]) -> tuple[int, bytes]:
        """Ask for a page; return status and body."""
        return self._asked(path, headers)

    def socket(self, *headers: tuple[str, str]) -> int:
        """Ask for the websocket; return the status, 101 when it opens."""
        upgrade = (
            ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("Sec-WebSocket-Protocol", self.protocol),
        )  # fmt: skip
        return self._asked("/", (*headers, *upgrade))[0]

    def _asked(self, path: str, headers: tuple[tuple[str, str], ...]) -> tuple[int, bytes]:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        request = f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape")
        with socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S) as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            try:
                response.begin()
                body = b"" if response.status == http.HTTPStatus.SWITCHING_PROTOCOLS else (
                    response.read()
                )  # fmt: skip
            except (http.client.HTTPException, OSError):  # it hung up
                return _REFUSED, b""
            return response.status, body


def stranger_faults(folder: Path, *, full: bool, seed: int) -> StrangerFaults:
    """Ask the viewer's server as strangers do; sample and full run are the same.

    Raises
    ------
    MissingDependencyError
        viser is not installed.
    """
    viser: Any = require("viser", extra="view")
    from ..view.server import start_server

    canary = folder / "canary.txt"
    canary.write_bytes(_FOUND)
    root = Path(viser.__file__).parent / "client" / "build"
    server, address = start_server(port=0)
    try:
        door = _Door(
            port=server.get_port(), key=address.partition("key=")[2],
            protocol=f"viser-v{viser.__version__}",
        )  # fmt: skip
        sound = list(_sound(door))
        asked = list(_asked(door))
        paths = [(path, *door.page(path, ("Host", door.host), door.cookie))
                 for path in paths_out(root, canary)]  # fmt: skip
        addresses = other_addresses()
        reached = [name for name in addresses if _is_reached(name, door.port)]
        tunnel = server.request_share_url()
    finally:
        server.stop()
    let_in = [f"{who}: answered with {status}" for who, status in asked if status != _REFUSED]
    leaked = [
        f"GET {path!a}: answered with {status}" for path, status, body in paths
        if status not in _NOT_THERE or _FOUND in body
    ]  # fmt: skip
    failures = [
        *sound, *let_in, *leaked, *(f"it answers on {name} too" for name in reached),
        *(["a public tunnel was opened"] if tunnel else []),
    ]  # fmt: skip
    return StrangerFaults(
        cases=len(asked) + len(paths) + len(addresses) + 1, failures=tuple(failures),
        requests=len(asked) + len(paths), let_in=len(let_in), leaked=len(leaked),
        addresses=len(addresses), reached=len(reached),
    )  # fmt: skip


def _sound(door: _Door) -> Iterator[str]:
    """Tell where somebody who has everything is not let in."""
    host, origin = ("Host", door.host), ("Origin", f"http://{door.host}")
    status, page = door.page(f"/?key={door.key}", host)
    if status != http.HTTPStatus.OK or b"<html" not in page.lower():
        yield f"the printed address: answered with {status}"
    if (status := door.socket(host, origin, door.cookie)) != http.HTTPStatus.SWITCHING_PROTOCOLS:
        yield f"the page's own websocket: answered with {status}"


def _asked(door: _Door) -> Iterator[tuple[str, int]]:
    """Yield who asked, and the status of the answer."""
    ours, own = ("Host", door.host), ("Origin", f"http://{door.host}")
    for host in _hosts(door.port):
        named = [("Host", one) for one in host]
        origins = [("Origin", f"http://{one}") for one in host[:1]]
        yield f"page, host {host!a}", door.page(f"/?key={door.key}", *named)[0]
        yield f"websocket, host {host!a}", door.socket(*named, *origins, door.cookie)
    for origin in _origins(door.port):
        yield (
            f"page, origin {origin!a}",
            door.page(f"/?key={door.key}", ours, ("Origin", origin))[0],
        )
        yield f"websocket, origin {origin!a}", door.socket(ours, ("Origin", origin), door.cookie)
    yield "websocket without an origin", door.socket(ours, door.cookie)
    yield "websocket, two origins", door.socket(ours, own, own, door.cookie)
    for key in _keys(door.key):
        yield f"page, {len(key)} of another key", door.page(f"/?key={key}", ours)[0]
        cookie = ("Cookie", f"facekit-view-{door.port}={key}")
        yield f"websocket, {len(key)} of another key", door.socket(ours, own, cookie)
    yield "page without a key", door.page("/", ours)[0]
    yield "page with two keys", door.page(f"/?key={door.key}&key={door.key}", ours)[0]
    yield "websocket without a key", door.socket(ours, own)
    other = ("Cookie", f"facekit-view-{door.port + 1}={door.key}")
    yield "websocket, the cookie of another port", door.socket(ours, own, other)


def _hosts(port: int) -> list[tuple[str, ...]]:
    """Return values of the header Host, for each request; none of them is the server."""
    names = [
        _ELSEWHERE, f"127.0.0.1.{_ELSEWHERE}", "127.0.0.1.nip.io", "127.0.0.2", "127.1", "0.0.0.0",
        "2130706433", "0x7f000001", "[::]", "[::ffff:127.0.0.1]", "localhost.",
        "localhost.localdomain", f"localhost@{_ELSEWHERE}", f"{_ELSEWHERE}@127.0.0.1", "", "-", "*",
    ]  # fmt: skip
    whole = [(f"{name}:{port}",) for name in names]
    odd = [
        "", "127.0.0.1", "localhost", f"127.0.0.1:{port + 1}", f"127.0.0.1:0{port}",
        f"127.0.0.1:{port}/", f"127.0.0.1:{port}, {_ELSEWHERE}", f"http://127.0.0.1:{port}",
    ]  # fmt: skip
    twice = (f"127.0.0.1:{port}", f"{_ELSEWHERE}:{port}")
    return [(), *whole, *((one,) for one in odd), twice]


def _origins(port: int) -> list[str]:
    """Return origins of pages that are not the server's."""
    return [
        f"http://{_ELSEWHERE}", f"https://{_ELSEWHERE}", f"http://{_ELSEWHERE}:{port}", "null",
        f"https://127.0.0.1:{port}", "http://127.0.0.1", "http://localhost",
        f"http://127.0.0.1:{port + 1}", f"http://localhost:{port}",
        f"http://127.0.0.1:{port}.{_ELSEWHERE}", f"http://127.0.0.1:{port}@{_ELSEWHERE}",
        f"http://127.0.0.1:{port}/", f"//127.0.0.1:{port}", f"127.0.0.1:{port}", "file://",
        "chrome-extension://abcdef", "*", "", f"http://127.0.0.1:{port} http://{_ELSEWHERE}", f"http://[::1]:{port}",
    ]  # fmt: skip


def _keys(key: str) -> list[str]:
    """Return keys that are not the server's."""
    return ["", key[:-1], f"{key}A", key.swapcase(), key[::-1], "A" * len(key), key[1:] + key[0]]


def paths_out(root: Path, target: Path) -> list[str]:
    """Return requests' paths that would lead from a folder to a file, or try to."""
    up = os.path.relpath(target, root)
    deep = "../" * 20 + str(target).lstrip("/")
    kinds = {
        "plain": lambda p: p, "dots": lambda p: p.replace("..", "%2e%2e"),
        "slashes": lambda p: p.replace("/", "%2f"),
        "both": lambda p: p.replace("..", "%2E%2E").replace("/", "%2F"),
        "twice": lambda p: p.replace("..", "%252e%252e").replace("/", "%252f"),
        "back": lambda p: p.replace("/", "\\"), "back coded": lambda p: p.replace("/", "%5c"),
        "doubled": lambda p: p.replace("..", "....").replace("/", "//"),
        "overlong": lambda p: p.replace("/", "%c0%af"),
        "overlong dots": lambda p: p.replace("..", "%c0%ae%c0%ae"),
        "parameter": lambda p: p.replace("..", "..;"), "dot": lambda p: p.replace("../", ".././"),
        "NUL": lambda p: p + "%00.html", "NUL raw": lambda p: p + "\0.html",
        "query": lambda p: p + "?x=index.html", "hash": lambda p: p + "#index.html",
        "wide": lambda p: p.replace("/", "\u2215"), "wide dots": lambda p: p.replace(".", "\uff0e"),
    }  # fmt: skip
    found = [f"/{kind(p)}" for kind, p in itertools.product(kinds.values(), (up, deep))]
    below = [f"/assets/{kinds[name](f'../{up}')}" for name in ("plain", "dots", "slashes", "back")]
    absolute = str(target)
    whole = [
        f"/{absolute}", f"//{absolute}", f"/file://{absolute}", f"file://{absolute}", absolute,
        "/%2f" + absolute.lstrip("/"), f"/C:{absolute}", f"/~root/../..{absolute}",
        "//etc/passwd", "/../../../../../../../../etc/passwd", "/etc/passwd", "/proc/self/environ",
    ]  # fmt: skip
    return list(dict.fromkeys([*found, *below, *whole]))


def other_addresses() -> list[str]:
    """Return addresses of this machine other than 127.0.0.1."""
    found = ["127.0.0.2", "127.8.8.8", "::1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells from where it would go
            found.append(probe.getsockname()[0])
        except OSError:
            pass  # no network at all
    return found


def _is_reached(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_PATIENCE_S):
            return True
    except OSError:
        return False
