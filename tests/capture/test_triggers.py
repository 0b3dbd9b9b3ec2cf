"""Photographs find their instant, whatever the clocks and counters of the cameras say."""

from pathlib import Path

import numpy as np
import pytest

from facekit.capture.exif import Exif
from facekit.capture.inspection import Inspected
from facekit.capture.photo import Photo
from facekit.capture.triggers import match_triggers
from facekit.core.errors import InputError
from facekit.core.imaging.imageio import ImageHeader

HEADER = ImageHeader(width=4, height=3, channels=3, bit_depth=8)


def _photo(camera: str, stem: str, seconds: float | None = None, instant: int = -1) -> Photo:
    time = None
    if seconds is not None:
        stamp = np.datetime64("2000-01-01T00:00:00.000") + np.timedelta64(
            round(seconds * 1e3), "ms"
        )
        time = str(stamp)
    found = Inspected(
        path=Path(stem), header=HEADER, exif=Exif(time=time), sha256=str(instant), bytes=1
    )
    return Photo(name=f"{camera}/{stem}.jpg", folders=(camera,), stem=stem, found=found)


def _rig(rng, *, n=30, n_cameras=5, lost=0.0, fraction=True, pause=(1.2, 4.0)):
    """Give cameras with their own clocks and counters; the sha256 holds the true instant."""
    instants = np.cumsum(rng.uniform(*pause, n))
    cameras = {}
    for c in range(n_cameras):
        offset, first = rng.uniform(-5000, 5000), int(rng.integers(1, 40))
        photos = []
        for i, t in enumerate(instants):
            if rng.random() < lost:
                continue
            clock = 20000 + offset + t + rng.normal(0, 0.01)
            clock = clock if fraction else float(np.floor(clock))
            # the counter skips nothing, so that numbers overlap at other instants
            photos.append(_photo(f"c{c}", f"IMG_{first + len(photos):04d}", clock, i))
        cameras[f"c{c}"] = photos
    return cameras


def _mixed(match) -> int:
    return sum(len({p.found.sha256 for p in shots.values()}) > 1 for shots in match.takes.values())


@pytest.mark.parametrize("seed", range(8))
def test_clocks_win_over_counters_that_overlap(seed):
    rng = np.random.default_rng(seed)
    match = match_triggers(_rig(rng, lost=0.04))
    assert _mixed(match) == 0
    full = sum(len(shots) >= 4 for shots in match.takes.values())
    assert full >= 25


def test_equal_counts_in_order_need_no_numbers(rng):
    match = match_triggers(_rig(rng))
    assert match.how in ("order", "number")
    assert _mixed(match) == 0
    assert len(match.takes) == 30
    assert not match.late


def test_one_late_photograph_is_named(rng):
    cameras = {
        camera: [_photo(camera, f"f{i:02d}", photo.seconds, i) for i, photo in enumerate(photos)]
        for camera, photos in _rig(rng).items()
    }
    cameras["c3"][7] = _photo("c3", "f07", cameras["c3"][7].seconds + 1.9, 7)
    match = match_triggers(cameras)
    assert [(camera, round(seconds, 1)) for _, camera, seconds in match.late] == [("c3", 1.9)]


def test_evenly_spaced_exposures_with_strange_clocks_are_not_guessed():
    cameras = {
        f"c{c}": [
            _photo(f"c{c}", f"IMG_{i + 100 * c:03d}", 1000 * c + 2.0 * i, i)
            for i in range(20)
            if (i, c) not in ((0, 1), (19, 2), (0, 0), (1, 0))
        ]
        for c in range(3)
    }
    with pytest.raises(InputError, match="belong together|contradict"):
        match_triggers(cameras)


def test_evenly_spaced_exposures_of_synchronous_clocks_are_matched():
    cameras = {
        f"c{c}": [
            _photo(f"c{c}", f"IMG_{i + 100 * c:03d}", 0.25 + 2.0 * i, i) for i in range(c, 20)
        ]
        for c in range(3)
    }
    match = match_triggers(cameras)
    assert _mixed(match) == 0
    assert len(match.takes) == 20


@pytest.mark.parametrize("seed", range(4))
def test_bursts_faster_than_the_clocks_count_are_refused(seed):
    rng = np.random.default_rng(seed)
    with pytest.raises(InputError, match="belong together|contradict"):
        match_triggers(_rig(rng, n=40, lost=0.02, fraction=False, pause=(1.2, 1.25)))


def test_names_without_times_are_believed():
    cameras = {
        camera: [_photo(camera, f"{camera}_{word}") for word in ("smile", "neutral", "left")]
        for camera in ("camA", "camB")
    }
    match = match_triggers(cameras)
    assert (match.how, list(match.takes)) == ("stem", ["left", "neutral", "smile"])


@pytest.mark.parametrize(("name", "believed"), [("take", True), ("IMG_", False)])
def test_given_names_are_believed_where_counters_are_not(name, believed):
    """Evenly spaced, and one camera has no last photograph: it may have missed any trigger."""
    cameras = {
        camera: [
            _photo(camera, f"{name}{i:02d}", 1000 * c + 2.0 * i + 0.25, i) for i in range(20 - c)
        ]
        for c, camera in enumerate(("camA", "camB"))
    }
    if believed:
        assert _mixed(match_triggers(cameras)) == 0
    else:
        with pytest.raises(InputError, match="more than one clock offset"):
            match_triggers(cameras)
