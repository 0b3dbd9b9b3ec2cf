"""From a calibrated session to a mesh of every subject take, resumable."""

import dataclasses
import functools
import logging
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..capture.session import Session, Take, TakeKind
from ..core.config import to_mapping
from ..core.console import track
from ..core.devices import Device, chosen_device
from ..core.errors import ConfigError, EstimationError, FacekitError, InputError
from ..core.files import hash_of, read_json, sha256_file, write_json
from ..core.folderlock import only_writer
from ..core.geometry.camera import Camera, Rig
from ..core.jobs import each_apart
from ..core.jobs.job import reason_of as reason_of
from ..core.wording import listed
from .appraisal import HEALTH_STAGE, PHOTO_STAGE, appraised
from .colmaptake import colmap_stages_of
from .cost import expected_cost, free_gb, shortage
from .rigcheck import RigCheck, checked_rig
from .stages import run_stages
from .stereo.colmap import Stereo, require_cuda
from .take import MOST_KEPT_PIXELS, TakeJob, stages_of

log = logging.getLogger(__name__)

SUMMARY = "build.json"
EXPECTED = (FacekitError, OSError, MemoryError, ArithmeticError, ValueError)
"""What may stop one take without stopping the others."""
_VERSION = 3  # of what the stages compute: a change makes older results stale


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """How the meshes are made."""

    megapixels: float = 6.0  # image size of the finest stereo; never enlarged
    start_megapixels: float = 0.09  # first depths: images are halved while they stay above it
    auto_mask: bool = True  # find a plain backdrop where a photograph has no mask
    seed: int = 0  # of PatchMatch's random planes
    stereo: Stereo = Stereo.SWEEP  # `colmap`: its dense stereo, to compare with; needs CUDA
    device: Device = Device.AUTO  # of the heavy loops: the same surface, not the same bytes
    check_rig: RigCheck = RigCheck.REPAIR  # a camera that moved since the calibration: for this
    # take, put it where its photograph shows it to be; `warn` only says so, `off` does not look


def build_dataset(
    session: Session,
    rig: Rig,
    out: Path,
    config: BuildConfig,
    *,
    takes: Sequence[str] | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Make `out/<take>/mesh.ply` and what belongs to it for every subject take.

    A take that fails does not stop the others: its reason stands in `failed`.

    Parameters
    ----------
    takes : sequence of str, optional
        Ids of the takes wanted; all of kind `subject` by default.
    jobs : int
        Takes at a time; more than one run in processes of their own.

    Returns
    -------
    dict
        `takes` (take -> figures) and `failed` (take -> reason), JSON-able; also written to
        `out/build.json`.

    Raises
    ------
    InputError
        The session has no such take, or shares fewer than two cameras with the rig.
    EstimationError
        Every take failed.
    MissingDependencyError
        CUDA is asked for, and torch or pycolmap have none.
    """
    check_config(config)
    # before any work: these hold for all takes
    chosen_device(config.device)
    if config.stereo is Stereo.COLMAP:
        require_cuda()
    wanted = wanted_takes(session, takes)
    check_rig(session, rig)
    done: dict[str, Any] = {}
    failed: dict[str, str] = {}
    codes = set()
    for take, answer in track(_answers(session, wanted, rig, out, config, jobs), "takes",
                              total=len(wanted)):  # fmt: skip
        try:
            done[take.id] = answer()
        except EXPECTED as error:
            failed[take.id] = reason_of(error)
            codes.add(getattr(error, "exit_code", 1))
            log.debug("%s failed: %s", take.id, failed[take.id], exc_info=True)
    done = {take.id: done[take.id] for take in wanted if take.id in done}
    summary = {"session": session.name, "takes": done, "failed": failed}
    write_summary(out, session, summary)
    if failed and not done:
        reasons = "; ".join(f"{take}: {reason}" for take, reason in failed.items())
        kind = InputError if codes == {InputError.exit_code} else EstimationError
        raise kind(f"no take could be built. {reasons}")
    return summary


def write_summary(out: Path, session: Session, summary: Mapping[str, Any]) -> None:
    """Write `build.json`; what it says of takes that the summary leaves out stays there."""
    out.mkdir(parents=True, exist_ok=True)
    with only_writer(out, wait=True):  # shards may end in the same moment
        before = told_before(out, session)
        merged = dict(summary)
        for kind in ("takes", "failed"):
            others = {
                name: entry
                for name, entry in before[kind].items()
                if name not in summary["takes"] and name not in summary["failed"]
            }
            both = others | summary[kind]
            merged[kind] = {take.id: both[take.id] for take in session.takes if take.id in both}
        write_json(out / SUMMARY, merged)


def told_before(out: Path, session: Session) -> dict[str, dict[str, Any]]:
    """Return `takes` and `failed` of the `build.json` that is there, empty where there is none."""
    try:
        values = read_json(out / SUMMARY)
        if values["session"] == session.name:
            return {"takes": dict(values["takes"]), "failed": dict(values["failed"])}
    except (InputError, KeyError, TypeError, ValueError):
        pass  # none yet, or damaged: it is written anew
    return {"takes": {}, "failed": {}}


def _answers(
    session: Session, takes: Sequence[Take], rig: Rig, out: Path, config: BuildConfig, jobs: int
) -> Iterator[tuple[Take, Callable[[], dict[str, Any]]]]:
    """Yield each take with what returns its figures, or raises what was wrong with it."""
    if jobs > 1:
        work = functools.partial(_build_one, session=session, rig=rig, out=out, config=config)
        for place, answer in each_apart(work, takes, jobs=jobs):
            yield takes[place], answer.result
    else:
        for take in takes:
            yield take, functools.partial(_build_one, take, session, rig, out, config)


def _build_one(
    take: Take, session: Session, rig: Rig, out: Path, config: BuildConfig
) -> dict[str, Any]:
    return build_take(session, take, rig, out / take.id, config)


def build_take(
    session: Session, take: Take, rig: Rig, folder: Path, config: BuildConfig
) -> dict[str, Any]:
    """Build one take in `folder`; return its figures, JSON-able."""
    start = time.perf_counter()
    used, remarks = _used_cameras(session, take, rig)
    for remark in remarks:
        log.warning("%s: %s", take.id, remark)
    photographs = _photograph_hashes(session, take, used)
    checked = checked_rig(
        session, take, used, folder, how=config.check_rig,
        inputs={**photographs, **calibration_hashes(used)},
    )  # fmt: skip
    used, remarks = checked.rig, [*remarks, *checked.remarks]
    size = min(_typical_pixels(session, take, used) / 1e6, config.megapixels)
    job = TakeJob(
        session=session,
        take=take,
        rig=used,
        folder=folder,
        megapixels=config.megapixels,
        n_halvings=_n_halvings(size, config.start_megapixels),
        auto_mask=config.auto_mask,
        seed=config.seed,
        device=chosen_device(config.device),
    )
    stages = colmap_stages_of if config.stereo is Stereo.COLMAP else stages_of
    cost = expected_cost(used.cameras, size, most_kept=MOST_KEPT_PIXELS)
    log.info("%s: %d views at %.2g megapixels; at most %s", take.id, len(used), size, cost)
    if (short := shortage(cost, size, free_gb())) is not None:
        log.warning("%s: %s", take.id, short)
    results = run_stages(
        folder,
        appraised(job, stages(job), stages_of=stages),
        config=_of_meshes(config),
        inputs={**photographs, **calibration_hashes(used)},
        where=take.id,
    )
    health = results[HEALTH_STAGE]
    return {
        "mesh": str(folder / "mesh.ply"),
        "views": [name for name in used.names if name not in health["left_out"]],
        "left_out": health["left_out"],
        "remarks": [*remarks, *health["sentences"]],
        "unit": "mm" if rig.metric else "arbitrary",
        "rig_check": None if checked.record is None else checked.record["verdict"],
        **results["cloud"],
        **results["mesh"],
        "expected": results.get("depth", {}).get("expected"),
        "view_health": health["views"],
        "photo_consistency": results[PHOTO_STAGE],
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def _of_meshes(config: BuildConfig) -> dict[str, Any]:
    """Return the settings of the meshes.

    The check matters by the rig alone, which is hashed. Surfaces of two devices differ less than
    those of two seeds, a fifth of their standard deviation, and nobody chooses a device for its
    surface: a take begun on one may be finished on another. The stages' records name it.
    """
    values = to_mapping(config)
    names = {field.name for field in dataclasses.fields(BuildConfig)} - {"check_rig", "device"}
    return {name: value for name, value in values.items() if name in names}


def check_config(config: BuildConfig) -> None:
    """Refuse sizes that no picture has.

    Raises
    ------
    ConfigError
        Names the settings.
    """
    if not config.megapixels > 0 or not config.start_megapixels > 0:
        raise ConfigError("megapixels and start_megapixels need to be above 0")


def wanted_takes(session: Session, takes: Sequence[str] | None) -> list[Take]:
    """Return the subject takes of these ids, all by default.

    Raises
    ------
    InputError
        There is none, or one of them shows no subject.
    """
    if takes is None:
        subjects = list(session.takes_of(TakeKind.SUBJECT))
        if not subjects:
            raise InputError(f"{session.folder}: no take of a subject; ingest some photographs")
        return subjects
    chosen = [session.take(name) for name in dict.fromkeys(takes)]
    for take in chosen:
        if take.kind is not TakeKind.SUBJECT:
            raise InputError(f"{session.folder}: take {take.id} shows a {take.kind}, no subject")
    return chosen


def check_rig(session: Session, rig: Rig) -> None:
    """Refuse a rig that shares fewer than two cameras with the session.

    Raises
    ------
    InputError
        Names the cameras.
    """
    ids = [camera.id for camera in session.cameras]
    shared = set(ids) & set(rig.names)
    if len(shared) < 2:
        raise InputError(
            f"{session.folder}: its cameras ({listed(ids)}) and the rig's "
            f"({listed(rig.names)}) have {len(shared)} in common, but stereo needs two; "
            "is this the rig of another session?"
        )


def _used_cameras(session: Session, take: Take, rig: Rig) -> tuple[Rig, list[str]]:
    """Return the rig of the take's usable photographs, and remarks on what is left out."""
    photographed = [shot.camera for shot in take.shots]
    used = [name for name in photographed if name in rig.names]
    unknown = [name for name in photographed if name not in rig.names]
    missing = [name for name in rig.names if name not in photographed]
    remarks = list(take.problems)
    if unknown:
        remarks.append(f"left out, not in the rig: {listed(unknown)}")
    if missing:
        remarks.append(f"no photograph of {listed(missing)}")
    if len(used) < 2:
        raise InputError(
            f"{session.folder}: take {take.id} has {len(used)} photographs of calibrated "
            "cameras; stereo needs two"
        )
    return replace(rig, cameras=tuple(rig[name] for name in used)), remarks


def _typical_pixels(session: Session, take: Take, used: Rig) -> float:
    sizes = sorted(shot.width * shot.height for shot in take.shots if shot.camera in used.names)
    return float(sizes[len(sizes) // 2])


def _n_halvings(megapixels: float, least: float) -> int:
    n = 0
    while megapixels / 4 ** (n + 1) >= least:
        n += 1
    return n


def _photograph_hashes(session: Session, take: Take, used: Rig) -> dict[str, str]:
    hashes = {"version": str(_VERSION)}
    for camera in used:
        shot = take.shot(camera.name)
        assert shot is not None
        mask = session.mask_path(shot)
        hashes[f"photograph of {camera.name}"] = shot.sha256
        hashes[f"mask of {camera.name}"] = "none" if mask is None else sha256_file(mask)
    return hashes


def calibration_hashes(used: Rig) -> dict[str, str]:
    """Return what a build's records call each camera's calibration -> a hash of it."""
    return {f"calibration of {camera.name}": _camera_hash(camera) for camera in used}


def _camera_hash(camera: Camera) -> str:
    return hash_of(
        [camera.width, camera.height, camera.K.tolist(), camera.cam_from_world.tolist(),
         camera.distortion.tolist()]
    )  # fmt: skip
