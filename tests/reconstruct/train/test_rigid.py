"""Rigid alignment in batches: motions that are known come back."""

import pytest
import torch
from torch import Tensor

from facekit.reconstruct.pose import rotation
from facekit.reconstruct.train.rigid import rigid, settled


def cloud(n: int = 40, *, seed: int = 0) -> Tensor:
    return torch.randn(2, n, 3, generator=torch.Generator().manual_seed(seed))


ANGLES = torch.tensor([[0.4, -1.1, 0.3], [3.0, 0.2, -0.5]])
SHIFT = torch.tensor([[0.5, -2.0, 1.0], [0.0, 0.1, 3.0]])


def test_a_motion_is_found_again() -> None:
    points = cloud()
    R = rotation(ANGLES)
    found = rigid(points, points @ R.transpose(1, 2) + SHIFT[:, None], torch.ones(1, 40))
    torch.testing.assert_close(found.R, R, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.t, SHIFT, atol=1e-5, rtol=0)


def test_points_without_weight_do_not_count() -> None:
    points, targets, weights = cloud(), cloud() + SHIFT[:, None], torch.ones(2, 40)
    targets[:, 30:] = 100.0
    weights[:, 30:] = 0.0
    moved = rigid(points, targets, weights).apply(points)
    torch.testing.assert_close(moved[:, :30], targets[:, :30], atol=1e-5, rtol=0)


def test_a_mirrored_cloud_is_turned_but_never_mirrored() -> None:
    points = cloud()
    mirrored = points * torch.tensor([-1.0, 1.0, 1.0])
    found = rigid(points, mirrored, torch.ones(1, 40))
    torch.testing.assert_close(torch.linalg.det(found.R), torch.ones(2), atol=1e-5, rtol=0)


def test_without_any_weight_nothing_moves() -> None:
    points = cloud()
    found = rigid(points, points + 5.0, torch.zeros(2, 40))
    assert torch.equal(found.R, torch.eye(3).expand(2, 3, 3))
    assert torch.isfinite(found.t).all()


def test_no_motion_fits_better() -> None:
    """The optimum of the weighted sum of squares: no small turn or shift lowers it."""
    points, weights = cloud(), torch.rand(2, 40, generator=torch.Generator().manual_seed(3))
    targets = cloud() + 0.3 * cloud(seed=5)
    best = rigid(points, targets, weights).apply(points)

    def cost(moved: Tensor) -> Tensor:
        return (weights * ((moved - targets) ** 2).sum(dim=-1)).sum(dim=1)

    for k in range(3):
        step = torch.zeros(2, 3)
        step[:, k] = 0.01
        assert (cost(best + step[:, None]) > cost(best)).all()
        assert (cost(best @ rotation(step).transpose(1, 2)) > cost(best)).all()


def test_a_patch_slides_onto_its_surface() -> None:
    """Distances across a surface of second order vanish in a few steps, whatever slides along."""
    g = torch.Generator().manual_seed(7)
    x, y = (torch.rand(2, 400, generator=g) * 2 - 1 for _ in range(2))
    true = torch.stack([x, y, -0.5 * x**2 - 0.2 * y**2 + 0.1 * x * y], dim=-1)
    normals = torch.stack([x - 0.1 * y, 0.4 * y - 0.1 * x, torch.ones_like(x)], dim=-1)
    normals = normals / normals.norm(dim=-1, keepdim=True)
    moved = true @ rotation(0.02 * ANGLES).transpose(1, 2) + 0.02 * SHIFT[:, None]
    before = ((moved - true) * normals).sum(dim=-1).abs().mean()
    for _ in range(3):
        moved = settled(moved, true, normals, torch.ones(1, 400)).apply(moved)
    after = ((moved - true) * normals).sum(dim=-1).abs().mean()
    assert after < 0.01 * before


@pytest.mark.parametrize("n", [3, 4])
def test_a_plane_that_slides_on_itself_stays_put(n: int) -> None:
    """Only tilt and height are told; the three motions within the plane stay about zero."""
    points = cloud(n)
    points[..., 2] = 0.0
    normals = torch.tensor([0.0, 0.0, 1.0]).expand(2, n, 3)
    moved = settled(points, points + torch.tensor([0.0, 0.0, 0.5]), normals, torch.ones(1, n))
    torch.testing.assert_close(
        moved.apply(points), points + torch.tensor([0.0, 0.0, 0.5]), atol=1e-3, rtol=0
    )
