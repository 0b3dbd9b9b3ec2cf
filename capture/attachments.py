"""What belongs to the photographs of a session: masks, the other file of a pair, checksums."""

from collections.abc import Sequence
from dataclasses import replace

from ..core.errors import InputError
from .consistency import Draft
from .masks import MaskFile, find_mask, read_mask
from .naming import printable
from .photo import Photo
from .scan import Scan
from .session import Refusal, Session
from .store import COMPANIONS, MASKS, store_companion, store_mask


def with_companions(session: Session, scan: Scan) -> Session:
    """Copy the other file of each exposure and name it in the session."""
    if not scan.companions:
        return session
    takes = []
    for take in session.takes:
        shots = []
        for shot in take.shots:
            other = scan.companions.get(shot.source or "")
            if other is not None:
                name = f"{COMPANIONS}/{take.id}/{shot.camera}{other.suffix.lower()}"
                sha256 = store_companion(scan.root / other, session.folder / name)
                shot = replace(shot, companion=name, companion_sha256=sha256)
            shots.append(shot)
        takes.append(replace(take, shots=tuple(shots)))
    return replace(session, takes=tuple(takes))


def sums_of(session: Session) -> dict[str, str]:
    """Return the SHA-256 of all originals of a session."""
    sums: dict[str, str] = {}
    for take in session.takes:
        for shot in take.shots:
            sums[shot.file] = shot.sha256
            if shot.companion is not None and shot.companion_sha256 is not None:
                sums[shot.companion] = shot.companion_sha256
    return sums


def with_masks(session: Session, draft: Draft, scan: Scan, photos: Sequence[Photo]) -> Session:
    """Write the masks of the photographs and name them in the session."""
    stems = [photo.stem.lower() for photo in photos]
    refused = list(session.refused)
    takes = []
    for take, drafted in zip(session.takes, draft.takes, strict=True):
        shots = []
        problems = list(take.problems)
        for shot in take.shots:
            photo = drafted.shots[shot.camera]
            unique = stems.count(photo.stem.lower()) == 1
            mask = find_mask(scan.masks, photo.folders, photo.stem, unique=unique)
            if mask is not None:
                name = f"{MASKS}/{take.id}/{shot.camera}.png"
                try:
                    pixels = read_mask(mask.path, width=shot.width, height=shot.height)
                except InputError as error:
                    reason = str(error).removeprefix(f"{mask.path}: ")
                    refused.append(Refusal(file=_file_of(mask, scan), reason=reason))
                    problems.append(f"camera {shot.camera}: its mask is not used, {reason}")
                else:
                    store_mask(session.folder / name, pixels)
                    shot = replace(shot, mask=name)
            shots.append(shot)
        takes.append(replace(take, shots=tuple(shots), problems=tuple(problems)))
    n_masks = sum(shot.mask is not None for take in takes for shot in take.shots)
    notes = session.notes
    if scan.masks:
        n_shots = sum(len(take.shots) for take in takes)
        notes = (*notes, f"{n_masks} of {n_shots} photographs have a mask")
    return replace(session, takes=tuple(takes), refused=tuple(refused), notes=notes)


def _file_of(mask: MaskFile, scan: Scan) -> str:
    """Return a mask's path in the source folder, its absolute path where it lies elsewhere."""
    path, root = mask.path.absolute(), scan.root.absolute()
    return printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else path)
