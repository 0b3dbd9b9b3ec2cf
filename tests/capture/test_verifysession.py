"""The originals of a session, held against what was taken in."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from facekit.benchmarks.faults.lab import PEOPLE, make_lab
from facekit.capture.verifysession import verify_session
from facekit.core.errors import InputError
from facekit.dataset.export.commands import verify


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return make_lab(tmp_path, people=PEOPLE[:1])[0].parent / "session"


def test_a_sound_session_tells_what_it_holds(session: Path) -> None:
    figures = verify_session(session, read_data=True)
    assert (figures.takes, figures.originals) == (2, 4)
    assert figures.bytes_read == sum(path.stat().st_size for path in session.rglob("*.jpg"))
    assert CliRunner().invoke(verify, [str(session)]).exit_code == 0


def test_a_flipped_bit_is_found_by_reading(session: Path) -> None:
    path = session / "images/smile/cam1.jpg"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    verify_session(session)
    with pytest.raises(InputError, match=r"cam1\.jpg: changed since it was taken in"):
        verify_session(session, read_data=True)


def test_a_missing_and_a_cut_off_photograph_are_named(session: Path) -> None:
    path = session / "images/smile/cam1.jpg"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"cam1\.jpg: changed"):
        verify_session(session)
    path.unlink()
    with pytest.raises(InputError, match=r"cam1\.jpg: missing"):
        verify_session(session)
