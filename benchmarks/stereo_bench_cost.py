"""What a build costs: run in a process of its own, whose CPU time and memory are its alone.

Compiled code is loaded from numba's cache; where it has to be compiled first, a small build
beforehand does so, and its time is told apart.
"""

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..calibration.check import check_take
from ..calibration.rigfile import load_rig
from ..capture.session import load_session
from ..core.devices import Device
from ..core.errors import FacekitError, InputError
from ..core.files import STAGE_RECORD, read_json
from ..core.jobs import apart
from ..core.spent import peak_gb
from ..dataset.build import BuildConfig, build_dataset
from ..dataset.rigcheck import RigCheck
from ..dataset.stages import STAGES_FOLDER
from ..dataset.stereo.colmap import Stereo
from .stereo_bench_scene import BenchScene

_WARM_UP = BuildConfig(
    megapixels=0.2, start_megapixels=0.05, check_rig=RigCheck.OFF, device=Device.CPU
)
"""Two scales, so that every kernel runs."""


@dataclass(frozen=True, kw_only=True)
class BuildCost:
    """Photographs to the saved mesh of one take."""

    cpu_s: float
    """Of all threads; modules are loaded before."""
    wall_s: float
    peak_gb: float
    """Most memory that the process held, loaded modules included."""
    import_cpu_s: float
    """Loading the modules, which a command pays once for all takes."""
    stages: dict[str, float]
    """Stage -> CPU seconds."""
    stages_wall: dict[str, float]
    """Stage -> seconds that passed."""
    figures: dict[str, Any]
    """As `dataset.build.build_take` returns them."""


def build_cost(
    scene: BenchScene, out: Path, *, check_rig: RigCheck = RigCheck.OFF,
    device: Device = Device.CPU, stereo: Stereo = Stereo.SWEEP,
) -> BuildCost:  # fmt: skip
    """Build a scene's take from nothing, with the cameras of `rig_file`, in a child process.

    Parameters
    ----------
    out : Path
        Removed first: a finished build would cost nothing.

    Raises
    ------
    FacekitError
        What the build raised.
    EstimationError
        The process ended without an answer, as it does when memory runs out.
    """
    shutil.rmtree(out, ignore_errors=True)
    config = BuildConfig(
        megapixels=scene.megapixels, check_rig=check_rig, device=device, stereo=stereo
    )
    return apart(_build, scene.session.folder, scene.rig_file, out, scene.take, config)


def warm_up(scene: BenchScene) -> float:
    """Build a scene's take small, so that all kernels are compiled; return its CPU seconds."""
    with TemporaryDirectory(prefix="facekit-warm-up.") as folder:
        return apart(_warm_up, scene.session.folder, scene.rig_file, Path(folder), scene.take)


def check_cost(scene: BenchScene) -> float:
    """Return CPU seconds of the check for moved cameras that precedes a build."""
    return apart(_check, scene.session.folder, scene.rig_file, scene.take)


def cost_figures(cost: BuildCost, scene: BenchScene) -> dict[str, Any]:
    """Return what a build cost, and what was told before; JSON-able.

    `predicted_cpu_s` and `predicted_gb` were told before stereo began, `predicted_finest_cpu_s`,
    of the last stage of `stages_cpu_s`, before that.
    """
    expected = cost.figures.get("expected") or {}
    finest = cost.figures.get("expected_finest") or {}
    return {
        "cpu_s": cost.cpu_s,
        "predicted_cpu_s": expected.get("cpu_s"),
        "predicted_gb": expected.get("gb"),
        "predicted_finest_cpu_s": finest.get("cpu_s"),
        "wall_s": cost.wall_s,
        "peak_gb": cost.peak_gb,
        "import_cpu_s": cost.import_cpu_s,
        "stages_cpu_s": cost.stages,
        "stages_wall_s": cost.stages_wall,
        "megapixels": scene.megapixels,
        "n_views": len(scene.rig),
        "vertices": cost.figures["vertices"],
        "cpu_s_per_megapixel_view": cost.cpu_s / (scene.megapixels * len(scene.rig)),
    }


def _build(session: Path, rig_file: Path, out: Path, take: str, config: BuildConfig) -> BuildCost:
    loaded = time.process_time()
    start = time.perf_counter()
    summary = build_dataset(load_session(session), load_rig(rig_file), out, config, takes=[take])
    wall_s = time.perf_counter() - start
    return BuildCost(
        cpu_s=time.process_time() - loaded,
        wall_s=wall_s,
        peak_gb=peak_gb(),
        import_cpu_s=loaded,
        stages=_stages(out / take, "cpu_seconds"),
        stages_wall=_stages(out / take, "seconds"),
        figures=summary["takes"][take],
    )


def _warm_up(session: Path, rig_file: Path, out: Path, take: str) -> float:
    with suppress(FacekitError):  # so small a build may find no surface; it ran all the same
        build_dataset(load_session(session), load_rig(rig_file), out, _WARM_UP, takes=[take])
    return time.process_time()


def _check(session: Path, rig_file: Path, take: str) -> float:
    loaded = time.process_time()
    opened = load_session(session)
    with TemporaryDirectory(prefix="facekit-check.") as cache:
        check_take(opened, opened.take(take), load_rig(rig_file), cache=Path(cache))
    return time.process_time() - loaded


def _stages(folder: Path, figure: str) -> dict[str, float]:
    found = {}
    records = sorted(
        (folder / STAGES_FOLDER).glob(f"*/{STAGE_RECORD}"), key=lambda path: path.stat().st_mtime
    )
    for path in records:
        try:
            found[path.parent.name] = float(read_json(path)[figure])
        except (InputError, KeyError):
            continue
    return found
