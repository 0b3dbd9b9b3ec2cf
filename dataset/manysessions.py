"""A lab's captures in one run: sessions, each with its rig, each into a folder of its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..calibration.rigfile import RIG_FILE, load_rig
from ..capture.session import load_session
from ..core.errors import EstimationError, InputError
from ..core.jobs.job import Where, reason_of
from ..core.jobs.progress import Tally
from .build import EXPECTED, check_rig, wanted_takes
from .groundtruth import build_all, check_build
from .groundtruthconfig import GroundTruthConfig, Shard
from .sessionbuild import SessionBuild

_MOST_TOLD = 5  # failures in the sentence of a run that made nothing


@dataclass(frozen=True, kw_only=True)
class Source:
    """A session and the calibration of its rig."""

    session: Path
    rig: Path | None = None
    """`rig.json`, or its folder; None: the one in or beside the session's folder."""


def rig_beside(session: Path) -> Path:
    """Return the calibration that lies in or beside a session's folder.

    Raises
    ------
    InputError
        There is none.
    """
    places = (session / "calibration", session, session.absolute().parent / "calibration")
    for place in places:
        if (place / RIG_FILE).is_file():
            return place / RIG_FILE
    raise InputError(
        f"{session}: no calibration/{RIG_FILE} in it or beside it; say where it is by --rig"
    )


def build_sessions(
    sources: Sequence[Source],
    out: Path,
    config: GroundTruthConfig,
    where: Where,
    *,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """Build every session's ground truth in `out/<its name>`, as `build_ground_truth` does for one.

    A session that cannot be read stops no other.

    Parameters
    ----------
    shard : Shard, optional
        Build these sessions alone: whole ones, since takes of a session need each other.

    Returns
    -------
    dict
        `done` and `failures` (numbers), `sessions` (name -> its numbers of takes), `failed`
        (`session/take` or session -> reason), `stages` (counts and seconds of each stage group),
        JSON-able.

    Raises
    ------
    InputError
        A session is given twice, or two have one name; or nothing could be built, all for wrong
        inputs.
    EstimationError
        Nothing could be built.
    FacekitError
        As `groundtruth.check_build`, or the scheduler has gone.
    """
    check_build(config, where)
    twice = [path for path, n in Counter(one.session.resolve() for one in sources).items() if n > 1]
    if twice:
        raise InputError(f"{twice[0]}: the session is given twice")
    readable, failed = _builds(sources, out, config)
    # of those given, not of those that can be read: which these are may change between two parts
    mine = [one.session for one in (sources if shard is None else shard.of(sources))]
    builds = [readable[session] for session in mine if session in readable]
    tally = Tally()
    try:
        build_all(builds, where, tally=tally)
    finally:
        for build in builds:
            if build.takes or build.failed:
                build.finish()
    reasons = {str(session): failed[session] for session in mine if session in failed}
    for build in builds:
        for take, reason in build.failed.items():
            reasons[f"{build.session.name}/{take}"] = reason
    if reasons and not any(build.takes for build in builds):
        raise _nothing(reasons, builds)
    done = sum(take not in build.failed for build in builds for take in build.takes)
    return {
        "done": done,
        "failures": len(reasons),
        "sessions": {
            build.session.name: {
                "done": sum(take not in build.failed for take in build.takes),
                "failed": len(build.failed),
                "out": str(build.out),
            }
            for build in builds
        },
        "failed": reasons,
        "stages": tally.figures(),
    }


def _builds(
    sources: Sequence[Source], out: Path, config: GroundTruthConfig
) -> tuple[dict[Path, SessionBuild], dict[Path, str]]:
    """Return the builds of the sessions that can be read, and why others cannot."""
    builds, failed = dict[Path, SessionBuild](), dict[Path, str]()
    for source in sources:
        try:
            session = load_session(source.session)
            rig_file = rig_beside(source.session) if source.rig is None else source.rig
            rig = load_rig(rig_file)
            takes = wanted_takes(session, None)
            check_rig(session, rig)
        except EXPECTED as error:
            failed[source.session] = reason_of(error)
            continue
        builds[source.session] = SessionBuild(
            session=session, rig=rig, out=out / session.name, config=config,
            wanted=takes, mine=takes, rig_file=rig_file,
        )  # fmt: skip
    names = Counter(build.session.name for build in builds.values())
    for name, number in names.items():
        if number > 1:
            folders = [str(b.session.folder) for b in builds.values() if b.session.name == name]
            raise InputError(
                f"{' and '.join(folders)}: both sessions are called {name!r}, and would share a "
                "folder; ingest one with another --name, or build them one by one"
            )
        if Path(name).name != name or name.startswith("."):
            raise InputError(f"a session is called {name!r}, which is no name for a folder")
    return builds, failed


def _nothing(reasons: dict[str, str], builds: Sequence[SessionBuild]) -> Exception:
    told = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:_MOST_TOLD])
    more = "" if len(reasons) <= _MOST_TOLD else f"; and {len(reasons) - _MOST_TOLD} more"
    wrong = all(build.only_wrong_inputs for build in builds)
    return (InputError if wrong else EstimationError)(f"nothing could be built. {told}{more}")
