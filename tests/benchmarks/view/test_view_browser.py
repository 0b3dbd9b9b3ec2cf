"""The viewer in a real browser: it draws, its policy holds, and other pages are shut out."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.view.contents import Contents
from facekit.benchmarks.view.scene import Layer, Shown, mesh_colorings
from facekit.benchmarks.view.server import start_server
from facekit.benchmarks.view.window import Window
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.mesh import Mesh

pytest.importorskip("viser")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets")

_SORTER = "EvalError: Evaluating a string as JavaScript violates"


@pytest.fixture(scope="module")
def address(ball: Mesh, make_rig: Callable[..., Rig]) -> Iterator[str]:
    """Give the address of a view of the ball and three cameras."""
    server, address = start_server(port=0)
    layer = Layer(name="scan", mesh=ball, colorings=mesh_colorings(ball))
    shown = Shown(layers=(layer,), cameras=make_rig("a", "b", "c").cameras)
    Window(server, Contents(title="ball", kind="build", choices=("a",), show=lambda _: shown))
    yield address
    server.stop()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Give the origin of somebody else's page on the same machine."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>elsewhere</title>")

        def log_message(self, *_: Any) -> None:
            """Keep still."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def draws_a_ball(picture: np.ndarray) -> bool:
    """Tell whether the middle shows a shaded surface: neither one colour nor the plain page."""
    high, wide = picture.shape[:2]
    middle = picture[high // 3 : -high // 3, wide // 4 : wide // 2].astype(float)
    return float(middle.mean(axis=2).var()) > 20 and len(np.unique(middle)) > 40


def test_the_page_draws_and_asks_for_nothing_else(browser: Any, address: str) -> None:
    browser.open(address)
    assert draws_a_ball(browser.when(draws_a_ball))
    # viser's sorter of Gaussian splats, of which there are none, wants to evaluate text
    assert [said for said in browser.complaints() if _SORTER not in said] == []
    home = address.partition("?")[0]
    assert all(url.startswith((home, home.replace("http", "ws"))) for url in browser.asked_for())


def test_another_page_gets_403_and_no_socket(browser: Any, address: str, elsewhere: str) -> None:
    browser.open(address)  # so that the browser has the cookie
    assert draws_a_ball(browser.when(draws_a_ball))
    browser.open(elsewhere)
    browser.when(lambda _: browser.value("document.title") == "elsewhere")
    ask = f"fetch({json.dumps(address)}, {{credentials: 'include'}})"
    assert browser.value(f"{ask}.then(r => 'let in', e => 'shut out')") == "shut out"
    assert browser.statuses()[address] == 403
    socket = json.dumps(address.replace("http", "ws"))
    opened = browser.value(
        f"new Promise(done => {{ const s = new WebSocket({socket});"
        " s.onopen = () => done('open'); s.onerror = () => done('refused'); })"
    )
    assert opened == "refused"
    assert any("Unexpected response code: 403" in said for said in browser.complaints())
    framed = browser.value(
        "new Promise(done => { const f = document.createElement('iframe');"
        f" f.onload = () => done(true); f.src = {json.dumps(address)};"
        " document.body.append(f); })"
    )
    assert framed
    assert not draws_a_ball(browser.picture())
