"""What the coefficient network learns from: at the truth it is nothing, and truth rules."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from facekit.core.geometry.mesh import vertex_normals
from facekit.reconstruct.coefficients import Coefficients, split, zero_coefficients
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.losses import LossWeights
from facekit.reconstruct.networks.coefficient import CoefficientNet
from facekit.reconstruct.pose import HrnCamera, posed, rotation
from facekit.reconstruct.samples.augment import Batch, make_batch
from facekit.reconstruct.samples.sample import FIELD, Sample, Truth
from facekit.reconstruct.train.coarse import drawn_rows, weighted
from facekit.reconstruct.train.coarseterms import (
    FaceAreas,
    drawn_coarse,
    face_areas,
    pictured,
    supervised,
    weak,
)
from facekit.reconstruct.train.facepoints import FacePoints, face_regions

CAMERA = HrnCamera()
SUPERVISED = {"shape", "aligned", "pose", "reprojection", "truth"}


@pytest.fixture(scope="module")
def points(head_face: FaceTensors) -> FacePoints:
    return FacePoints(head_face, n_points=1200)


@pytest.fixture(scope="module")
def areas(head_face: FaceTensors) -> FaceAreas:
    return face_areas(head_face)


def some_coefficients(face: FaceTensors, n: int, *, seed: int = 0) -> Coefficients:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=g)

    return Coefficients(
        identity=0.8 * normal(face.n_identity),
        expression=0.2 * normal(face.n_expression).clamp(min=0),
        albedo=0.4 * normal(face.n_albedo),
        angles=0.2 * normal(3),
        gamma=0.05 * normal(1, 9).expand(n, 3, 9),
        translation=0.05 * normal(3),
    )


def photographed_by_hrn(face: FaceTensors, true: Coefficients) -> Batch:
    """Give the batch that HRN's own camera and colours make of coefficients."""
    shape = face.shape(true.identity, true.expression)
    pixels = CAMERA.project(posed(shape, true.angles, true.translation))
    drawn = drawn_coarse(
        face, torch.ones(face.n_vertices), true, face.vertex_albedo(true.albedo), CAMERA
    )
    n = len(shape)
    return Batch(
        crop=drawn.image,
        fine=drawn.image[..., :0, :0],
        mask=drawn.mask,
        landmarks=pixels[:, face.landmarks],
        has_truth=torch.ones(n, dtype=torch.bool),
        vertices=shape,
        support=torch.ones(n, face.n_vertices),
        identity=true.identity,
        expression=true.expression,
        pixels=pixels,
        displacement=torch.zeros(n, 1, 4, 4),
        displacement_valid=torch.zeros(n, 1, 4, 4),
    )


def sample_by_hrn(face: FaceTensors, true: Coefficients, size: int = 160) -> Sample:
    """Give a stored crop whose camera is HRN's, its field `FIELD` times as wide."""
    shape = face.shape(true.identity, true.expression)
    camera = HrnCamera(size=size, focal=CAMERA.focal * size / CAMERA.size / FIELD)
    world = posed(shape, true.angles, true.translation)
    from_world = np.diag([1.0, -1.0, -1.0])  # y and z of OpenCV's camera are turned
    R = from_world @ rotation(true.angles)[0].double().numpy()
    t = 100 * from_world @ true.translation[0].double().numpy() + [0, 0, 100 * camera.distance]
    t = t - R @ face.centre_mm.double().numpy()
    return Sample(
        image=np.zeros((size, size, 3), np.uint8),
        mask=np.zeros((size, size), np.uint8),
        landmarks=camera.pixels(world)[0, face.landmarks].numpy(),
        person="somebody",
        truth=Truth(
            vertices=face.head_mm(shape)[0].numpy(),
            support=np.ones(face.n_vertices, np.float32),
            identity=true.identity[0].numpy(),
            expression=true.expression[0].numpy(),
            K=np.array([[camera.focal, 0, size / 2], [0, camera.focal, size / 2], [0, 0, 1]]),
            cam_from_head=np.column_stack([R, t]),
            displacement=np.zeros((256, 256), np.float32),
            displacement_valid=np.zeros((256, 256), bool),
        ),
    )


def test_at_the_truth_nothing_is_left_to_learn(
    head_face: FaceTensors, points: FacePoints, areas: FaceAreas
) -> None:
    """But for the regularisers, and 1e-3 that keeps the photometric term smooth."""
    true = some_coefficients(head_face, 2)
    batch = photographed_by_hrn(head_face, true)
    terms = supervised(points, true, batch, CAMERA)
    assert set(terms) == SUPERVISED
    assert all(float(value) < 1e-3 for value in terms.values())
    assert float(weak(points, true, batch, CAMERA)["landmark"]) < 1e-3
    photo = pictured(head_face, areas, true, batch, CAMERA)["photo"]
    assert float(photo) == pytest.approx(1e-3, rel=0.01)


def test_a_stored_crop_of_hrns_camera_has_no_error_of_pose(
    head_face: FaceTensors, points: FacePoints
) -> None:
    """All the way: K and pose of the sample, the cut of the crop, y up, the model frame.

    Single precision of pixels about 200 leaves some 1e-4 px.
    """
    true = some_coefficients(head_face, 1, seed=3)
    batch = make_batch([sample_by_hrn(head_face, true)], head_face, seed=0, augment=None)
    terms = supervised(points, true, batch, CAMERA)
    assert float(terms["pose"]) < 2e-3
    assert float(terms["reprojection"]) < 2e-3
    assert float(terms["shape"]) < 1e-3
    assert float(weak(points, true, batch, CAMERA)["landmark"]) < 1e-4


def test_a_millimetre_is_a_millimetre_and_a_pixel_a_pixel(
    head_face: FaceTensors, points: FacePoints
) -> None:
    true = some_coefficients(head_face, 2)
    batch = photographed_by_hrn(head_face, true)
    moved = replace(batch, vertices=batch.vertices + torch.tensor([0.0, 0.03, 0.04]))
    # 5 mm, less the 0.05 mm within which distances are squared
    shape = supervised(points, true, moved, CAMERA)["shape"]
    assert float(shape) == pytest.approx(4.95, abs=0.01)
    shifted = replace(batch, pixels=batch.pixels + torch.tensor([3.0, -4.0]))
    assert float(supervised(points, true, shifted, CAMERA)["pose"]) == pytest.approx(4.95, abs=0.01)


def test_a_rigid_motion_of_the_truth_is_no_error_of_the_aligned_shape(
    head_face: FaceTensors, points: FacePoints
) -> None:
    true = some_coefficients(head_face, 2)
    batch = photographed_by_hrn(head_face, true)
    R = rotation(torch.tensor([[0.05, -0.1, 0.02]]))
    turned = replace(batch, vertices=batch.vertices @ R.transpose(1, 2) + 0.05)
    terms = supervised(points, true, turned, CAMERA)
    assert float(terms["aligned"]) < 1e-2
    assert float(terms["shape"]) > 3.0


def test_unknown_vertices_do_not_count(head_face: FaceTensors, points: FacePoints) -> None:
    true = some_coefficients(head_face, 2)
    batch = photographed_by_hrn(head_face, true)
    unknown = torch.arange(head_face.n_vertices) % 2 == 0
    spoilt = replace(
        batch,
        vertices=torch.where(unknown[:, None], batch.vertices + 1.0, batch.vertices),
        pixels=torch.where(unknown[:, None], batch.pixels + 50.0, batch.pixels),
        support=torch.where(unknown, 0.0, batch.support),
    )
    terms = supervised(points, true, spoilt, CAMERA)
    # normals at known vertices are made of their neighbours': only their direction is spoilt
    assert all(float(terms[name]) < 1e-3 for name in terms)


def gradients(found: Coefficients, loss: Callable[[Coefficients], Tensor]) -> dict[str, Tensor]:
    """Give the gradient of each coefficient, zero where there is none."""
    leaves = {name: value.clone().requires_grad_() for name, value in vars(found).items()}
    loss(Coefficients(**leaves)).backward()
    return {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for name, leaf in leaves.items()
    }


def test_photographs_without_truth_touch_no_supervised_term(
    head_face: FaceTensors, points: FacePoints
) -> None:
    """Neither alone nor beside one with truth, whose terms stay what they were."""
    batch = photographed_by_hrn(head_face, some_coefficients(head_face, 3))
    found = some_coefficients(head_face, 3, seed=1)
    wild = replace(batch, has_truth=torch.tensor([False, True, False]))
    for name in ("vertices", "pixels", "identity"):
        getattr(wild, name)[[0, 2]] = 0.0
    one = replace(batch, **{name: value[1:2] for name, value in vars(batch).items()})
    mixed = supervised(points, found, wild, CAMERA)
    alone = supervised(points, found[1:2], one, CAMERA)
    for name in SUPERVISED:
        torch.testing.assert_close(mixed[name], alone[name], rtol=1e-4, atol=1e-5)
    grads = gradients(found, lambda c: sum(supervised(points, c, wild, CAMERA).values()))
    assert all((grad[[0, 2]] == 0).all() for grad in grads.values())
    assert (grads["identity"][1] != 0).any()
    none = replace(wild, has_truth=torch.zeros(3, dtype=torch.bool))
    assert all(float(v) == 0 for v in supervised(points, found, none, CAMERA).values())


def test_where_truth_is_known_colours_and_landmarks_teach_neither_shape_nor_pose(
    head_face: FaceTensors, points: FacePoints, areas: FaceAreas
) -> None:
    batch = photographed_by_hrn(head_face, some_coefficients(head_face, 2))
    batch = replace(batch, has_truth=torch.tensor([True, False]))
    found = some_coefficients(head_face, 2, seed=1)
    camera = CAMERA.resized(64)

    def loss(c: Coefficients) -> Tensor:
        landmarks = weak(points, c, batch, CAMERA)["landmark"]
        return landmarks + pictured(head_face, areas, c, batch, camera)["photo"]

    grads = gradients(found, loss)
    for name in ("identity", "expression", "angles", "translation"):
        assert (grads[name][0] == 0).all()
        assert (grads[name][1] != 0).any()
    for name in ("gamma", "albedo"):
        assert (grads[name].flatten(1) != 0).any(dim=1).all()


def test_landmarks_that_nobody_found_are_left_out(
    head_face: FaceTensors, points: FacePoints
) -> None:
    found = some_coefficients(head_face, 2)
    batch = photographed_by_hrn(head_face, found)
    batch.landmarks[0, :17] = torch.nan
    grads = gradients(found, lambda c: weak(points, c, batch, CAMERA)["landmark"])
    assert all(torch.isfinite(grad).all() for grad in grads.values())
    assert float(weak(points, found, batch, CAMERA)["landmark"]) < 1e-3


def test_a_landmark_far_off_draws_no_harder(head_face: FaceTensors, points: FacePoints) -> None:
    """Beyond 30 px the cost rises as the distance, and below as its square."""
    found = some_coefficients(head_face, 1)
    batch = photographed_by_hrn(head_face, found)
    cost = []
    for shift in (10.0, 20.0, 60.0, 120.0):
        moved = replace(batch, landmarks=batch.landmarks + torch.tensor([shift, 0.0]))
        cost.append(float(weak(points, found, moved, CAMERA)["landmark"]))
    assert cost[1] == pytest.approx(4 * cost[0], rel=1e-3)
    assert cost[3] == pytest.approx(2 * cost[2], rel=1e-3)


def test_gradients_reach_every_head(
    head_face: FaceTensors, points: FacePoints, areas: FaceAreas
) -> None:
    batch = photographed_by_hrn(head_face, some_coefficients(head_face, 2))
    counts = (head_face.n_identity, head_face.n_expression, head_face.n_albedo)
    torch.manual_seed(0)
    network = CoefficientNet(counts, backbone="resnet18_half")
    found = split(network(batch.crop), head_face)
    terms = supervised(points, found, batch, CAMERA) | weak(points, found, batch, CAMERA)
    terms |= pictured(head_face, areas, found, batch, CAMERA.resized(64))
    every = weighted(terms, LossWeights())
    torch.testing.assert_close(every["total"], sum(every[name] for name in terms))
    every["total"].backward()
    for head in network.final_layers:
        for parameter in head.parameters():
            assert parameter.grad is not None
            assert (parameter.grad != 0).any()
            assert torch.isfinite(parameter.grad).all()


def test_the_points_are_vertices_of_the_model(head_face: FaceTensors, points: FacePoints) -> None:
    found = some_coefficients(head_face, 2)
    whole = head_face.shape(found.identity, found.expression)
    own = points.shape(found.identity, found.expression)
    torch.testing.assert_close(own, points.of(whole), atol=1e-5, rtol=0)
    torch.testing.assert_close(own[:, -68:], whole[:, head_face.landmarks])
    exact = vertex_normals(whole[0].double().numpy(), head_face.model.faces)
    cosine = (points.normals(whole)[0].double().numpy() * exact[points.index]).sum(axis=1)
    # differences of neighbours against faces' normals: apart where the surface bends sharply
    of_front = points.front.numpy() > 0
    assert np.quantile(cosine[of_front], 0.05) > 0.99
    assert (cosine > 0.5).mean() > 0.999


def test_the_front_of_the_face_counts_most(head_face: FaceTensors, points: FacePoints) -> None:
    """Weights add up to one, landmarks apart; a head's back and neck get a small part."""
    regions = face_regions(head_face.model)
    weight, index = points.weight.double().numpy(), points.index.numpy()
    assert weight.sum() == pytest.approx(1.0, abs=1e-5)
    assert points.front.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert (weight[-68:] == 0).all()
    of_front = weight[regions.front[index]].sum()
    assert of_front > 0.6
    assert weight[regions.rest[index]].sum() < 0.25
    assert (points.front[~torch.from_numpy(regions.front[index])] == 0).all()


def test_every_sample_is_drawn_in_its_turn() -> None:
    seen = torch.cat([drawn_rows(32, 4, step) for step in range(8)])
    assert sorted(seen.tolist()) == list(range(32))
    assert drawn_rows(3, 8, 5).tolist() == [2, 0, 1]


def test_the_mean_face_has_terms_of_a_sensible_size(
    head_face: FaceTensors, points: FacePoints
) -> None:
    """Millimetres, not metres: people differ from their mean by a few."""
    batch = photographed_by_hrn(head_face, some_coefficients(head_face, 4))
    terms = supervised(points, zero_coefficients(head_face, 4), batch, CAMERA)
    assert 0.5 < float(terms["aligned"]) < float(terms["shape"]) < 8.0
