"""A session without a form: its subject's name is drawn, kept, and no hash of the photographs."""

import dataclasses
import stat

import pytest

from facekit.capture.ingest import IngestConfig, ingest
from facekit.capture.pseudonym import (
    PSEUDONYM_FILE,
    drawn_pseudonym,
    keep_pseudonym,
    kept_pseudonym,
    pseudonym_of,
)
from facekit.capture.session import save_session
from facekit.capture.sidecar import PSEUDONYM, Consent, Purpose, save_consent
from facekit.core.errors import SchemaError


@pytest.fixture
def source(tmp_path, shoot):
    for camera in ("camA", "camB"):
        shoot(tmp_path / "source" / camera / "IMG_1.jpg")
    return tmp_path / "source"


def form(pseudonym: str) -> Consent:
    return Consent(
        pseudonym=pseudonym, consent_version="1", date="2026-01-01", legal_basis="consent",
        purposes=(Purpose.RESEARCH,), image_publication=False, controller="University",
    )  # fmt: skip


def test_the_same_photographs_twice_have_two_names_and_each_session_keeps_its_own(source, tmp_path):
    first = ingest(source, tmp_path / "one").session
    second = ingest(source, tmp_path / "two").session
    names = {pseudonym_of(first), pseudonym_of(second)}
    assert len(names) == 2 and all(PSEUDONYM.fullmatch(name) for name in names)
    assert pseudonym_of(ingest(source, tmp_path / "one").session) == pseudonym_of(first)


def test_it_is_kept_where_its_owner_alone_can_read_it(source, tmp_path):
    session = ingest(source, tmp_path / "one").session
    path = session.folder / PSEUDONYM_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for other in session.folder.rglob("*.json"):
        assert pseudonym_of(session) not in other.read_text()


def test_a_session_from_before_keeps_the_name_that_its_exports_have(source, tmp_path, shoot):
    session = ingest(source, tmp_path / "one").session
    (session.folder / PSEUDONYM_FILE).unlink()  # as it was made once
    before = pseudonym_of(session)
    shoot(source / "camA" / "IMG_2.jpg", seed=5)
    shoot(source / "camB" / "IMG_2.jpg", seed=6)
    grown = ingest(source, session.folder).session
    assert len(grown.takes) == 2
    assert pseudonym_of(grown) == before == kept_pseudonym(session.folder)


def test_killed_before_the_session_is_written_the_name_stays(tmp_path):
    name = keep_pseudonym(tmp_path)
    assert keep_pseudonym(tmp_path) == name


def test_a_form_comes_first_and_draws_none(source, tmp_path):
    session = ingest(source, tmp_path / "one").session
    drawn = pseudonym_of(session)
    save_consent(session.folder, form("QF7M2TZ"))
    assert pseudonym_of(session) == keep_pseudonym(session.folder) == "QF7M2TZ"
    assert drawn_pseudonym(session) == drawn
    save_consent(tmp_path / "two", form("KX3WVB5"))
    other = ingest(source, tmp_path / "two", IngestConfig(name="two")).session
    assert pseudonym_of(other) == "KX3WVB5" and kept_pseudonym(other.folder) is None


@pytest.mark.parametrize("content", [b"", b"Anna\n", b"../../x\n", b"\xff\xfe", b"A" * 100])
def test_a_damaged_name_is_one_sentence(source, tmp_path, content):
    session = ingest(source, tmp_path / "one").session
    (session.folder / PSEUDONYM_FILE).write_bytes(content)
    with pytest.raises(SchemaError, match="pseudonym") as caught:
        pseudonym_of(session)
    assert "\n" not in str(caught.value)


def test_a_virtual_session_is_the_same_each_time(source, tmp_path):
    session = ingest(source, tmp_path / "one").session
    copies = [dataclasses.replace(session, folder=tmp_path / name) for name in ("a", "b")]
    for copy in copies:
        save_session(copy)  # nothing was drawn
    assert pseudonym_of(copies[0]) == pseudonym_of(copies[1])
