"""The report in a real browser, from `file://`: its 3D view draws, its policy holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.session_report import MOST_BYTES, write_report
from facekit.capture.session import Session, TakeKind


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, make_session: Callable[..., Session],
    add_truth: Callable[[Session], None],
) -> Path:  # fmt: skip
    """Give the report of a built session, compared with another build."""
    tmp_path = tmp_path_factory.mktemp("report")
    takes = ("neutral", TakeKind.SUBJECT, ())
    session = make_session(tmp_path / "session", ("a", "b", "c"), takes)
    add_truth(session)
    build = tmp_path / "build"
    (tmp_path / "other").symlink_to(build)
    return write_report(
        session.folder, calibration_folder=tmp_path / "calibration", build_folder=build,
        compare_folder=tmp_path / "other", out=tmp_path / "report.html",
    )  # fmt: skip


def has_surface(picture: np.ndarray) -> bool:
    """Tell whether the middle of the 3D view, scrolled to the top, is shaded in many greys."""
    high, wide = picture.shape[:2]
    middle = picture[high // 4 : high // 2, wide // 3 : -wide // 3].astype(float)
    return float(middle.var()) > 100 and len(np.unique(middle)) > 60


def test_it_opens_from_the_disk_draws_and_fetches_nothing(page: Path, browser: Any) -> None:
    assert page.stat().st_size < MOST_BYTES
    browser.open(page.as_uri())
    browser.when(lambda _: browser.value("document.readyState") == "complete")
    pictures = "[...document.images]"
    assert browser.value(f"{pictures}.filter(i => !i.complete || !i.naturalWidth).length") == 0
    assert browser.value("document.images.length") > 6
    browser.value("document.querySelector('iframe').scrollIntoView()")
    assert has_surface(browser.when(has_surface))
    assert browser.complaints() == []
    assert browser.asked_for() == [page.as_uri()]


def test_a_script_that_got_into_it_does_not_run(page: Path, browser: Any, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    evil = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title=1\">"
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace("</body>", f"{evil}</body>"), encoding="utf-8")
    browser.open(copy.as_uri())
    browser.when(lambda _: browser.value("document.readyState") == "complete")
    assert browser.value("document.title") == "A & B"
    assert any("Content Security Policy" in said for said in browser.complaints())
