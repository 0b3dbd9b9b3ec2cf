"""The released MV-HRN: what it optimises, by how much, and what its loss is made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from facekit.core.errors import InputError
from facekit.core.rendering.shading import shaded_map
from facekit.reconstruct import losses
from facekit.reconstruct.align import Crop
from facekit.reconstruct.coefficients import Coefficients, split
from facekit.reconstruct.contour import contour_released, mask_rows
from facekit.reconstruct.detailnormals import (
    RELEASED_FLIP,
    chart_quads,
    detail_normals,
    released_quads,
)
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.hrn import resized
from facekit.reconstruct.maprender import draw
from facekit.reconstruct.pose import HrnCamera, posed, rotated
from facekit.reconstruct.unwrap import softened
from facekit.reconstruct.vectors import unit
from facekit.reconstruct.views.compat import (
    CompatConfig,
    CompatFit,
    CompatWeights,
    ReleasedView,
    fit_compat,
    judged,
    start_variables,
    weighed,
)
from facekit.reconstruct.views.viewstart import ViewStart

PX, D, N = 64, 16, 64
CAMERA = HrnCamera().resized(PX)


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _coefficients(face: FaceTensors, yaw: float, seed: int) -> Coefficients:
    vector = 0.4 * _noise((1, face.n_coefficients), seed)
    c = split(vector, face)
    angles = torch.tensor([[0.05, yaw, -0.03]])
    return replace(c, angles=angles, gamma=0.2 * c.gamma, translation=0.1 * c.translation)


def _start(face: FaceTensors, yaw: float, seed: int, *, quirks: bool = False) -> ViewStart:
    """Return a view of one person, seen in the truth and told of with errors."""
    truth = replace(_coefficients(face, yaw, seed), identity=0.4 * _noise((1, face.n_identity), 99))
    albedo = resized(face.albedo(truth.albedo), N).clamp(0, 1)
    shape = face.shape(truth.identity, truth.expression)
    points = posed(shape, truth.angles, truth.translation)
    normals = unit(face.to_uv(rotated(face.vertex_normals(shape), truth.angles), N), dim=1)
    drawn = draw(face, points, shaded_map(albedo, normals, truth.gamma), CAMERA, compat=quirks)
    image = drawn.image + 0.3 * (1 - drawn.mask)
    marks = CAMERA.project(points[0])[face.landmarks]
    valid = softened(face.chart_mask(N), compat=True)
    if not quirks:
        valid = torch.where(face.chart_mask(N) > 0, valid, torch.ones_like(valid))
    wave = torch.sin(torch.linspace(0, 6, D))[None] * torch.cos(torch.linspace(0, 4, D))[:, None]
    guess = replace(truth, identity=truth.identity + 0.3 * _noise((1, face.n_identity), seed + 7))
    return ViewStart(
        name=f"view{seed}",
        crop=Crop(
            image=image[0].permute(1, 2, 0).numpy(), landmarks=marks.numpy().astype(np.float64),
            scale=1.0, offset=np.zeros(2), width=PX, height=PX,
        ),
        mask=drawn.mask[0, 0].numpy(),
        coefficients=guess,
        deformation=0.005 * (1 + seed) * wave.expand(1, 3, D, D) * resized(valid, D),
        displacement=1e-3 * _noise((1, 1, N, N), seed + 1) * valid,
        albedo=albedo,
        valid=valid,
        quirks=quirks,
    )  # fmt: skip


@pytest.fixture(scope="module")
def starts(bfm_face: FaceTensors) -> list[ViewStart]:
    return [_start(bfm_face, yaw, seed) for seed, yaw in enumerate((-0.6, 0.0, 0.6))]


@pytest.fixture(scope="module")
def found(bfm_face: FaceTensors, starts: list[ViewStart]) -> CompatFit:
    return fit_compat(starts[:2], bfm_face)


def _loss_by_hand(face: FaceTensors, start: ViewStart, identity: Tensor, shared: Tensor) -> Tensor:
    """Return the loss of one view, from the formulas and the published weights alone."""
    q, c, n = start.quirks, start.coefficients, start.displacement.shape[-1]
    inside = torch.ones(1) if q else face.chart_mask(n)
    V = start.valid * inside
    D_j, d_j = shared * resized(start.valid, shared.shape[-1]), start.displacement * V
    shape = face.shape(identity, c.expression) + face.at_vertices(D_j, compat=q)
    points = posed(shape, c.angles, c.translation)
    normals = rotated(face.vertex_normals(shape), c.angles)
    x, smooth = face.to_uv(points, n), face.to_uv(normals, n)
    if q:
        quads = torch.from_numpy(released_quads(n))
        bent = detail_normals(x, smooth, d_j, quads, flip=RELEASED_FLIP, normalised=False)
    else:
        bent = detail_normals(x, smooth, d_j, torch.from_numpy(chart_quads(face.model, n)))
        smooth = unit(smooth, dim=1)
    photo = torch.from_numpy(start.crop.image).permute(2, 0, 1)[None]
    region = face.to_uv(torch.from_numpy(judged(face)).float()[None, :, None], n)
    on_face = draw(face, points, region, CAMERA, compat=q)
    silhouette = on_face.mask * (on_face.image > 0.5)
    total = torch.zeros(())
    for turned in (smooth, bent):
        colours = shaded_map(start.albedo, turned, c.gamma)
        image = draw(face, points, colours, CAMERA, compat=q).image
        total = total + 1.92 * losses.photometric(image, photo, silhouette)
    projected = CAMERA.project(points[0])
    to_224 = 224 / PX
    wanted = torch.from_numpy(start.crop.landmarks).float()
    at_marks = projected[face.landmarks]
    total = total + 1.6e-4 * losses.landmark(at_marks[None] * to_224, wanted[None] * to_224)
    total = total + 1e3 * losses.total_variation(D_j) + 1e4 * losses.total_variation_std(D_j)
    total = total + d_j.abs().mean()
    total = total + 1e4 * losses.total_variation(d_j) + 1e4 * losses.total_variation_std(d_j)
    rows = mask_rows(torch.from_numpy(start.mask))
    total = total + 20 * contour_released(projected[torch.from_numpy(judged(face))], *rows)
    squares = (identity**2).sum() + 0.8 * (c.expression**2).sum() + 0.017 * (c.albedo**2).sum()
    white = ((c.gamma - c.gamma.mean(dim=1, keepdim=True)) ** 2).mean()
    return total + 3e-4 * squares + 10 * white


@pytest.mark.parametrize(
    ("fixture", "quirks"), [("bfm_face", False), ("bfm_face", True), ("head_face", False)]
)
def test_the_loss_is_the_published_sum(
    fixture: str, quirks: bool, request: pytest.FixtureRequest
) -> None:
    """Both renders share a raster here and not by hand: rounding of float32 sums is left."""
    face = request.getfixturevalue(fixture)
    two = [_start(face, yaw, seed, quirks=quirks) for seed, yaw in ((0, 0.0), (1, 0.5))]
    started = fit_compat(two, face, CompatConfig(n_steps=0)).losses
    identity = (two[0].coefficients.identity + two[1].coefficients.identity) / 2
    shared = (two[0].deformation + two[1].deformation) / 2
    with torch.no_grad():
        by_hand = sum(_loss_by_hand(face, start, identity, shared) for start in two)
    assert started.shape == (1,)
    assert started[0] == pytest.approx(float(by_hand), rel=1e-5)


def test_identity_and_deformation_start_at_the_means(starts: list[ViewStart]) -> None:
    begun = start_variables(starts)
    identities = torch.stack([start.coefficients.identity for start in starts])
    torch.testing.assert_close(begun.identity, identities.mean(dim=0))
    deformations = torch.stack([start.deformation for start in starts])
    torch.testing.assert_close(begun.deformation, deformations.mean(dim=0))
    for own, start in zip(begun.own, starts, strict=True):
        assert own.identity is begun.identity
        torch.testing.assert_close(own.expression, start.coefficients.expression)
    # each leaf once: 2 shared, and 6 a view
    assert len({id(leaf) for leaf in begun.leaves()}) == len(begun.leaves()) == 2 + 6 * len(starts)


def test_two_views_alike_start_at_the_single_view(starts: list[ViewStart]) -> None:
    alike = start_variables([starts[1], replace(starts[1], name="again")])
    torch.testing.assert_close(alike.deformation, starts[1].deformation)
    torch.testing.assert_close(alike.identity, starts[1].coefficients.identity)


def test_fifty_steps_lower_the_loss(found: CompatFit) -> None:
    assert found.losses.shape == (51,)
    assert np.isfinite(found.losses).all()
    assert found.losses[-1] < 0.95 * found.losses[0]
    assert found.figures["loss_start"] == found.losses[0]
    assert found.figures["loss_end"] == found.losses[-1]


def test_nothing_travels_farther_than_its_steps(found: CompatFit, starts: list[ViewStart]) -> None:
    """50 steps of 1e-3: 5 mm, 2.9 degrees.

    A step of Adam is its rate where gradients agree, less where they do not, and a little more
    where they grow: a tenth is left for that.
    """
    starts = starts[:2]
    begun, end = start_variables(starts), found.variables
    most = 1.1 * 50 * 1e-3
    for before, after in zip(begun.leaves(), end.leaves(), strict=True):
        assert float((after - before).detach().abs().max()) <= most
    moved = (end.deformation - begun.deformation).detach().abs().max()
    assert moved > 1e-3  # and it does move: a millimetre is not much for it
    turned = torch.cat([own.angles - s.coefficients.angles for own, s in zip(
        end.own, starts, strict=True)])  # fmt: skip
    assert 0 < float(torch.rad2deg(turned.detach().abs().max())) <= 1.1 * 2.9


def test_albedo_coefficients_have_the_gradient_of_their_regulariser(
    bfm_face: FaceTensors, starts: list[ViewStart]
) -> None:
    """The albedo is frozen: nothing else depends on its coefficients."""
    begun = start_variables(starts[:1])
    view = ReleasedView(starts[0], bfm_face)
    own = begun.own[0]
    its = view.face_of(own, begun.deformation, begun.displacements[0])
    weighed(view.terms(its), CompatWeights()).backward()
    assert own.albedo.grad is not None
    torch.testing.assert_close(own.albedo.grad, 3e-4 * 0.017 * 2 * own.albedo.detach())
    for leaf in (begun.identity, begun.deformation, own.expression, own.angles, own.gamma):
        assert leaf.grad is not None and bool(leaf.grad.abs().max() > 0)


def test_what_a_view_does_not_show_pulls_nothing_by_its_picture(
    bfm_face: FaceTensors, starts: list[ViewStart]
) -> None:
    """V_j = 0: neither the shared map nor the view's own relief reaches its face."""
    blind = replace(starts[0], valid=torch.zeros_like(starts[0].valid))
    begun = start_variables([blind])
    its = ReleasedView(blind, bfm_face).face_of(
        begun.own[0], begun.deformation, begun.displacements[0]
    )
    torch.testing.assert_close(its.mid, its.coarse)
    torch.testing.assert_close(its.high_image, its.mid_image, atol=1e-4, rtol=0)


def test_the_order_of_views_does_not_matter(bfm_face: FaceTensors, starts: list[ViewStart]) -> None:
    """Beyond rounding, which Adam may take for a gradient of entries that have hardly any."""
    config = CompatConfig(n_steps=6)
    forth = fit_compat(starts, bfm_face, config)
    back = fit_compat(starts[::-1], bfm_face, config)
    np.testing.assert_allclose(forth.losses, back.losses, rtol=1e-5)
    for a, b in zip(forth.variables.own, back.variables.own[::-1], strict=True):
        torch.testing.assert_close(a.expression, b.expression, atol=1e-4, rtol=0)
    gap = (forth.variables.deformation - back.variables.deformation).detach().abs()
    assert gap.mean() < 1e-6 and gap.max() < 6e-3


@pytest.mark.parametrize("quirks", [False, True])
def test_one_view_works_and_unknown_landmarks_and_masks_are_left_out(
    bfm_face: FaceTensors, quirks: bool
) -> None:
    one = _start(bfm_face, 0.2, 3, quirks=quirks)
    marks = one.crop.landmarks.copy()
    marks[:17] = np.nan
    one = replace(one, crop=replace(one.crop, landmarks=marks), mask=None)
    found = fit_compat([one], bfm_face, CompatConfig(n_steps=3))
    assert found.losses[-1] < found.losses[0]
    assert abs(found.outward) == 1
    assert len(found.faces) == 1
    assert "contour" not in ReleasedView(one, bfm_face).terms(found.faces[0])


def test_what_does_not_go_together_is_refused(
    bfm_face: FaceTensors, starts: list[ViewStart]
) -> None:
    with pytest.raises(InputError, match="no view"):
        fit_compat([], bfm_face)
    with pytest.raises(InputError, match="started in different ways"):
        fit_compat([starts[0], replace(starts[1], quirks=True)], bfm_face)
    with pytest.raises(InputError, match="mask has another size"):
        replace(starts[0], mask=np.ones((3, 4), np.float32))
    with pytest.raises(InputError, match="different sizes"):
        replace(starts[0], valid=torch.ones(1, 1, 8, 8))
    c = starts[0].coefficients
    two = Coefficients(**{name: value.repeat(2, *[1] * (value.ndim - 1))
                          for name, value in vars(c).items()})  # fmt: skip
    with pytest.raises(InputError, match="of 2 faces"):
        replace(starts[0], coefficients=two)


@pytest.mark.gpu
def test_the_schedule_is_the_same_on_cuda(bfm_face: FaceTensors, starts: list[ViewStart]) -> None:
    """Pixels at edges may fall to either side, and Adam steps by a gradient's sign."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    config = CompatConfig(n_steps=5)
    here = fit_compat(starts, bfm_face, config)
    there = fit_compat([start.to("cuda") for start in starts], bfm_face.to("cuda"), config)
    bfm_face.to("cpu")
    np.testing.assert_allclose(there.losses, here.losses, rtol=0.01)
