"""The families of fixtures: their files, our entry points on their arrays, their tolerances.

Official seconds are those of the run on a quiet machine where there was one, less reading.
"""

import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.files import read_json
from .esrc.score import EsrcScore, score_esrc
from .evaluation.predictions import read_mesh
from .evaluators_bench_case import BenchCase, Limit, Parity, most_off, off
from .facescape.score import PoseScore, score_lab, score_wild
from .micc import ganfit
from .micc.layout import SCANS, prediction_of, read_ljson, read_template, subjects_of
from .now.score import NowScore, score_now
from .realy.score import RealyScore, score_arrays

Arrays = Mapping[str, NDArray[Any]]
Official = Mapping[str, Any]
Loader = tuple[str, Callable[[], BenchCase]]
"""Name of a case, and what reads its files."""

LIMITS: Mapping[str, Mapping[str, Limit]] = {
    # float rounding alone moves a region by 2e-7 in the median and 1.5e-3 in the worst case
    "realy": {"nmse_mm": Limit(worst=2e-3, typical=1e-6)},
    "now": {
        "point_mm": Limit(worst=1e-5),
        "median_mm": Limit(worst=1e-6),
        "mean_mm": Limit(worst=1e-6),
        "metrical_point_mm": Limit(worst=1e-5),
        "metrical_median_mm": Limit(worst=1e-6),
        "metrical_mean_mm": Limit(worst=1e-6),
        "unequal_counts": Limit(worst=0.0),
    },
    "facescape": {
        "wild_cd_mm": Limit(worst=5e-3),
        "wild_cr": Limit(worst=1e-3),
        "wild_mne_rad": Limit(worst=1e-3),
        # a few rays get stuck on other triangles than officially
        "injected_cd_mm": Limit(worst=5e-2, typical=1e-9),
        "injected_cr": Limit(worst=1e-3, typical=1e-9),
        "injected_mne_rad": Limit(worst=1e-3, typical=1e-9),
    },
    "micc": {
        "error_mm": Limit(worst=1e-9),
        "way_mm": Limit(worst=1e-9),
        "unequal_counts": Limit(worst=0.0),
    },
    "esrc": {
        "point_mm": Limit(worst=1e-9),
        "rmse_mm": Limit(worst=1e-9),
        "mean_mm": Limit(worst=1e-9),
        "median_mm": Limit(worst=1e-9),
        "std_mm": Limit(worst=1e-9),
        "unequal_counts": Limit(worst=0.0),
    },
}
"""Family -> quantity -> tolerance; quantities without one are told, and no more."""


def realy_cases(folder: Path) -> Iterator[Loader]:
    """Yield the cases of REALY: all four regions of one prediction."""
    for path in _archives(folder, "case_*"):
        yield path.stem, partial(_realy_case, path)


def _realy_case(path: Path) -> BenchCase:
    arrays, official = _read(path)
    names = list(official["regions"])
    regions = {name: (arrays[f"{name}_v"], arrays[f"{name}_f"]) for name in names}

    def work() -> RealyScore:
        return score_arrays(
            arrays["pred_v"], arrays["pred_f"], arrays["bary85"], arrays["gt_kpts"], regions,
            float(official["metrical_scale"]),
        )  # fmt: skip

    def compare(score: RealyScore) -> Parity:
        expected = official["regions"]
        return Parity(
            differences={
                "nmse_mm": [off(score.regions[n].nmse_mm, expected[n]["nmse_mm"]) for n in names]
            },
            counts_equal=all(
                (score.regions[n].rigid_steps, score.regions[n].solves)
                == (expected[n]["ricp_iters"], expected[n]["nicp_solves"])
                for n in names
            ),
        )

    return BenchCase(
        work=work, compare=compare,
        official_seconds=_seconds(official, "total", "read"),
    )  # fmt: skip


def now_cases(folder: Path) -> Iterator[Loader]:
    """Yield the cases of NoW, and a further one where there is a metrical result."""
    for path in _archives(folder, "case_*"):
        yield path.stem, partial(_now_case, path, metrical=False)
        if read_json(path.with_suffix(".json")).get("metrical"):
            yield f"{path.stem}_metrical", partial(_now_case, path, metrical=True)


def _now_case(path: Path, *, metrical: bool) -> BenchCase:
    arrays, official = _read(path)
    part = official["metrical"] if metrical else official["nonmetrical"]
    iterations = part["iters"] if metrical else official["iters"]
    prefix, key = ("metrical_", "distances_metrical") if metrical else ("", "distances")

    def work() -> NowScore:
        return score_now(
            arrays["scan_v"], arrays["scan_lmk"], arrays["pred_v"], arrays["pred_f"],
            arrays["pred_lmk"], unit=part["unit"] if metrical else None,
        )  # fmt: skip

    def compare(score: NowScore) -> Parity:
        differences = {f"{prefix}{n}_mm": [off(score.values[n], part[n])] for n in _STATISTICS}
        if key in arrays:
            differences[f"{prefix}point_mm"] = [most_off(score.distances, arrays[key])]
        equal = score.registration.iterations == iterations
        return Parity(
            differences=differences | {"unequal_counts": [float(not equal)]}, counts_equal=equal
        )

    seconds = part["cpu"] if metrical else _seconds(official, "total_cpu", "read")
    return BenchCase(work=work, compare=compare, official_seconds=float(seconds))


_STATISTICS = ("median", "mean", "std")


def esrc_cases(folder: Path) -> Iterator[Loader]:
    """Yield the cases of ESRC, whose inputs are those of NoW's case of the same number."""
    for path in _records(folder, "case_*"):
        source = path.parents[1] / "now" / f"{path.stem}.npz"
        if not source.is_file():  # of `local_only/`
            source = next(path.parents[1].rglob(f"now/**/{path.stem}.npz"), source)
        yield path.stem, partial(_esrc_case, path, source)


def _esrc_case(path: Path, source: Path) -> BenchCase:
    official = read_json(path)
    arrays = _arrays(source)
    distances = _arrays(path.with_name(f"{path.stem}_distances.npz"))

    def work() -> EsrcScore:
        return score_esrc(
            arrays["scan_v"], arrays["scan_lmk"], arrays["pred_v"], arrays["pred_f"],
            arrays["pred_lmk"],
        )  # fmt: skip

    def compare(score: EsrcScore) -> Parity:
        names = ("rmse", *_STATISTICS)
        differences = {f"{n}_mm": [off(score.values[n], official[n])] for n in names}
        differences["point_mm"] = [most_off(score.distances, distances["distance"])]
        equal = np.array_equal(score.vertex, distances["vertex_index"])
        return Parity(
            differences=differences | {"unequal_counts": [float(not equal)]}, counts_equal=equal
        )

    return BenchCase(work=work, compare=compare, official_seconds=float(official["cpu_s"]))


def facescape_cases(folder: Path) -> Iterator[Loader]:
    """Yield the cases of FaceScape; our own depth is timed, the official one then injected."""
    for path in _archives(folder, "fs*"):
        yield path.stem, partial(_facescape_case, path)


def _facescape_case(path: Path) -> BenchCase:
    arrays, official = _read(path)
    is_wild = "pupil_scale" in arrays
    camera = ("R", "head_center", *(("pupil_scale",) if is_wild else ("K", "Rt")))
    score: Callable[..., PoseScore] = score_wild if is_wild else score_lab
    mesh = [arrays[name] for name in ("gt_v", "gt_f", "pred_v_after_loader", "pred_f")]
    given = {name: arrays[name] for name in camera}

    def work() -> PoseScore:
        return score(*mesh, **given)

    def compare(own: PoseScore) -> Parity:
        depths = {"depth_gt": arrays["depth_gt"], "depth_pred": arrays["depth_pred"]}
        injected = score(*mesh, **given, **depths)
        differences = {}
        # own depth in the lab is not what a GL driver's depth buffer rounds to: told only
        for prefix, one in (("wild" if is_wild else "lab", own), ("injected", injected)):
            for name, unit, found in (
                ("cd", "_mm", one.cd), ("cr", "", one.cr), ("mne", "_rad", one.mne),
            ):  # fmt: skip
                differences[f"{prefix}_{name}{unit}"] = [off(found, official[name.upper()])]
        sizes = (len(injected.distances.pred_to_gt), len(injected.distances.gt_to_pred))
        expected = (official["cyl_pred_mesh"][0], official["cyl_gt_mesh"][0])
        return Parity(differences=differences, counts_equal=sizes == expected)

    return BenchCase(
        work=work, compare=compare,
        official_seconds=_seconds(official, "total_cpu", "load_cpu"),
    )  # fmt: skip


def micc_cases(folder: Path) -> Iterator[Loader]:
    """Yield the subjects of MICC: all kinds of footage against both scans."""
    official = read_json(folder / "official.json")
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        with tarfile.open(folder / "layout.tar.gz") as archive:
            archive.extractall(data, filter="data")
        for subject in subjects_of(data, "reg"):
            if str(subject) in official:
                settings = official[str(subject)]["settings"]
                yield f"subject_{subject:02d}", partial(_micc_case, data, subject, settings)


def _micc_case(data: Path, subject: int, official: Official) -> BenchCase:
    template = read_template(data / "template.obj", data / "landmark_ids.pkl")
    radius = ganfit.CROP_RADII.get(subject, ganfit.CROP_RADIUS)
    nose = int(template.landmark_vertices[ganfit.NOSE_TIP])
    scans = {
        SCANS.index(files.name) + 1: (read_mesh(files.mesh), read_ljson(files.landmarks))
        for files in subjects_of(data, "reg")[subject]
    }
    predicted = {name: read_mesh(prediction_of(data / "rec", subject, name)) for name in official}
    pairs = {(name, scan["scan"]): scan for name in official for scan in official[name]["scans"]}

    def work() -> dict[tuple[str, int], ganfit.GanfitScore]:
        scores = {}
        cropped = {
            number: ganfit.crop_scan(
                scan.vertices, scan.faces, scan_landmarks=marks,
                template_landmarks=template.landmarks, radius=radius,
            )
            for number, (scan, marks) in scans.items()
        }  # fmt: skip
        for name, mesh in predicted.items():
            prediction = ganfit.crop_prediction(mesh.vertices, mesh.faces, nose, radius=radius)
            for number, scan in cropped.items():
                scores[name, number] = ganfit.score_pair(scan, prediction)
        return scores

    def compare(scores: dict[tuple[str, int], ganfit.GanfitScore]) -> Parity:
        found = [(scores[key], pair) for key, pair in pairs.items()]
        ways = [
            (way, pair[name])
            for score, pair in found
            for name, way in (("reg_to_rec", score.reg_to_rec), ("rec_to_reg", score.rec_to_reg))
        ]
        lowest = {
            name: min(s.error_mm for (of, _), s in scores.items() if of == name)
            for name in official
        }
        n_unequal = sum(way.iterations != expected[1] for way, expected in ways)
        return Parity(
            differences={
                "error_mm": [
                    *(off(score.error_mm, pair["error"]) for score, pair in found),
                    *(off(lowest[name], official[name]["min"]) for name in official),
                ],
                "way_mm": [off(way.error_mm, expected[0]) for way, expected in ways],
                "unequal_counts": [float(n_unequal)],
            },
            counts_equal=n_unequal == 0,
        )

    return BenchCase(
        work=work, compare=compare, n=len(pairs),
        official_seconds=sum(float(pair["cpu_s"]) for pair in pairs.values()),
    )  # fmt: skip


FAMILY_CASES: Mapping[str, Callable[[Path], Iterator[Loader]]] = {
    "realy": realy_cases,
    "now": now_cases,
    "facescape": facescape_cases,
    "micc": micc_cases,
    "esrc": esrc_cases,
}
"""Family -> its cases in a folder."""


def _records(folder: Path, pattern: str) -> list[Path]:
    """Return the JSON records of a folder and of those in it."""
    return sorted(folder.rglob(f"{pattern}.json"), key=lambda path: path.name)


def _archives(folder: Path, pattern: str) -> list[Path]:
    return [path.with_suffix(".npz") for path in _records(folder, pattern)]


def _read(path: Path) -> tuple[Arrays, Official]:
    return _arrays(path), read_json(path.with_suffix(".json"))


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        raise InputError(f"{path}: no such file; a fixture's arrays are expected there")
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def _seconds(official: Official, total: str, reading: str) -> float:
    times = official.get("time_quiet_machine") or official["time"]
    return float(times[total]) - float(times[reading])
