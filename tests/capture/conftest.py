"""Photographs with EXIF, made for the test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit.capture.session import Session
from facekit.capture.virtual.studio import StudioConfig, make_session

Shoot = Callable[..., Path]


@pytest.fixture
def shoot() -> Shoot:
    """Give a function that writes a small photograph with EXIF; each one looks different."""
    count = 0

    def write(
        path: Path,
        *,
        serial: str | None = None,
        time: float | None = None,
        lens: str | None = None,
        focal: float | None = None,
        orientation: int = 1,
        size: tuple[int, int] = (48, 32),
        seed: int | None = None,
    ) -> Path:
        nonlocal count
        count += 1
        rng = np.random.default_rng(count if seed is None else seed)
        noise = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
        picture = Image.fromarray(np.kron(noise, np.ones((8, 8, 1), dtype=np.uint8)))
        exif = Image.Exif()
        exif[0x0112] = orientation
        block = exif.get_ifd(0x8769)
        if serial is not None:
            block[0xA431] = serial
        if lens is not None:
            block[0xA434] = lens
        if focal is not None:
            block[0x920A] = focal
        if time is not None:
            whole = int(time)
            clock = f"{whole // 3600 % 24:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
            block[0x9003] = f"2026:03:04 {clock}"
            block[0x9291] = f"{round(100 * (time - whole)):02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, exif=exif, quality=90)
        return path

    return write


@pytest.fixture(scope="session")
def studio_session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Give a virtual capture with colour chart, empty plate and truth; five cameras, small."""
    folder = tmp_path_factory.mktemp("studio") / "session"
    config = StudioConfig(
        layout="five", megapixels=0.4, n_board_poses=0, color_chart=True, empty_plate=True
    )
    return make_session(config, folder)
