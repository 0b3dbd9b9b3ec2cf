"""What the generators learn from: the truth rules where it is known, and nowhere else."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from facekit.reconstruct.coefficients import split
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.hrn import Hrn
from facekit.reconstruct.maprender import draw
from facekit.reconstruct.networks.generator import ResnetGenerator
from facekit.reconstruct.pose import posed, rotation
from facekit.reconstruct.samples.augment import Batch
from facekit.reconstruct.train.detailconfig import DetailWeights
from facekit.reconstruct.train.detailgiven import Given, given_of, missed, relief_at
from facekit.reconstruct.train.detailpasses import (
    HighPass,
    MidPass,
    high_pass,
    high_terms,
    mid_pass,
    mid_terms,
)
from facekit.reconstruct.train.detailrenders import render_terms

D, N, F = 16, 64, 96
WEIGHTS = DetailWeights(smooth=0.0, smooth_std=0.0)


class Fixed(nn.Module):
    """Give the same coefficients whatever is seen."""

    def __init__(self, vector: Tensor) -> None:
        super().__init__()
        self.vector = vector

    def forward(self, image: Tensor) -> Tensor:
        return self.vector[: len(image)]


def an_hrn(face: FaceTensors, n: int = 2) -> Hrn:
    torch.manual_seed(0)
    vector = 0.3 * torch.randn(n, face.n_coefficients)
    vector[:, -33:] = 0
    vector[:, -32] = 0.7  # turned aside: cheek and jaw lie before the backdrop
    vector[:, -29:-27] = 0.2  # light from a side: without it relief is not to be seen
    mid = ResnetGenerator(6, 3, width=4, n_blocks=1, dropout=0.0)
    high = ResnetGenerator(9, 1, width=4, n_blocks=1, dropout=0.0)
    return Hrn(
        face, Fixed(vector), mid, high, 0.3, 0.05, deformation_size=D, displacement_size=N
    )  # fmt: skip


def a_batch(hrn: Hrn, *, moved: Tensor | None = None, has_truth: bool = True) -> Batch:
    """Give photographs of M0 in grey; the truth is M0, each vertex moved by `moved`."""
    face, vector = hrn.face, hrn.coefficient_net.vector
    n = len(vector)
    assert isinstance(vector, Tensor)
    found = split(vector, face)
    shape = face.shape(found.identity, found.expression)
    points = posed(shape, found.angles, found.translation)
    with torch.no_grad():
        colours = 0.6 * torch.ones(n, 3, N, N)
        drawn = draw(face, points, colours, hrn.camera)
    generator = torch.Generator().manual_seed(3)
    known = torch.full((n,), has_truth)
    there = known.float()
    return Batch(
        crop=torch.rand(n, 3, 224, 224, generator=generator),
        fine=torch.rand(n, 3, F, F, generator=generator),
        mask=drawn.mask,
        landmarks=hrn.camera.project(points[:, face.landmarks]),
        has_truth=known,
        vertices=(shape if moved is None else shape + moved) * there[:, None, None],
        support=there[:, None].expand(-1, face.n_vertices),
        identity=found.identity,
        expression=found.expression,
        pixels=hrn.camera.project(points),
        displacement=0.002 * torch.rand(n, 1, 256, 256) * there[:, None, None, None],
        displacement_valid=torch.ones(n, 1, 256, 256) * there[:, None, None, None],
    )


def moves(loss: Tensor, network: nn.Module) -> float:
    """Return the largest gradient of a network's numbers."""
    parameters = list(network.parameters())
    if not loss.requires_grad:
        return 0.0
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return max((float(g.abs().max()) for g in found if g is not None), default=0.0)


def test_a_truth_in_another_pose_asks_for_nothing(head_face: FaceTensors) -> None:
    """Heads differ in frame by a rigid motion that no photograph tells: it is taken out."""
    hrn = an_hrn(head_face)
    batch = a_batch(hrn)
    turn = rotation(torch.tensor([[0.05, -0.1, 0.02], [0.0, 0.2, 0.0]]))
    elsewhere = batch.vertices @ turn.transpose(1, 2) + torch.tensor([0.1, -0.05, 0.2])
    given = given_of(hrn, replace(batch, vertices=elsewhere))
    assert given.offset.abs().max() < 2e-5  # 2 micrometres: single precision
    bulge = torch.zeros_like(batch.vertices)
    bulge[:, head_face.landmarks[30]] = torch.tensor([0.0, 0.0, 0.05])
    given = given_of(hrn, replace(batch, vertices=elsewhere + bulge @ turn.transpose(1, 2)))
    torch.testing.assert_close(given.offset, bulge, atol=2e-4, rtol=0)


def at_truth(hrn: Hrn, given: Given) -> MidPass:
    """Return M1 as it should be."""
    out = mid_pass(hrn, given, deformed=False)
    size = hrn.deformation_size
    wanted = hrn.face.to_uv(given.offset, size)
    return replace(out, deformation=wanted, mid=out.coarse + given.offset)


def test_supervised_terms_are_zero_at_the_truth_and_nowhere_else(head_face: FaceTensors) -> None:
    hrn = an_hrn(head_face)
    wave = 0.01 * torch.sin(20 * head_face.mean[None, :, 1:2]) * torch.ones(2, 1, 3)
    given = given_of(hrn, a_batch(hrn, moved=wave))
    out = at_truth(hrn, given)
    assert mid_terms(hrn, given, out, WEIGHTS)["vertices"] == 0
    assert mid_terms(hrn, given, out, WEIGHTS)["deformation"] == 0
    still = mid_pass(hrn, given, deformed=False)
    terms = mid_terms(hrn, given, still, WEIGHTS)
    apart = 100 * given.offset.norm(dim=2)  # mm
    seen = apart[:, head_face.face_vertices]
    assert 0.5 * seen.mean() - 0.1 < terms["vertices"] < 2 * seen.mean()
    assert terms["deformation"] > 0
    high = high_pass(hrn, given, still)
    right = replace(high, displacement=given.relief)
    assert high_terms(given, right, WEIGHTS)["relief"] == 0
    assert high_terms(given, right, WEIGHTS)["slope"] == 0
    assert high_terms(given, high, WEIGHTS)["relief"] > 0


def test_photographs_from_somewhere_and_left_out_priors_teach_nothing_by_truth(
    head_face: FaceTensors,
) -> None:
    hrn = an_hrn(head_face)
    wave = 0.01 * torch.sin(20 * head_face.mean[None, :, 1:2]) * torch.ones(2, 1, 3)
    known = given_of(hrn, a_batch(hrn, moved=wave))
    wild = given_of(hrn, a_batch(hrn, has_truth=False))
    assert not wild.offset.any() and not wild.relief.any() and not wild.support.any()
    for given, priors, teaches in ((known, True, True), (known, False, False), (wild, True, False)):
        out = mid_pass(hrn, given)
        terms = mid_terms(hrn, given, out, WEIGHTS, priors=priors)
        assert (moves(terms["vertices"] + terms["deformation"], hrn.mid_net) > 0) == teaches
        high = high_pass(hrn, given, out.detached())
        terms = high_terms(given, high, WEIGHTS, priors=priors)
        assert (moves(terms["relief"] + terms["slope"], hrn.high_net) > 0) == teaches


def test_renders_teach_without_any_truth(head_face: FaceTensors) -> None:
    """The colours of the mid render move the mid network, those of the high the high one."""
    hrn = an_hrn(head_face)
    given = given_of(hrn, a_batch(hrn, has_truth=False))
    out = mid_pass(hrn, given)
    high = high_pass(hrn, given, out.detached())
    terms = render_terms(hrn, given, out, high, WEIGHTS)
    assert moves(terms["photo_mid"], hrn.mid_net) > 0
    assert moves(terms["photo_mid"], hrn.high_net) == 0
    assert moves(terms["photo_high"], hrn.high_net) > 0
    assert moves(terms["photo_high"], hrn.mid_net) == 0
    assert moves(terms["landmark"], hrn.mid_net) > 0
    assert moves(terms["contour"], hrn.mid_net) > 0
    without = render_terms(hrn, given, out, None, WEIGHTS, contour=False)
    assert without["contour"] == 0 and without["photo_high"] == 0


def test_the_contour_term_is_small_on_the_own_mask_and_pulls_to_another(
    head_face: FaceTensors,
) -> None:
    """M0 lies in its own render's mask to a pixel; in one 4 px narrower it is 4 px off."""
    hrn = an_hrn(head_face, 1)
    batch = a_batch(hrn)
    given = given_of(hrn, batch)
    out = mid_pass(hrn, given, deformed=False)
    own = render_terms(hrn, given, out, None, WEIGHTS)["contour"] / WEIGHTS.contour
    assert own < 1.0 / 224
    narrow = -nn.functional.max_pool2d(-batch.mask, 9, stride=1, padding=4)
    other = replace(given, mask=narrow)
    off = render_terms(hrn, other, out, None, WEIGHTS)["contour"] / WEIGHTS.contour
    assert 3.0 / 224 < off < 5.5 / 224


@pytest.mark.parametrize("rate", [1, 4])
def test_a_smaller_map_of_relief_holds_means(rate: int) -> None:
    relief = torch.arange(64.0).reshape(1, 1, 8, 8)
    valid = torch.ones(1, 1, 8, 8)
    valid[..., 0, 0] = 0
    small, known = relief_at(relief, valid, 8 // rate)
    assert known[0, 0, 0, 0] == 0 and small[0, 0, 0, 0] == 0
    assert known[0, 0, -1, -1] == 1
    assert small[0, 0, -1, -1] == relief[0, 0, 8 - rate :, 8 - rate :].mean()


def test_a_pass_of_some_rows_is_those_rows(head_face: FaceTensors) -> None:
    hrn = an_hrn(head_face)
    given = given_of(hrn, a_batch(hrn))
    rows = torch.tensor([1])
    with torch.no_grad():
        whole = mid_pass(hrn, given)
        alone = mid_pass(hrn, given.rows(rows))
        torch.testing.assert_close(whole.rows(rows).mid, alone.mid, atol=1e-5, rtol=0)
        both: HighPass = high_pass(hrn, given, whole)
        one = high_pass(hrn, given.rows(rows), alone)
    torch.testing.assert_close(both.rows(slice(1, 2)).displacement, one.displacement,
                               atol=1e-5, rtol=0)  # fmt: skip


def test_coefficients_are_put_off_in_shape_alone(head_face: FaceTensors) -> None:
    """Errors of a tenth of the population's spread, of the seed alone; no pose, no light."""
    off = missed(head_face, 200, 0.1, 3)
    assert torch.equal(off, missed(head_face, 200, 0.1, 3))
    n = head_face.n_identity
    assert float(off[:, :n].std()) == pytest.approx(0.1, rel=0.05)
    spread = off[:, n : n + head_face.n_expression].std(dim=0) / head_face.expression_sigma
    assert float(spread.median()) == pytest.approx(0.1, rel=0.1)
    assert not off[:, n + head_face.n_expression :].any()
