"""One page over everything made of a session; what has not been made yet is named."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..calibration.frame import orientations
from ..calibration.frame import upright as upright_frame
from ..calibration.rigfile import RIG_FILE, load_rig
from ..capture.naming import count_of
from ..capture.session import Session, TakeKind, load_session
from ..capture.virtual.truth import Truth, load_truth
from ..core.arrays import Floats32
from ..core.console import track
from ..core.errors import FacekitError
from ..core.files import STAGE_RECORD, read_json
from ..core.geometry.camera import Rig
from ..core.geometry.meshio import load_mesh
from ..core.geometry.transform import Similarity
from ..core.pagesize import fitted
from ..core.rendering.preview import MeshPreview
from ..core.report import (
    Block,
    Gallery,
    KeyFigure,
    KeyFigures,
    Missing,
    Section,
    Status,
    Text,
    picture,
    write_page,
)
from ..dataset.build import SUMMARY
from ..dataset.erase.finding import PHOTOGRAPHS_MARK
from .rig_accuracy import CalibrationAccuracy, calibration_error
from .session_calibration import calibration_section
from .session_cameras import cameras_section
from .session_compare import compare_section
from .session_contact import contact_section
from .session_coverage import coverage_section
from .session_maps import maps_section
from .session_photos import photographs_section, subject_strip
from .session_plots import timing_plot
from .session_provenance import find_stages, provenance_section
from .session_quality import Quality, find_quality
from .session_stability import find_stability, stability_section, unsteady
from .session_surface import Surface, renders, surface_section, view_section
from .session_verdict import STATUS, calibration_result, verdict_word
from .session_views import views_section
from .virtual import find_meshes, measure_take

log = logging.getLogger(__name__)

MOST_BYTES = 8_000_000
"""Of the page: small enough to be sent."""
_MAX_TAKES = 6  # surfaces shown with pictures of their own


@dataclass(frozen=True, kw_only=True)
class _Made:
    """Everything found of a session."""

    session: Session
    calibration_folder: Path | None
    build_folder: Path | None
    rig: Rig | None
    """As calibrated."""
    upright: Similarity
    """Rig's frame -> the page's: the true one where it is known, else upright as the
    photographs are."""
    truth: Truth | None
    rig_accuracy: CalibrationAccuracy | None
    surfaces: tuple[Surface, ...]
    quality: Quality
    stability: Mapping[str, Mapping[str, Any]]
    """Take -> what its ties say of the rig."""
    problems: tuple[str, ...]


def write_report(
    session_folder: Path,
    *,
    calibration_folder: Path | None = None,
    build_folder: Path | None = None,
    compare_folder: Path | None = None,
    out: Path,
) -> Path:
    """Write one self-contained HTML page; return its path.

    Parameters
    ----------
    calibration_folder : Path, optional
        Holds `rig.json`, perhaps `residuals.json`.
    build_folder : Path, optional
        Holds `<take>/mesh.ply`, perhaps maps of every view.
    compare_folder : Path, optional
        Another build of the session, to be held against this one.
    out : Path
        The HTML file.

    Raises
    ------
    InputError
        `session_folder` holds no session. Anything else that cannot be read becomes a remark
        on the page.
    """
    made = _find(load_session(session_folder), calibration_folder, build_folder)
    for problem in made.problems:
        log.warning("report: %s", problem)
    log.info("report: drawing %d surfaces of %s", len(made.surfaces), made.session.name)
    sections = [
        _overview(made),
        surface_section(made.surfaces, has_truth=made.truth is not None),
        contact_section(made.session, made.surfaces, made.rig, build_folder=build_folder,
                        upright=made.upright),
        coverage_section(made.surfaces),
        maps_section(_built_takes(build_folder), build_folder),
        view_section(made.surfaces, made.rig and made.rig.moved(made.upright)),
        cameras_section(made.session, made.quality, made.calibration_folder,
                        _built_takes(build_folder)),
        calibration_section(made.session, made.rig, calibration_folder, made.rig_accuracy,
                            upright=made.upright, subject=_subject_points(made)),
        stability_section(made.stability, has_rig=made.rig is not None),
        views_section(made.session, build_folder, made.rig),
        photographs_section(made.session, made.quality),
        _timing_section(made),
        provenance_section(
            find_stages([made.session.folder, calibration_folder, build_folder]),
            version=__version__,
        ),
    ]  # fmt: skip
    if compare_folder is not None:
        compared = compare_section(
            made.surfaces, build_folder, compare_folder, upright=made.upright,
            truth=made.truth, rig_accuracy=made.rig_accuracy,
        )  # fmt: skip
        sections.insert(1, compared)
    photographs = _photographs_of(made.session)
    sections, scale = fitted(sections, MOST_BYTES - len(photographs))
    page = write_page(
        out,
        title=made.session.name,
        subtitle=_subtitle(made),
        sections=sections,
        marks={PHOTOGRAPHS_MARK: photographs},
        footer=f"facekit {__version__}. Lengths in mm; +x is the subject's left, +y up, "
        f"+z out of the face; the centre of the top-left pixel is (0.5, 0.5).{_said(scale)}",
    )
    if (size := page.stat().st_size) > MOST_BYTES:
        log.warning(
            "%s: %.2f MB, though its pictures are as small as they get",
            page, size / 1e6,
        )  # fmt: skip
    return page


def _photographs_of(session: Session) -> str:
    """Return by what `facekit erase` knows the page: hashes, one of each take of the subject."""
    takes = session.takes_of(TakeKind.SUBJECT)
    return " ".join(take.shots[0].sha256 for take in takes if take.shots)


def _said(scale: float) -> str:
    if scale == 1:
        return ""
    return (
        f" Pictures were reduced to {scale:.0%} of their size, to keep the page below "
        f"{MOST_BYTES / 1e6:g} MB."
    )


def _built_takes(build_folder: Path | None) -> Mapping[str, Any]:
    """Return what `build.json` says of each take; nothing where there is none."""
    if build_folder is None or not (build_folder / SUMMARY).is_file():
        return {}
    try:
        takes: Mapping[str, Any] = read_json(build_folder / SUMMARY)["takes"]
    except (FacekitError, KeyError, TypeError):
        return {}
    return takes


def _find(session: Session, calibration_folder: Path | None, build_folder: Path | None) -> _Made:
    problems: list[str] = []
    rig, truth, rig_accuracy = None, None, None
    if calibration_folder is not None and not (calibration_folder / RIG_FILE).is_file():
        problems.append(f"{calibration_folder}: no {RIG_FILE} here")
    elif calibration_folder is not None:
        try:
            rig = load_rig(calibration_folder / RIG_FILE)
        except FacekitError as error:
            problems.append(str(error))
    if (session.truth_folder / "truth.json").is_file():
        try:
            truth = load_truth(session.folder)
            rig_accuracy = None if rig is None else calibration_error(rig, truth.rig)
        except FacekitError as error:
            problems.append(str(error))
    upright = _upright(session, rig, rig_accuracy)
    surfaces = []
    meshes = list(find_meshes(build_folder).items())
    for take, path in track(meshes[:_MAX_TAKES], "measuring surfaces"):
        try:
            mesh = load_mesh(path)
            accuracy = None
            if truth is not None and rig_accuracy is not None and (truth.folder / take).is_dir():
                accuracy = measure_take(truth, take, path, rig_accuracy)
        except FacekitError as error:
            problems.append(str(error))
            continue
        shown = replace(mesh, vertices=upright(np.asarray(mesh.vertices, dtype=np.float64)))
        surfaces.append(
            Surface(take=take, mesh=shown, preview=MeshPreview(shown), accuracy=accuracy)
        )
    if len(meshes) > _MAX_TAKES:
        problems.append(f"{len(meshes)} takes have a mesh; the first {_MAX_TAKES} are shown")
    return _Made(
        session=session,
        calibration_folder=calibration_folder,
        build_folder=build_folder,
        rig=rig,
        upright=upright,
        truth=truth,
        rig_accuracy=rig_accuracy,
        surfaces=tuple(surfaces),
        quality=find_quality(session),
        stability=find_stability(calibration_folder, build_folder),
        problems=tuple(problems),
    )


def _upright(session: Session, rig: Rig | None, accuracy: CalibrationAccuracy | None) -> Similarity:
    if accuracy is not None:
        return accuracy.true_from_rig
    if rig is not None and len(rig) > 1:
        return upright_frame(rig.cameras, orientation=orientations(session))
    return Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


def _subtitle(made: _Made) -> str:
    session = made.session
    n_subject = len(session.takes_of(TakeKind.SUBJECT))
    parts = [
        f"{len(session.cameras)} cameras",
        f"{n_subject} {'take' if n_subject == 1 else 'takes'} of the subject",
        f"{len(session.takes) - n_subject} others",
    ]
    return ", ".join(parts) + ("; virtual, its truth is known" if made.truth else "")


def _overview(made: _Made) -> Section:
    blocks: list[Block] = [KeyFigures(figures=_key_figures(made))]
    blocks += [Text(text=problem, status=Status.BAD) for problem in made.problems]
    if made.surfaces:
        first = made.surfaces[0]
        pictures = [picture(image) for image in renders(first)]
        blocks.append(
            Gallery(
                pictures=pictures,
                min_width=300,
                caption=f"Reconstructed surface of take {first.take}: "
                f"{len(first.mesh.faces):,} triangles, as it is, without texture.",
            )
        )
    else:
        blocks.append(Missing(what="The surface", how="facekit build-dataset"))
    strip = subject_strip(made.session)
    if strip is not None:
        blocks.append(strip)
    return Section(title="Overview", blocks=blocks)


def _key_figures(made: _Made) -> list[KeyFigure]:
    session = made.session
    flawed = [take for take in session.takes if not take.complete]
    figures = [
        KeyFigure(label="Cameras", value=str(len(session.cameras)), note=_image_sizes(session)),
        KeyFigure(
            label="Takes",
            value=str(len(session.takes)),
            note=f"{len(flawed)} with problems" if flawed else "all complete",
            status=Status.BAD if flawed else Status.GOOD,
        ),
    ]
    if made.rig_accuracy is not None:
        found = made.rig_accuracy
        figures += [
            KeyFigure(
                label="Calibration error",
                value=f"{found.mean('head_px'):.3f} px",
                note=f"at the head; camera centres {found.mean('center_mm'):.3f} mm",
            )
        ]
    elif made.rig is not None:
        n, of = len(made.rig), len(session.cameras)
        figures.append(
            KeyFigure(
                label="Calibrated cameras",
                value=f"{n} of {of}",
                note="metric" if made.rig.metric else "without a unit",
                status=Status.GOOD if n == of and made.rig.metric else Status.NOTE,
            )
        )
    word = verdict_word(calibration_result(made.calibration_folder or Path()))
    if made.rig is not None and word:
        figures.append(
            KeyFigure(label="Calibration", value=word, note="by its own gates, see below",
                      status=STATUS.get(word, Status.NONE))
        )  # fmt: skip
    if made.quality.takes:
        n_bad, n_usable = made.quality.count("bad"), made.quality.count("usable")
        figures.append(
            KeyFigure(
                label="Takes judged good",
                value=f"{made.quality.count('good')} of {len(made.quality.takes)}",
                note=f"{n_usable} usable, {n_bad} bad",
                status=Status.BAD if n_bad else Status.NOTE if n_usable else Status.GOOD,
            )
        )
    if made.stability:
        n_moved = unsteady(made.stability)
        figures.append(
            KeyFigure(
                label="Rig",
                value="steady" if not n_moved else f"moved in {n_moved}",
                note=f"of {count_of(len(made.stability), 'take')} checked",
                status=Status.BAD if n_moved else Status.GOOD,
            )
        )
    measured = [surface for surface in made.surfaces if surface.accuracy is not None]
    if measured and measured[0].accuracy is not None:
        accuracy, take = measured[0].accuracy, measured[0].take
        figures += [
            KeyFigure(
                label="Surface error, median",
                value=_millimetres(accuracy.median_mm),
                note=f"90 % within {accuracy.p90_mm:.3f} mm; frontal face, {take}",
            ),
            KeyFigure(
                label="Complete within 0.2 mm",
                value=f"{accuracy.completeness_percent[0.2]:.1f} %",
                note="of the frontal face that two cameras see",
            ),
        ]
    seconds = sum(seconds for _, seconds in _timings(made))
    if seconds:
        figures.append(
            KeyFigure(label="Computing time", value=f"{seconds / 60:.1f} min", note="all stages")
        )
    return figures


def _timing_section(made: _Made) -> Section:
    stages = _timings(made)
    if not stages:
        return Section(title="Timing", blocks=[Missing(what="Records of finished stages")])
    plot_of_stages = Gallery(pictures=[timing_plot(stages)], min_width=600, plain=True)
    return Section(title="Timing", blocks=[plot_of_stages])


def _timings(made: _Made) -> list[tuple[str, float]]:
    """Return (stage, seconds) of every `stage.json` found, in the order of the stages."""
    found: list[tuple[str, float]] = []
    for folder in (made.session.folder, made.calibration_folder, made.build_folder):
        if folder is None:
            continue
        for path in sorted([folder / STAGE_RECORD, *folder.glob(f"*/{STAGE_RECORD}")]):
            if not path.is_file():
                continue
            try:
                record: dict[str, Any] = read_json(path, format_name="facekit-stage", version=1)
                where = "" if path.parent == folder else f" {path.parent.name}"
                found.append((f"{record['stage']}{where}", float(record["seconds"])))
            except (FacekitError, KeyError, TypeError, ValueError):
                continue  # a stage of another version: its time is of no weight
    return found


def _subject_points(made: _Made) -> Floats32 | None:
    if not made.surfaces:
        return None
    vertices = made.surfaces[0].mesh.vertices
    step = max(1, len(vertices) // 4000)
    return np.asarray(vertices[::step], dtype=np.float32)


def _image_sizes(session: Session) -> str:
    sizes = sorted({(shot.width, shot.height) for take in session.takes for shot in take.shots})
    text = ", ".join(f"{w} × {h}" for w, h in sizes[:2])
    return f"{text} px" + (" and others" if len(sizes) > 2 else "")


def _millimetres(value: float) -> str:
    return f"{1000 * value:.0f} µm" if value < 1 else f"{value:.2f} mm"
