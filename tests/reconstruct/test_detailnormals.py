"""Normals of a displacement: an outward bump is seen as a bump, with the released F as a dent."""

import numpy as np
import pytest
import torch
from torch import Tensor

from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.curved import sagitta
from facekit.dataset.bake.normals import detailed_normals
from facekit.reconstruct.detailnormals import (
    NO_FLIP,
    RELEASED_FLIP,
    chart_quads,
    detail_normals,
    grid_normals,
    outward_sign,
    released_quads,
)
from facekit.reconstruct.facetensors import FaceTensors, face_tensors

SIZE = 256


def _waves(face: FaceTensors) -> Tensor:
    """Return (1, 1, S, S): waves of 0.8 mm and 24 mm length over the head, model units."""
    x, y, _ = face.to_uv(face.mean[None], SIZE)[0]
    return (0.008 * torch.sin(2 * np.pi * x / 0.24) * torch.cos(2 * np.pi * y / 0.24))[None, None]


def _smooth(face: FaceTensors) -> tuple[Tensor, Tensor]:
    shape = face.mean[None]
    mapped = face.to_uv(torch.cat([shape, face.vertex_normals(shape)], dim=2), SIZE)
    return mapped[:, :3], mapped[:, 3:]


@pytest.mark.parametrize("fixture", ["bfm_face", "head_face"])
def test_normals_are_those_of_the_displaced_surface(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    """Against the dense surface that ground truth is baked with; waves tilt it by up to 12°.

    The six triangles round a texel average over three rows and columns: of waves 20 texels long
    that leaves 97 %.
    """
    face = request.getfixturevalue(fixture)
    points, normals = _smooth(face)
    waves = _waves(face)
    quads = torch.from_numpy(chart_quads(face.model, SIZE))
    found = detail_normals(points, normals, waves, quads)[0].numpy()
    model = face.model
    texels = chart(model, SIZE)
    raised = 100 * waves[0, 0].numpy() + sagitta(texels, model.mean)
    truth = detailed_normals(texels, model.mean, raised.astype(np.float32))
    plain = torch.nn.functional.normalize(normals, dim=1)[0].numpy()
    front = texels.inside & (truth[..., 2] > 0.5) & (plain[2] > 0.6)
    tilt, bent = (truth - plain.transpose(1, 2, 0))[front], (found - plain)[:, front].T
    change = (tilt * bent).sum(axis=1) / np.maximum((tilt * tilt).sum(axis=1), 1e-4)
    steep = np.linalg.norm(tilt, axis=1) > 0.08
    assert np.median(change[steep]) == pytest.approx(1.0, abs=0.05)
    angle = np.degrees(np.arccos(np.clip((found.transpose(1, 2, 0) * truth).sum(-1), -1, 1)))
    assert np.median(angle[front]) < 1.0
    lengths = np.linalg.norm(found, axis=0)
    np.testing.assert_allclose(lengths[texels.inside], 1, atol=1e-5)
    assert not lengths[~texels.inside].any()


def _response(face: FaceTensors, flip: tuple[float, float, float]) -> float:
    """Return how an outward bump's normals lean: 1 away from its top, -1 towards it."""
    points, normals = _smooth(face)
    tip = points[0, :, SIZE // 2, SIZE // 2]
    away = points[0] - tip[:, None, None]
    near = (away.norm(dim=0) < 0.15) & (normals[0] != 0).any(dim=0)
    bump = 0.02 * torch.exp(-((away / 0.06) ** 2).sum(dim=0))[None, None]
    quads = torch.from_numpy(released_quads(SIZE))
    found = detail_normals(points, normals, bump, quads, flip=flip, normalised=False)
    leaned = (found - normals)[0]
    lean = (leaned[:2] * away[:2]).sum(dim=0)[near]
    return float(lean.sum() / lean.abs().sum())


def test_the_released_formula_turns_bumps_to_dents(bfm_face: FaceTensors) -> None:
    assert _response(bfm_face, NO_FLIP) > 0.95
    assert _response(bfm_face, RELEASED_FLIP) < -0.95
    assert outward_sign(bfm_face) == -1
    assert outward_sign(bfm_face, flip=NO_FLIP) == 1


def test_in_a_mirrored_chart_the_released_formula_is_right(bfm_face: FaceTensors) -> None:
    from dataclasses import replace

    mirrored = face_tensors(
        replace(bfm_face.model, uv=bfm_face.model.uv * [-1, 1] + [1, 0]), map_size=64
    )
    assert _response(mirrored, RELEASED_FLIP) > 0.95
    assert outward_sign(mirrored) == 1
    # and ours turns such a chart's normals outward by itself
    points, normals = _smooth(mirrored)
    own = grid_normals(points, torch.from_numpy(chart_quads(mirrored.model, SIZE)))
    facing = (own * normals).sum(dim=1)[0][(own != 0).any(dim=1)[0]]
    assert (facing > 0).float().mean() > 0.99


def test_without_displacement_normals_stay(head_face: FaceTensors) -> None:
    points, normals = _smooth(head_face)
    quads = torch.from_numpy(chart_quads(head_face.model, SIZE))
    flat = torch.zeros(1, 1, SIZE, SIZE)
    found = detail_normals(points, normals, flat, quads)
    torch.testing.assert_close(
        found, torch.nn.functional.normalize(normals, dim=1), atol=1e-5, rtol=0
    )
    as_it_is = detail_normals(points, normals, flat, quads, normalised=False)
    torch.testing.assert_close(as_it_is, normals)


def test_quads_do_not_reach_across_seams(head_face: FaceTensors) -> None:
    """Every quad's sides are as short on the head as texels there may be."""
    quads = chart_quads(head_face.model, SIZE)
    points = chart(head_face.model, SIZE).interpolated(head_face.model.mean)
    across = np.linalg.norm(np.diff(points, axis=1), axis=2)[:-1]
    used = quads != 0
    assert 0.3 < used.mean() < 0.6
    assert across[used].max() < 12 < across.max()


def test_released_grid_has_its_published_size() -> None:
    assert 2 * int(released_quads(256).sum()) == 122_990


def test_gradient_by_displacement() -> None:
    torch.manual_seed(2)
    row, col = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    points = torch.stack([col, -row, 0.1 * torch.sin(col)])[None].double()
    normals = torch.nn.functional.normalize(
        torch.randn(1, 3, 12, 12).double() * 0.1 + torch.tensor([0, 0, 1.0])[:, None, None], dim=1
    )
    quads = torch.ones(11, 11).double()
    d = (0.3 * torch.randn(1, 1, 12, 12).double()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: detail_normals(points, normals, x, quads), d)
