"""A ball before three cameras, as a session with truth, calibration and build; and a browser."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from facekit.calibration.rigfile import save_rig
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind, save_session
from facekit.capture.virtual.truth import save_truth
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh
from facekit.core.geometry.transform import Similarity, look_at
from facekit.core.imaging.imageio import write_image

_TURN = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
_WIDTH, _HEIGHT = 80, 120  # px


@pytest.fixture(scope="session")
def make_ball() -> Callable[..., Mesh]:
    """Give a function of a radius (mm) and of vertex attributes."""

    def make(radius: float = 90.0, **attributes: np.ndarray) -> Mesh:
        made = trimesh.creation.icosphere(subdivisions=4, radius=radius)
        return Mesh(vertices=np.asarray(made.vertices), faces=made.faces.astype(np.int32),
                    attributes=attributes)  # fmt: skip

    return make


@pytest.fixture(scope="session")
def ball(make_ball: Callable[..., Mesh]) -> Mesh:
    """Give a ball of 90 mm with colours and sigma, as stereo leaves them."""
    plain = make_ball()
    n = len(plain.vertices)
    return Mesh(
        vertices=plain.vertices, faces=plain.faces, colors=np.full((n, 3), 150, np.uint8),
        attributes={"sigma_mm": np.linspace(0.01, 0.5, n).astype(np.float32)},
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    """Give a function of the names of three cameras a metre before the ball."""

    def make(*names: str) -> Rig:
        cameras = []
        for name, x in zip(names, (-400.0, 0.0, 400.0), strict=True):
            K = np.array([[330.0, 0, _WIDTH / 2], [0, 330, _HEIGHT / 2], [0, 0, 1]])
            pose = look_at(np.array([x, 0.0, 1000.0]), np.zeros(3))
            cameras.append(
                Camera(name=name, width=_WIDTH, height=_HEIGHT, K=K, cam_from_world=pose)
            )
        return Rig(cameras=tuple(cameras))

    return make


@pytest.fixture(scope="session")
def world_from_head() -> Similarity:
    """Give where the calibration puts the ball."""
    return Similarity(scale=1.0, R=_TURN, t=np.array([30.0, -20.0, 10.0]))


@pytest.fixture(scope="session")
def make_session() -> Callable[..., Session]:
    """Give a function that writes a session "A & B": folder, camera names, takes.

    A take is its name, its kind and its problems; each problem leaves out a camera.
    """

    def make(
        folder: Path, names: tuple[str, ...], *takes: tuple[str, TakeKind, tuple[str, ...]]
    ) -> Session:
        made = []
        for take, kind, problems in takes:
            shots = []
            for i, name in enumerate(names[: len(names) - len(problems)]):
                file = f"images/{take}/{i}.png"
                grey = np.full((_HEIGHT, _WIDTH, 3), 60 * i + 40, np.uint8)
                write_image(folder / file, grey)
                shots.append(Shot(camera=name, file=file, sha256="0", bytes=1,
                                  width=_WIDTH, height=_HEIGHT))  # fmt: skip
            made.append(Take(id=take, kind=kind, shots=tuple(shots), problems=problems))
        infos = tuple(CameraInfo(id=name, width=_WIDTH, height=_HEIGHT) for name in names)
        session = Session(folder=folder, name="A & B", cameras=infos, takes=tuple(made))
        save_session(session)
        return session

    return make


@pytest.fixture(scope="session")
def add_truth(
    ball: Mesh, make_rig: Callable[..., Rig], world_from_head: Similarity
) -> Callable[[Session], None]:
    """Give a function that puts the truth into a session, and calibration and build beside it.

    The take `neutral` was built a thousandth too large.
    """

    def add(session: Session) -> None:
        true, root = session.truth_folder, session.folder.parent
        rig = make_rig(*(camera.id for camera in session.cameras))
        save_truth(true, rig, {}, {})
        (true / "neutral").mkdir()
        front = ball.vertices[ball.faces].mean(axis=1)[:, 2] > 20
        np.savez(true / "neutral" / "mesh.npz", vertices=ball.vertices, faces=ball.faces,
                 frontal_face=front)  # fmt: skip
        save_rig(root / "calibration" / "rig.json", rig.moved(world_from_head))
        larger = Mesh(vertices=world_from_head(1.001 * ball.vertices), faces=ball.faces,
                      colors=ball.colors, attributes=ball.attributes)  # fmt: skip
        save_mesh(root / "build" / "neutral" / "mesh.ply", larger)

    return add


_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--mute-audio",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--remote-debugging-port=0", "--window-size=900,700", "--hide-scrollbars",
)  # fmt: skip
_PATIENCE_S = 90.0  # of a machine that is busy


class Browser:
    """A headless Chromium, spoken to by its DevTools protocol; one page."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._last = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the answer, perhaps an error; what happens meanwhile is kept in `events`."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self.socket.send(json.dumps(message))
        while True:
            answer = dict(json.loads(self.socket.recv(timeout=_PATIENCE_S)))
            if answer.get("id") == self._last:
                return answer
            if answer.get("sessionId") == self._session:
                self.events.append(answer)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return what is asked for."""
        answer = self.ask(method, **params)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, url: str) -> None:
        """Go to a page and forget what happened before."""
        self.events.clear()
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """Return what a script gives in the page; promises are waited for."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self) -> np.ndarray:
        """Return a screenshot (height, width, 3)."""
        answer = self.ask("Page.captureScreenshot", format="png")
        if "error" in answer:  # between two pages there is nothing to be seen
            return np.zeros((700, 900, 3), np.uint8)
        content = answer["result"]["data"]
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            return np.asarray(image.convert("RGB"))

    def when(self, is_there: Callable[[np.ndarray], bool]) -> np.ndarray:
        """Return the first screenshot that shows something, or the last one."""
        until = time.monotonic() + _PATIENCE_S
        while not is_there(shown := self.picture()) and time.monotonic() < until:
            time.sleep(0.3)
        return shown

    def complaints(self) -> list[str]:
        """Return errors that were logged: of scripts, and what the policy refused."""
        found = []
        for event in self.events:
            told = event.get("params", {})
            if event["method"] == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(told["entry"]["text"])
            elif event["method"] == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"].get("exception", told)))
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] == "error":
                found.append(str(told["args"]))
        return found

    def statuses(self) -> dict[str, int]:
        """Return address -> status of every answer, also of those kept from the page."""
        urls = {
            event["params"]["requestId"]: event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        }
        return {
            urls.get(event["params"]["requestId"], "?"): event["params"]["statusCode"]
            for event in self.events
            if event["method"] == "Network.responseReceivedExtraInfo"
        }

    def asked_for(self) -> list[str]:
        """Return what the page asked the network for."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give the websocket of a Chromium of our own; skip where there is none."""
    program = next((found for name in _CHROMIUM if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(_CHROMIUM)}")
    client = pytest.importorskip("websockets.sync.client")
    home = tmp_path_factory.mktemp("chromium")
    process = subprocess.Popen(
        [program, *_OPTIONS, f"--user-data-dir={home}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        told = home / "DevToolsActivePort"
        until = time.monotonic() + _PATIENCE_S
        while not (told.is_file() and len(told.read_text().split()) == 2):
            if process.poll() is not None or time.monotonic() > until:
                pytest.skip(f"{program} does not start here (exit code {process.poll()})")
            time.sleep(0.1)
        port, path = told.read_text().split()
        with client.connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            yield socket
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def browser(chromium: Any) -> Browser:
    """Give a browser with an empty page."""
    return Browser(chromium)
