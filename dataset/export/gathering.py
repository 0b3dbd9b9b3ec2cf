"""Which subjects of which build folders go out, and who is refused."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...capture.pseudonym import pseudonym_of
from ...capture.session import Take
from ...capture.sidecar import Purpose
from ...core.errors import InputError
from ..build import EXPECTED, reason_of
from .records import safe_names
from .source import Source, load_source
from .subjects import Subject, subject_of


@dataclass(frozen=True, kw_only=True)
class SourceTake:
    """A take and where it comes from."""

    source: Source
    take: Take
    name: str
    """Of its capture: different for all takes of a subject."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """All that a run exports."""

    subjects: Mapping[Subject, tuple[SourceTake, ...]]
    refused: Mapping[str, str]
    """Build folder -> why nothing of it goes out."""
    left_out: Mapping[str, str]
    """`<build folder>: <take>` -> why it does not."""


def gather(
    builds: Sequence[Path], purpose: Purpose, *, no_person: bool = False,
    shards: Path | None = None, today: datetime.date | None = None,
) -> Gathered:  # fmt: skip
    """Read build folders and sort their takes by subject.

    A build folder holds one session, and a session one subject; a subject may have several.
    One that cannot be read or may not go out does not stop the others.

    Parameters
    ----------
    no_person : bool
        See `subject_of`.
    shards : Path, optional
        Where an earlier export may have left shards of those who may not go out any more.

    Raises
    ------
    InputError
        None may or can go out, or a folder is given twice.
    """
    if len({build.resolve() for build in builds}) < len(builds):
        raise InputError("a build folder is given twice")
    found: dict[Subject, list[tuple[Source, Take]]] = {}
    refused: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for build in builds:
        left = ""
        try:
            source = load_source(build)
            left = _left_shard(pseudonym_of(source.session), shards)
            subject = subject_of(source.session, purpose, no_person=no_person, today=today)
            subject = _known(subject, list(found))
        except EXPECTED as error:
            refused[str(build)] = reason_of(error) + left
            continue
        found.setdefault(subject, []).extend((source, take) for take in source.takes)
        left_out |= {f"{build}: {take}": reason for take, reason in source.left_out.items()}
    if not found:
        raise InputError("nothing can be exported. " + "; ".join(refused.values()))
    subjects = {}
    for subject, takes in found.items():
        names = safe_names([take.id for _, take in takes])
        subjects[subject] = tuple(
            SourceTake(source=source, take=take, name=name)
            for (source, take), name in zip(takes, names, strict=True)
        )
    return Gathered(subjects=subjects, refused=refused, left_out=left_out)


def _left_shard(pseudonym: str, shards: Path | None) -> str:
    """Say where a subject who may not go out (any more) is in the dataset from before."""
    if shards is None:
        return ""
    path = shards / f"{pseudonym}.h5"
    return f"; {path} of an earlier export is still there, delete it" if path.is_file() else ""


def _known(subject: Subject, before: Sequence[Subject]) -> Subject:
    """Return the subject as it was met first: a second session brings its own consent record."""
    same = [other for other in before if other.pseudonym == subject.pseudonym]
    return same[0] if same else subject
