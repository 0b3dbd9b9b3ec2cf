"""Consent: a strict form, kept where only its owner reads it, never in names of files."""

import datetime
import json
import stat
from pathlib import Path

import pytest

from facekit.capture.ingest import IngestConfig, ingest
from facekit.capture.sidecar import (
    CONSENT_FILE,
    PSEUDONYM,
    Purpose,
    load_consent,
    new_pseudonym,
    read_consent,
    save_consent,
    write_consent_template,
)
from facekit.core.errors import ConfigError, InputError

TODAY = datetime.date(2026, 3, 4)


@pytest.fixture
def form(tmp_path) -> Path:
    """Give a filled-in form."""
    path = write_consent_template(tmp_path / "subject.yaml", today=TODAY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    text = text.replace('consent_version: ""', "consent_version: 2026-1")
    text = text.replace('controller: ""', "controller: Example University")
    path.write_text(text.replace("[research]", "[research, sharing]"))
    return path


def _change(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_a_filled_in_form_is_read(form):
    consent = read_consent(form, today=TODAY)
    assert PSEUDONYM.fullmatch(consent.pseudonym)
    assert consent.date == "2026-03-04"
    assert consent.purposes == (Purpose.RESEARCH, Purpose.SHARING)
    assert consent.allows(Purpose.SHARING)
    assert not consent.allows(Purpose.PUBLICATION)
    assert consent.controller == "Example University"
    assert consent.image_publication is False


def test_an_empty_form_is_refused_and_never_overwritten(tmp_path):
    path = write_consent_template(tmp_path / "a.yaml", today=TODAY)
    with pytest.raises(ConfigError, match="consent_version is empty; fill in the form"):
        read_consent(path, today=TODAY)
    with pytest.raises(InputError, match="there already"):
        write_consent_template(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("controller:", "controler:", "unknown setting 'controler'; did you mean 'controller'"),
        ("[research, sharing]", "[research, fun]", "purposes: 'fun' is none of research"),
        ("image_publication: false", "image_publication: maybe", "expected true or false"),
        ("date: 2026-03-04", "date: 4 March", "expected a date like 2026-03-04"),
        ("legal_basis: consent", "legal_basis: ''", "legal_basis is empty"),
        ("withdrawal_date: null", "withdrawal_date: 2026-03-01", "withdrawn on 2026-03-01"),
        ("retention_until: null", "retention_until: 2026-03-03", "kept until 2026-03-03"),
    ],
)
def test_what_is_wrong_in_a_form_is_named(form, old, new, says):
    with pytest.raises(InputError, match=says) as error:
        read_consent(_change(form, old, new), today=TODAY)
    assert "subject.yaml" in str(error.value)


@pytest.mark.parametrize("name", ["Jane Doe", "JANE", "ABC1", "ABCDEFGHI", "abcde", ""])
def test_a_name_is_no_pseudonym(form, name):
    known = read_consent(form, today=TODAY).pseudonym
    with pytest.raises(ConfigError, match="5 to 8 characters"):
        read_consent(_change(form, f"pseudonym: {known}", f"pseudonym: '{name}'"), today=TODAY)


def test_pseudonyms_are_drawn_anew(form):
    drawn = {new_pseudonym() for _ in range(200)}
    assert len(drawn) == 200
    assert not any(name.isalpha() for name in drawn)  # none is a word, such as NEUTRAL


def test_ingestion_keeps_consent_apart_and_private(tmp_path, shoot, form):
    named = form.rename(form.with_name("jane_doe.yaml"))
    for camera in ("camA", "camB"):
        shoot(tmp_path / "s" / camera / "IMG_0001.jpg")
    out = tmp_path / "out"
    result = ingest(tmp_path / "s", out, IngestConfig(subject=named))
    assert result.ok
    path = out / CONSENT_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    consent = load_consent(out)
    assert consent == read_consent(named)
    for other in out.rglob("*"):
        assert "jane" not in other.name.lower()
        if other.is_file() and other != path:
            content = other.read_bytes()
            assert b"jane_doe" not in content
            assert consent.pseudonym.encode() not in content


def test_consent_is_checked_before_anything_is_copied(tmp_path, shoot, form):
    shoot(tmp_path / "s" / "camA" / "IMG_0001.jpg")
    _change(form, "withdrawal_date: null", "withdrawal_date: 2026-03-01")
    with pytest.raises(InputError, match="withdrawn"):
        ingest(tmp_path / "s", tmp_path / "out", IngestConfig(subject=form))
    assert not (tmp_path / "out").exists()


def test_a_session_has_one_subject(tmp_path, form):
    first = read_consent(form, today=TODAY)
    save_consent(tmp_path, first)
    save_consent(tmp_path, first)
    other = read_consent(_change(form, first.pseudonym, "ZZZZZ22"), today=TODAY)
    with pytest.raises(InputError, match="a session has one subject"):
        save_consent(tmp_path, other)
    values = json.loads((tmp_path / CONSENT_FILE).read_text())
    (tmp_path / CONSENT_FILE).write_text(json.dumps({**values, "name": "x"}))
    with pytest.raises(InputError, match="unknown setting 'name'"):
        load_consent(tmp_path)
