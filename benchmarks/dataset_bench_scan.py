"""The scans of the dataset benchmark: built from photographs, or ideal ones."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from ..calibration.rigfile import save_rig
from ..capture.session import load_session
from ..capture.virtual.beyond import OffModelSubject, smooth_field
from ..capture.virtual.layouts import draw_rig, load_layout
from ..capture.virtual.lights import led_ring
from ..capture.virtual.scene import build_scene
from ..capture.virtual.studio import StudioConfig, load_head, make_session, rng_of
from ..capture.virtual.subject import Subject, draw_subject
from ..capture.virtual.truth import TRUTH_FILE, load_truth, save_surface, save_truth, surface_file
from ..core.config import to_mapping
from ..core.files import StageKey, finished, stage_run
from ..core.geometry.mesh import Mesh, vertex_normals
from ..core.geometry.meshio import load_mesh, save_mesh
from ..dataset.build import BuildConfig, build_dataset
from ..dataset.register.registered import Scan
from ..dataset.rigcheck import RigCheck
from .dataset_bench_config import DatasetBenchConfig, ScanKind, SubjectCase
from .mesh_accuracy import TrueSurface

SESSION, BUILD = "session", "build"
"""Folders of a subject: what is photographed and true, and the scans."""
MESH = "mesh.ply"
_LEAST_FACES = 200  # of a piece of an ideal scan that is kept


def make_scans(case: SubjectCase, folder: Path, config: DatasetBenchConfig) -> None:
    """Make `build/<take>/mesh.ply` of every take of a subject; what is finished is kept.

    Raises
    ------
    FacekitError
        A photograph or a scan cannot be made.
    """
    if config.scan is ScanKind.STEREO:
        _photograph(case, folder / SESSION, megapixels=config.megapixels, config=config)
        _build(folder, config.megapixels)
    else:
        _ideal(case, folder, config)


def load_scan(folder: Path, take: str) -> Scan:
    """Read a scan of a subject; without landmarks, which this benchmark does without."""
    return Scan(mesh=load_mesh(folder / BUILD / take / MESH))


def _photograph(
    case: SubjectCase, session: Path, *, megapixels: float, config: DatasetBenchConfig
) -> None:
    studio = StudioConfig(
        seed=case.seed,
        head=case.head,
        layout=config.layout,
        megapixels=megapixels,
        expressions=case.expressions,
        n_board_poses=0,
        truth_maps=False,
        identity_strength=config.identity_strength,
    )
    make_session(studio, session)
    save_rig(session / "true_rig.json", load_truth(session).rig)


def _build(folder: Path, megapixels: float) -> None:
    session = folder / SESSION
    build = BuildConfig(megapixels=megapixels, check_rig=RigCheck.OFF)
    build_dataset(load_session(session), load_truth(session).rig, folder / BUILD, build)


def _ideal(case: SubjectCase, folder: Path, config: DatasetBenchConfig) -> None:
    """Leave the truth of a session without photographs, and scans cut from it."""
    settings = {**to_mapping(case), **to_mapping(config)}
    for name in ("subjects", "full", "store", "pictures", "models"):
        del settings[name]  # say nothing of one subject's scans
    key = StageKey(stage="dataset-bench/ideal", config=settings, inputs={})
    truth = folder / SESSION / "truth"
    scans = [f"{BUILD}/{take}/{MESH}" for take in case.expressions]
    surfaces = [str(surface_file(truth, take).relative_to(folder)) for take in case.expressions]
    wanted = [*scans, *surfaces, f"{SESSION}/truth/{TRUTH_FILE}"]
    if finished(folder, key, outputs=wanted) is not None:
        return
    shutil.rmtree(folder / BUILD, ignore_errors=True)
    with stage_run(folder, key):
        rig = draw_rig(
            load_layout(config.layout), megapixels=config.megapixels, rng=rng_of(case.seed, "rig")
        )
        subject = _subject(case, config)
        for take in case.expressions:
            scene = build_scene(
                subject.showing(take),
                led_ring(rng_of(case.seed, "lights")),
                footprint_mm=config.ideal_edge_mm,
                rng=rng_of(case.seed, "light visibility"),
            )
            save_surface(truth, take, scene)
            seen = TrueSurface(scene.mesh, rig=rig)
            scan = ideal_scan(
                scene.mesh, seen, noise_mm=config.ideal_noise_mm, rng=rng_of(case.seed, take)
            )
            save_mesh(folder / BUILD / take / MESH, scan)
        description = {
            "head": subject.model.name,
            "identity": subject.identity.tolist(),
            "skin": dataclasses.asdict(subject.skin),
        }
        save_truth(truth, rig, {}, description)


def _subject(case: SubjectCase, config: DatasetBenchConfig) -> Subject:
    """Draw the person as the studio does."""
    subject = draw_subject(
        load_head(case.head),
        identity_rng=rng_of(case.seed, "identity"),
        skin_rng=rng_of(case.seed, "skin"),
        strength=config.identity_strength,
    )
    if config.beyond_model_mm == 0:
        return subject
    seed = int(rng_of(case.seed, "beyond the model").integers(1 << 30))
    return OffModelSubject(
        model=subject.model,
        identity=subject.identity,
        skin=subject.skin,
        beyond=smooth_field(subject.model.mean, sd_mm=config.beyond_model_mm, seed=seed),
    )


def ideal_scan(
    mesh: Mesh, surface: TrueSurface, *, noise_mm: float, rng: np.random.Generator
) -> Mesh:
    """Cut from a true surface what two cameras see; its vertices are moved along the normal.

    Vertices are shuffled, so that nothing can lean on their order.
    """
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    normals = vertex_normals(vertices, mesh.faces)
    seen = surface.seen(vertices, normals)
    noisy = vertices + noise_mm * rng.standard_normal(len(vertices))[:, None] * normals
    kept = np.asarray(seen[mesh.faces].all(axis=1))
    cut = Mesh(vertices=noisy.astype(np.float32), faces=mesh.faces).selected(kept)
    order = rng.permutation(len(cut.vertices)).astype(np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(len(order), dtype=np.int32)
    faces = place[cut.faces][rng.permutation(len(cut.faces))]
    sigma = np.full(len(order), max(noise_mm, 1e-3), np.float32)
    return Mesh(
        vertices=cut.vertices[order],
        faces=faces,
        attributes={"sigma_mm": sigma, "reliable": np.ones(len(order), np.float32)},
    )
