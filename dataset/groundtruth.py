"""From calibrated sessions to ground truth: meshes, one topology on all of them, their maps.

What is finished is kept: a build that was cut off goes on where it was, whoever runs it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..capture.session import Session
from ..core.devices import chosen_device
from ..core.facemodel.load import load_face_model
from ..core.folderlock import in_use
from ..core.geometry.camera import Rig
from ..core.jobs.engine import run
from ..core.jobs.job import Job, Outcome, Where
from ..core.jobs.progress import Tally
from .build import check_config, check_rig, wanted_takes
from .groundtruthconfig import NO_MODEL, GroundTruthConfig, Shard
from .sessionbuild import SessionBuild
from .stereo.colmap import Stereo, require_cuda

__all__ = ["NO_MODEL", "GroundTruthConfig", "Shard", "build_all", "build_ground_truth"]


def build_ground_truth(
    session: Session,
    rig: Rig,
    out: Path,
    config: GroundTruthConfig,
    *,
    takes: Sequence[str] | None = None,
    jobs: int = 1,
    shard: Shard | None = None,
    rig_file: Path | None = None,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Build the meshes of a session's takes, lay the face model on them and bake their maps.

    Parameters
    ----------
    session : Session
        As it stands in its folder: those who work on it read it there.
    takes : sequence of str, optional
        Ids of the takes wanted; all of kind `subject` by default.
    jobs : int
        Takes at a time.
    shard : Shard, optional
        Build these meshes alone. Registration follows with the run that finds the meshes of all
        takes done, but for those that failed; one that has to wait says so in
        `registration_waits_for`.
    rig_file : Path, optional
        Where the rig was read from, for the summary: exports need it.
    scheduler : str, optional
        File or address of a scheduler whose workers do it all; they see the same files.

    Returns
    -------
    dict
        `takes` (take -> figures, with `registration` and `maps` where it has them) and `failed`
        (take -> reason), JSON-able; also written to `out/build.json`.

    Raises
    ------
    FacekitError
        As `build.build_dataset`; or the face model cannot be read, or the scheduler has gone.
    """
    where = Where(jobs=jobs, scheduler=scheduler)
    check_build(config, where)
    wanted = wanted_takes(session, takes)
    mine = wanted if shard is None else shard.of(wanted)
    if not mine:
        return {"session": session.name, "takes": {}, "failed": {}}
    check_rig(session, rig)
    build = SessionBuild(
        session=session, rig=rig, out=out, config=config, wanted=wanted, mine=mine,
        rig_file=rig_file,
    )  # fmt: skip
    with in_use(session.folder):  # nobody may erase it meanwhile
        try:
            build_all([build], where)
        finally:
            summary = build.finish()  # what there is of it, should the scheduler have gone
    build.check()
    return summary


def check_build(config: GroundTruthConfig, where: Where) -> None:
    """Refuse, before any work, what holds for all takes.

    Raises
    ------
    FacekitError
        A setting is impossible, the face model cannot be read, or CUDA is asked for and absent;
        workers of a scheduler look for CUDA themselves.
    """
    check_config(config)
    if where.scheduler is None:
        chosen_device(config.device)
        if config.stereo is Stereo.COLMAP:
            require_cuda()
    if config.model != NO_MODEL:
        load_face_model(config.model)


def build_all(builds: Sequence[SessionBuild], where: Where, *, tally: Tally | None = None) -> None:
    """Run the builds of several sessions side by side; what came of them is in them.

    Each job keeps its own session from being erased: thousands could not be held open at once.

    Raises
    ------
    FacekitError
        As `engine.run`; what is finished by then is on disk.
    """
    tally = Tally() if tally is None else tally
    totals: dict[str, int] = {}

    def expect(build: SessionBuild, before: Mapping[str, int]) -> None:
        for stage, number in build.expected.items():
            totals[stage] = totals.get(stage, 0) + number - before.get(stage, 0)
            tally.expect(stage, totals[stage])

    def then(outcome: Outcome) -> Iterable[Job]:
        build = next(build for build in builds if outcome.job.name in build.sent)
        before = dict(build.expected)
        more = build.then(outcome)
        expect(build, before)
        return more

    first: list[Job] = []
    for build in builds:
        first += build.jobs()
        expect(build, {})
    for _ in run(first, where, then=then, tally=tally):
        pass
