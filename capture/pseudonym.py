"""By what name a subject goes: that of its consent, else one drawn when its session was made.

Drawn at random and kept in `restricted/pseudonym`, readable by its owner alone, so that it stays
the same from one export to the next and tells nothing to who has the photographs. Sessions that
were taken in before it was kept go by a hash of their photographs, as they did then; so do virtual
people, whom nobody needs to protect.
"""

import base64
import hashlib
from pathlib import Path

from ..core.errors import SchemaError
from ..core.files import write_private_text
from .session import SESSION_FILE, Session, TakeKind, load_session
from .sidecar import CONSENT_FILE, PSEUDONYM, load_consent, new_pseudonym

PSEUDONYM_FILE = "restricted/pseudonym"
_LENGTH = 7
_MOST_BYTES = 64


def keep_pseudonym(folder: Path) -> str:
    """Draw a session's pseudonym and keep it, unless it has one; return it.

    A session that is there already, but was made when none was kept, keeps the one it had.

    Raises
    ------
    SchemaError
        The file holds something else, or the session that is there cannot be read.
    """
    if (folder / CONSENT_FILE).is_file():
        return load_consent(folder).pseudonym
    known = kept_pseudonym(folder)
    if known is not None:
        return known
    is_older = (folder / SESSION_FILE).is_file()
    name = _of_photographs(load_session(folder)) if is_older else new_pseudonym()
    path = folder / PSEUDONYM_FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    write_private_text(path, name + "\n")
    return name


def kept_pseudonym(folder: Path) -> str | None:
    """Return the pseudonym that was drawn for a session's folder; None where none is kept."""
    path = folder / PSEUDONYM_FILE
    try:
        with path.open("rb") as stream:
            name = stream.read(_MOST_BYTES).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path}: not readable as a pseudonym ({error})") from error
    if not PSEUDONYM.fullmatch(name):
        raise SchemaError(
            f"{path}: holds no pseudonym (5 to 8 characters of A-Z and 2-7); put back the one "
            "that its exports have"
        )
    return name


def pseudonym_of(session: Session) -> str:
    """Return by what name the subject of a session goes."""
    if (session.folder / CONSENT_FILE).is_file():
        return load_consent(session.folder).pseudonym
    return drawn_pseudonym(session)


def drawn_pseudonym(session: Session) -> str:
    """Return the name of a session that has no consent: what was drawn, or of its photographs."""
    return kept_pseudonym(session.folder) or _of_photographs(session)


def _of_photographs(session: Session) -> str:
    photographs = sorted(
        shot.sha256 for take in session.takes_of(TakeKind.SUBJECT) for shot in take.shots
    )
    digest = hashlib.sha256(b"facekit subject\n" + "\n".join(photographs).encode())
    return base64.b32encode(digest.digest()).decode()[:_LENGTH]
