"""What a subject agreed to: a form to fill in, read strictly, kept apart from the photographs.

`restricted/consent.json` in the session's folder is readable by its owner alone, and the only
place where this is kept. It holds a pseudonym, never a name: who stands behind it is not
facekit's to know.
"""

import datetime
import json
import re
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..core.config import from_mapping, load_yaml
from ..core.errors import ConfigError, InputError, SchemaError
from ..core.files import read_json, write_private_text

CONSENT_FILE = "restricted/consent.json"
CONSENT_FORMAT = "facekit-consent"
CONSENT_VERSION = 1

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
"""Base 32 (RFC 4648): no 0 and 1, which are read as O and I."""
PSEUDONYM = re.compile(rf"[{ALPHABET}]{{5,8}}")
MAX_TEXT = 2000  # characters

TEMPLATE = """\
# Consent of one subject. Never write a name here; keep the list of who is who elsewhere.
pseudonym: {pseudonym}       # drawn at random; 5 to 8 of A-Z and 2-7
consent_version: ""       # of the form that was signed, such as 2026-1
date: {today}          # when it was signed
legal_basis: consent      # GDPR art. 6 and 9: consent, public interest, ...
purposes: [research]      # of research, publication, commercial, sharing
image_publication: false  # may photographs or renders be shown to others?
withdrawal_date: null     # when consent was taken back; nothing is taken in after that
retention_until: null     # when the data must be gone
controller: ""            # who answers for the data: an institution, not a person
ethics_ref: null          # number of the ethics vote
notes: null               # of the session: glasses, make-up, what went wrong
"""


class Purpose(StrEnum):
    """What the data may be used for."""

    RESEARCH = "research"
    PUBLICATION = "publication"
    COMMERCIAL = "commercial"
    SHARING = "sharing"


@dataclass(frozen=True, kw_only=True)
class Consent:
    """What a subject agreed to; dates as YYYY-MM-DD."""

    pseudonym: str
    consent_version: str
    date: str
    legal_basis: str
    purposes: tuple[Purpose, ...]
    image_publication: bool
    controller: str
    withdrawal_date: str | None = None
    retention_until: str | None = None
    ethics_ref: str | None = None
    notes: str | None = None

    def allows(self, purpose: Purpose) -> bool:
        """Whether the subject agreed to a purpose and did not take that back."""
        return self.withdrawal_date is None and purpose in self.purposes


def new_pseudonym() -> str:
    """Draw a pseudonym of seven characters, one in 26 thousand million; a digit: it is no word."""
    while True:
        name = "".join(secrets.choice(ALPHABET) for _ in range(7))
        if not name.isalpha():
            return name


def write_consent_template(path: Path, *, today: datetime.date | None = None) -> Path:
    """Write a form to fill in, with a fresh pseudonym, readable by its owner alone.

    Raises
    ------
    InputError
        There is a file already.
    """
    if path.exists():
        raise InputError(f"{path}: is there already; give another name")
    date = today or datetime.date.today()
    write_private_text(path, TEMPLATE.format(pseudonym=new_pseudonym(), today=date.isoformat()))
    return path


def read_consent(path: Path, *, today: datetime.date | None = None) -> Consent:
    """Read a form and check that the subject may be taken in.

    Raises
    ------
    ConfigError
        Not readable, a field is unknown, missing or unusable.
    InputError
        Consent was withdrawn, or the time to keep the data is over.
    """
    values = {key: _plain(value) for key, value in load_yaml(path).items()}
    consent = _consent(values, where=str(path))
    now = (today or datetime.date.today()).isoformat()
    if consent.withdrawal_date is not None:
        raise InputError(
            f"{path}: consent was withdrawn on {consent.withdrawal_date}; "
            "this subject is not taken in"
        )
    if consent.retention_until is not None and consent.retention_until < now:
        raise InputError(
            f"{path}: the data were to be kept until {consent.retention_until}; "
            "this subject is not taken in"
        )
    return consent


def save_consent(folder: Path, consent: Consent) -> Path:
    """Write `restricted/consent.json`, readable by its owner alone; return its path.

    Raises
    ------
    InputError
        The session holds the consent of another subject.
    """
    path = folder / CONSENT_FILE
    if path.is_file() and (known := load_consent(folder)).pseudonym != consent.pseudonym:
        raise InputError(
            f"{path}: is of subject {known.pseudonym}, not {consent.pseudonym}; "
            "a session has one subject, give another folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    values = {"format": CONSENT_FORMAT, "version": CONSENT_VERSION, **asdict(consent)}
    write_private_text(path, json.dumps(values, indent=1) + "\n")
    return path


def load_consent(folder: Path) -> Consent:
    """Read the consent of a session's folder.

    Raises
    ------
    InputError
        There is none.
    SchemaError
        It has another version or shape.
    """
    path = folder / CONSENT_FILE
    values = read_json(path, format_name=CONSENT_FORMAT, version=CONSENT_VERSION)
    fields = {key: value for key, value in values.items() if key not in ("format", "version")}
    try:
        return _consent(fields, where=str(path))
    except ConfigError as error:
        raise SchemaError(str(error)) from error


def _consent(values: dict[str, Any], *, where: str) -> Consent:
    shown = values.get("image_publication")
    if shown is not None and not isinstance(shown, bool):
        raise ConfigError(f"{where}: image_publication: expected true or false, got {shown!r}")
    unknown = [p for p in _listed(values.get("purposes")) if p not in list(Purpose)]
    if unknown:
        known = ", ".join(Purpose)
        raise ConfigError(f"{where}: purposes: {unknown[0]!r} is none of {known}")
    values = {**values, "purposes": _listed(values.get("purposes"))}
    consent = from_mapping(Consent, values, where=where)
    if not PSEUDONYM.fullmatch(consent.pseudonym):
        raise ConfigError(
            f"{where}: pseudonym: expected 5 to 8 characters of A-Z and 2-7, drawn at random; "
            "never a name"
        )
    for name in ("date", "withdrawal_date", "retention_until"):
        _check_date(getattr(consent, name), where=f"{where}: {name}")
    for name in ("consent_version", "legal_basis", "controller"):
        if not str(getattr(consent, name)).strip():
            raise ConfigError(f"{where}: {name} is empty; fill in the form")
    for name, value in vars(consent).items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise ConfigError(f"{where}: {name}: longer than {MAX_TEXT} characters")
    return consent


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _plain(value: Any) -> Any:
    """Return dates as text; YAML knows them."""
    if isinstance(value, datetime.datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, datetime.date) else value


def _check_date(text: str | None, *, where: str) -> None:
    if text is None:
        return
    try:
        valid = datetime.date.fromisoformat(text).isoformat() == text
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ConfigError(f"{where}: expected a date like 2026-03-04, got {text!r}")
