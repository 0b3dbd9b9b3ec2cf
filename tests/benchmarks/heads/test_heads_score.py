"""Scores of heads: laws that hold whatever the frame, unit and topology of a prediction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.benchmarks.heads.found import FoundHead, mean_head, prediction_of, read_found
from facekit.benchmarks.heads.maps import map_figures
from facekit.benchmarks.heads.placing import place
from facekit.benchmarks.heads.score import score_head
from facekit.benchmarks.heads.settings import Scale
from facekit.core.arrays import Floats
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh
from facekit.core.geometry.transform import Similarity
from facekit.reconstruct.surfaces import FaceSurfaces

from .conftest import Made  # type: ignore[import-not-found]

TURN = Rotation.from_euler("xyz", (20, -35, 10), degrees=True).as_matrix()
MOVE = Similarity(scale=0.1, R=TURN, t=np.array([3.0, -50.0, 700.0]))
"""Centimetres, somewhere before a camera."""


def true_head(made: Made) -> FoundHead:
    return FoundHead(mesh=made.true.skin, landmarks=made.true.face.landmarks)


def moved(found: FoundHead, by: Similarity) -> FoundHead:
    marks = None if found.landmarks is None else by(found.landmarks)
    return FoundHead(mesh=replace(found.mesh, vertices=by(found.mesh.vertices)), landmarks=marks)


def of_head(made: Made, vertices: Floats | None = None) -> FoundHead:
    """Return the true head without relief, in its model's topology, as a prediction."""
    model = procedural_head()
    vertices = np.asarray(made.true.head.vertices if vertices is None else vertices, np.float64)
    mesh = Mesh(vertices=vertices, faces=made.true.head.faces)
    return FoundHead(mesh=mesh, landmarks=vertices[model.landmarks68])


def test_the_truth_has_no_error_and_all_of_its_relief(made: Made) -> None:
    score = score_head(made.true, true_head(made))
    assert score.values["p90_mm"] < 1e-3 and score.values["normal_deg"] < 0.2  # float32 rays
    for band in ("fine", "broad"):
        assert score.values[f"{band}_corr"] > 0.999
        assert score.values[f"{band}_rms_um"] < 0.01 * score.values[f"{band}_true_um"]
    assert np.isnan(score.values["scale_percent"]) and not score.inside_out
    assert len(score.heat.error) == len(score.heat.vertices)
    # nobody is the mean: coefficients of 0.7 sd
    assert 0.2 < score.values["mean_face.median_mm"] < 3.0
    assert abs(score.values["mean_face.broad_corr"]) < 0.2


def test_frame_and_unit_change_nothing_where_scale_is_free(made: Made) -> None:
    found = of_head(made)
    here, there = score_head(made.true, found), score_head(made.true, moved(found, MOVE))
    for name in ("median_mm", "p90_mm", "normal_deg", "broad_rms_um"):
        assert there.values[name] == pytest.approx(here.values[name], rel=0.02, abs=1e-3), name
    # relief of tens of micrometres is all that this surface lacks, and Loop's shrinking
    assert here.values["median_mm"] < 0.15
    assert abs(here.values["broad_corr"]) < 0.2


def test_without_landmarks_the_face_is_found_in_any_axes(made: Made) -> None:
    upright = Similarity(scale=0.001, R=np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]), t=np.ones(3))
    found = moved(of_head(made), upright)
    front = found.mesh.selected(made.true.head_scored[found.mesh.faces].all(axis=1))
    found = replace(found, mesh=front)
    alone = place(made.true.face, replace(found, landmarks=None), scale=Scale.FREE)
    known = place(made.true.face, found, scale=Scale.FREE)
    assert alone.searched and not known.searched
    assert alone.error.median_mm == pytest.approx(known.error.median_mm, abs=0.01)


def test_a_metric_prediction_answers_for_its_size(made: Made) -> None:
    large = of_head(made, 1.05 * made.true.head.vertices)
    free = place(made.true.face, large, scale=Scale.FREE).error.median_mm
    metric = place(made.true.face, large, scale=Scale.METRIC).error.median_mm
    assert metric > free + 0.2
    metres = moved(of_head(made), Similarity(scale=0.001, R=np.eye(3), t=np.zeros(3)))
    right = score_head(made.true, metres, scale=Scale.METRIC, unit_mm=1000.0)
    assert right.values["median_mm"] == pytest.approx(free, abs=0.02)
    assert right.values["scale_percent"] == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(InputError, match=r"1000× too small: metres\?"):
        place(made.true.face, metres, scale=Scale.METRIC)


def test_inside_out_is_told_and_scored_alike(made: Made) -> None:
    found = of_head(made)
    turned = replace(found, mesh=replace(found.mesh, faces=found.mesh.faces[:, ::-1].copy()))
    there = score_head(made.true, turned)
    here = place(made.true.face, found, scale=Scale.FREE).error
    assert there.inside_out and there.values["normal_deg"] < 10
    assert there.values["median_mm"] == pytest.approx(here.median_mm, abs=1e-3)


def test_mistakes_are_told_in_a_sentence(made: Made) -> None:
    true, found = made.true, of_head(made)
    assert found.landmarks is not None
    flip = np.array([-1.0, 1.0, 1.0])
    mirrored = FoundHead(
        mesh=replace(found.mesh, vertices=found.mesh.vertices * flip),
        landmarks=found.landmarks * flip,
    )
    # the head is not quite symmetrical, but its landmarks are numbered by sides
    with pytest.raises(InputError, match="mirrored"):
        place(true.face, mirrored, scale=Scale.FREE)
    with pytest.raises(InputError, match=r"landmarks do not fit.*another order"):
        place(true.face, replace(found, landmarks=found.landmarks[::-1]), scale=Scale.FREE)
    plane = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0], [1, 1, 0.0]])
    flat = Mesh(vertices=plane, faces=np.array([[0, 1, 2], [1, 3, 2]], np.int32))
    error = place(true.face, FoundHead(mesh=flat), scale=Scale.FREE).error
    assert error.median_mm > 2.0  # no face, but the best that there is of it
    far = replace(found, mesh=replace(found.mesh, vertices=found.mesh.vertices + 500.0))
    with pytest.raises(InputError, match="mm from the true face"):
        place(true.face, far, scale=Scale.FREE)


def test_predictions_are_read_as_they_are_written(made: Made, tmp_path: Path) -> None:
    found = of_head(made)
    assert found.landmarks is not None
    save_mesh(tmp_path / "ann.ply", found.mesh)
    assert read_found(tmp_path / "ann.ply").landmarks is None
    np.savetxt(tmp_path / "ann.txt", found.landmarks)
    read = read_found(tmp_path / "ann.ply")
    assert read.landmarks is not None  # in a frame of its own
    moved_by = read.landmarks - found.landmarks
    assert np.allclose(moved_by, read.mesh.vertices[0] - found.mesh.vertices[0], atol=1e-4)
    # a triangle that is a point, as converters leave them
    point = np.vstack([found.mesh.faces, [[5, 5, 5]]]).astype(np.int32)
    save_mesh(tmp_path / "bob.obj", Mesh(vertices=found.mesh.vertices, faces=point))
    assert len(read_found(tmp_path / "bob.obj").mesh.faces) == len(found.mesh.faces)
    (tmp_path / "cat").mkdir()
    save_mesh(tmp_path / "cat" / "anything.obj", found.mesh)
    assert read_found(prediction_of(tmp_path, "cat")).surfaces is None
    save_mesh(tmp_path / "ann.obj", found.mesh)
    with pytest.raises(InputError, match=r"both ann.obj and ann.ply; leave one"):
        prediction_of(tmp_path, "ann")
    np.savetxt(tmp_path / "bob.txt", found.landmarks[:67])
    with pytest.raises(InputError, match="68 landmarks"):
        read_found(tmp_path / "bob.obj")
    (tmp_path / "dan").mkdir()
    with pytest.raises(InputError, match="0 meshes and no result of facekit"):
        read_found(tmp_path / "dan")
    no_area = Mesh(vertices=np.zeros((3, 3)), faces=np.array([[0, 1, 2]], np.int32))
    save_mesh(tmp_path / "eve.obj", no_area)
    with pytest.raises(InputError, match="no triangle has any area"):
        read_found(tmp_path / "eve.obj")


def test_a_deformation_that_leads_to_the_truth_is_seen_to(made: Made) -> None:
    model = procedural_head()
    true = np.asarray(made.true.head.vertices)
    flat = np.zeros((128, 128, 3), np.float32)

    def surfaces(mid: Floats) -> FaceSurfaces:
        return FaceSurfaces(
            model=model, identity=np.zeros(model.n_identity),
            expression=np.zeros(model.n_expression), coarse=model.mean.astype(np.float32),
            mid=mid.astype(np.float32), deformation=flat, displacement=flat[..., 0],
            valid=flat[..., 0] + 1, normal=flat, tangent_normal=flat, albedo=flat,
            texture=flat.astype(np.uint8), texture_valid=flat[..., 0],
        )  # fmt: skip

    here = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))
    all_of_it = map_figures(surfaces(true), made.true, here)
    assert all_of_it["deformation_corr"] > 0.95
    less = map_figures(surfaces(model.mean + 0.5 * (true - model.mean)), made.true, here)
    assert all_of_it["deformation_rms_mm"] < 0.5 * less["deformation_rms_mm"]
    nothing = map_figures(surfaces(model.mean), made.true, here)
    assert np.isnan(nothing["deformation_corr"])
    assert nothing["displacement_face_corr"] == 0.0  # a map of nothing follows nothing
    assert mean_head().landmarks is not None
