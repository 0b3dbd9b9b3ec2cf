"""Who is in an export: pseudonyms, consent, and the split that a subject belongs to."""

import datetime
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ...capture.pseudonym import drawn_pseudonym
from ...capture.session import Session
from ...capture.sidecar import CONSENT_FILE, Consent, Purpose, load_consent
from ...core.errors import InputError
from ...core.files import hash_of
from ..manifest import SPLITS

NO_CONSENT = "none"

_SALT_FILE = "salt"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A person, as an export knows them."""

    pseudonym: str
    consent_id: str
    """Salted hash of the consent record; `none` where there is none."""


def subject_of(
    session: Session, purpose: Purpose, *, no_person: bool = False,
    today: datetime.date | None = None,
) -> Subject:  # fmt: skip
    """Return the subject of a session who may be exported for this purpose.

    Parameters
    ----------
    no_person : bool
        Where no consent is kept nobody is shown who could give one: a bust, a mannequin.

    Raises
    ------
    InputError
        The consent does not cover the purpose, was withdrawn, or its time is over; or there is
        none, and a person was photographed.
    """
    path = session.folder / CONSENT_FILE
    if not path.is_file():
        if not no_person and not session.truth_folder.is_dir():
            raise InputError(
                f"{session.folder}: no consent is kept here; add the subject's form with "
                "`facekit ingest --subject`, or export with --no-person what shows a bust or a "
                "mannequin"
            )
        return Subject(pseudonym=drawn_pseudonym(session), consent_id=NO_CONSENT)
    consent = load_consent(session.folder)
    _check(consent, purpose, path, today or datetime.date.today())
    return Subject(pseudonym=consent.pseudonym, consent_id=_consent_id(consent, path))


def _check(consent: Consent, purpose: Purpose, path: Path, today: datetime.date) -> None:
    if consent.withdrawal_date is not None:
        raise InputError(f"{path}: consent was withdrawn on {consent.withdrawal_date}")
    if consent.retention_until is not None and consent.retention_until < today.isoformat():
        raise InputError(f"{path}: the data were to be kept until {consent.retention_until}")
    if not consent.allows(purpose):
        agreed = ", ".join(consent.purposes) or "nothing"
        raise InputError(f"{path}: consent covers {agreed}, not {purpose}")
    if purpose in (Purpose.PUBLICATION, Purpose.SHARING) and not consent.image_publication:
        raise InputError(
            f"{path}: consent does not let photographs be shown to others "
            f"(image_publication), and an export for {purpose} holds them"
        )


def _consent_id(consent: Consent, path: Path) -> str:
    values = asdict(consent)
    del values["notes"]  # of the session, not of what was agreed
    return hmac.new(_salt(path.parent), hash_of(values).encode(), "sha256").hexdigest()[:16]


def _salt(restricted: Path) -> bytes:
    """Return the salt kept beside the consent, readable by its owner alone; draw it once.

    Without it a consent record, of which few words are secret, could be guessed from its hash.
    """
    path = restricted / _SALT_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        salt = path.read_bytes()
        if len(salt) < 16:
            raise InputError(f"{path}: damaged; delete it, a new one is drawn") from None
        return salt
    salt = secrets.token_bytes(32)
    with os.fdopen(handle, "wb") as stream:
        stream.write(salt)
    return salt


def splits_of(subjects: Iterable[str], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return subject -> split; those known keep theirs, so that no one moves into another.

    New ones are taken in an order that has nothing to do with who they are, each into the split
    that lacks most of its share.
    """
    wanted = set(subjects)
    splits = {s: split for s, split in (known or {}).items() if s in wanted and split in SPLITS}
    for subject in sorted(wanted - set(splits), key=lambda s: hash_of(["split", s])):
        counts = {split: list(splits.values()).count(split) for split in SPLITS}
        lack = {s: share * (len(splits) + 1) - counts[s] for s, share in SPLITS.items()}
        splits[subject] = max(lack, key=lambda split: lack[split])
    return dict(sorted(splits.items()))
