"""Rotation, camera and clip space of HRN, against formulas written down a second time."""

import math

import numpy as np
import pytest
import torch

from facekit.core.errors import InputError
from facekit.reconstruct.coefficients import Coefficients, split, zero_coefficients
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.pose import HrnCamera, posed, rotated, rotation


def test_keypoints_project_as_the_closed_form_says(bfm_face: FaceTensors) -> None:
    """The whole chain in float32 against float64 from the file's own numbers: < 1e-3 px."""
    model = bfm_face.model
    rng = np.random.default_rng(3)
    vector = rng.normal(size=(4, 257))
    vector[:, 224:227] *= 0.4
    vector[:, 254:257] *= 0.3
    c = split(torch.tensor(vector, dtype=torch.float32), bfm_face)
    shape = bfm_face.shape(c.identity, c.expression)
    points = posed(shape, c.angles, c.translation)[:, bfm_face.landmarks]
    for camera in (HrnCamera(), HrnCamera().resized(512)):
        found = camera.project(points).numpy()
        for b in range(4):
            v = model.mean + np.tensordot(vector[b, :80], model.identity, 1)
            v = (v + np.tensordot(vector[b, 80:144], model.expression, 1))[model.landmarks68] / 100
            a, t = vector[b, 224:227], vector[b, 254:257]
            x, y, z = (_about(k, a[k]) for k in range(3))
            world = v @ (z @ y @ x).T + t
            depth = 10 - world[:, 2:]
            expected = 1015 * camera.size / 224 * world[:, :2] / depth + camera.size / 2
            assert np.abs(found[b] - expected).max() < 1e-3 * camera.size / 224


def _about(axis: int, angle: float) -> np.ndarray:
    R = np.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    R[i, i] = R[j, j] = math.cos(angle)
    R[j, i], R[i, j] = math.sin(angle), -math.sin(angle)
    return R


def test_rotations_are_rotations() -> None:
    angles = torch.randn(6, 3, dtype=torch.float64)
    R = rotation(angles)
    torch.testing.assert_close(R @ R.transpose(1, 2), torch.eye(3).double().expand(6, 3, 3))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(6).double())
    nose = torch.tensor([[[0.0, 0.0, 1.0]]]).expand(2, 1, 3)
    turned = rotated(nose, torch.tensor([[0.0, 0.5, 0.0], [0.5, 0.0, 0.0]]))
    assert turned[0, 0, 0] > 0  # yaw: to the image's right
    assert turned[1, 0, 1] < 0  # pitch: downwards


def test_clip_space_lands_on_the_pixels() -> None:
    camera = HrnCamera()
    points = torch.randn(2, 50, 3, dtype=torch.float64)
    clip = camera.clip(points)
    x, y, z = (clip[..., :3] / clip[..., 3:]).unbind(dim=-1)
    half = camera.size / 2
    torch.testing.assert_close(
        torch.stack([(x + 1) * half, (y + 1) * half], dim=-1), camera.pixels(points)
    )
    depth = camera.depth(points)
    torch.testing.assert_close(clip[..., 3], depth)
    torch.testing.assert_close(clip[..., 0], 1015 / 112 * points[..., 0])
    torch.testing.assert_close(clip[..., 2], 2 * depth - 15)
    assert ((z > -1) & (z < 1)).all()
    above = camera.pixels(torch.tensor([[0.0, 0.5, 0.0]]))
    assert above[0, 1] < half  # row 0 is the top


def test_field_of_view_and_scale_at_the_origin() -> None:
    camera = HrnCamera()
    assert math.degrees(2 * math.atan(112 / camera.focal)) == pytest.approx(12.594, abs=1e-3)
    ends = camera.pixels(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]]))
    assert float(ends[1, 0] - ends[0, 0]) == pytest.approx(101.5)


def test_vectors_of_coefficients_come_apart_and_together(bfm_face: FaceTensors) -> None:
    vector = torch.arange(2 * 257.0).reshape(2, 257)
    c = split(vector, bfm_face)
    assert torch.equal(c.joined(), vector)
    assert c.identity[0, 0] == 0 and c.expression[0, 0] == 80 and c.albedo[0, 0] == 144
    assert c.angles[0, 0] == 224 and c.gamma[0, 1, 0] == 227 + 9 and c.translation[0, 0] == 254
    assert torch.equal(c[1:].joined(), vector[1:]) and len(c) == 2
    zero = zero_coefficients(bfm_face, 3)
    assert isinstance(zero, Coefficients) and not zero.joined().any()


def test_another_models_vector_is_refused(head_face: FaceTensors) -> None:
    with pytest.raises(InputError, match="257.*another model"):
        split(torch.zeros(1, 257), head_face)
