"""Strangers at the viewer: nobody is let in; and a server that lets them in is found out."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from facekit.benchmarks.faults import strangers
from facekit.benchmarks.faults.strangers import other_addresses, paths_out, stranger_faults


def test_nobody_is_let_in(tmp_path: Path) -> None:
    pytest.importorskip("viser")
    gate = stranger_faults(tmp_path, full=False, seed=0)
    assert gate.passed, gate.failures
    figures = gate.figures()
    assert figures["requests"] >= 150 and figures["addresses"] >= 3
    assert (figures["let_in"], figures["leaked"], figures["reached"]) == (0, 0, 0)


def test_a_server_that_asks_no_one_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("viser")
    monkeypatch.setattr(
        "facekit.benchmarks.view.guard.Guard.refusal", lambda *_args, **_options: None
    )
    monkeypatch.setattr("facekit.benchmarks.view.server._check_guard", lambda *_: None)
    gate = stranger_faults(tmp_path, full=False, seed=0)
    assert gate.let_in > 50 and not gate.passed


class _Careless(http.server.BaseHTTPRequestHandler):
    """Gives whatever file a path leads to."""

    def do_GET(self) -> None:
        path = Path(str(self.server.root) + unquote(urlsplit(self.path).path))  # type: ignore[attr-defined]
        found = path.read_bytes() if path.is_file() else None
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "site").mkdir()
    server = http.server.HTTPServer(("127.0.0.1", 0), _Careless)
    server.root = tmp_path / "site"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_paths_lead_out_of_a_careless_server(tmp_path: Path, careless: int) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("CANARY-OUTSIDE", encoding="utf-8")
    door = strangers._Door(port=careless, key="", protocol="")
    paths = paths_out(tmp_path / "site", canary)
    assert len(paths) >= 50 and len(set(paths)) == len(paths)
    leaked = [path for path in paths if b"CANARY" in door.page(path, ("Host", door.host))[1]]
    assert len(leaked) >= 5  # plain, and coded once


def test_other_addresses_are_not_the_servers_own() -> None:
    assert "127.0.0.1" not in other_addresses()
