"""A face model in tensors: HRN's frame, shape, normals, albedo, and the way to maps and back."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facekit.core.assets import Asset, load_asset
from facekit.core.errors import ModelFileError
from facekit.core.facemodel import bfmalbedo
from facekit.core.facemodel.bfmalbedo import AlbedoMaps
from facekit.core.facemodel.commands import add_asset
from facekit.core.facemodel.ict import load_ict
from facekit.core.geometry.mesh import face_normals
from facekit.core.imaging.color import srgb_from_linear
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.deformation import sample_hrn
from facekit.reconstruct.align import HRN_REFERENCE5
from facekit.reconstruct.facetensors import FaceTensors, face_tensors
from facekit.reconstruct.skinalbedo import vertex_albedo


@pytest.fixture(params=["bfm_face", "head_face"])
def face(request: pytest.FixtureRequest) -> FaceTensors:
    return request.getfixturevalue(request.param)


def test_shapes_are_the_models_in_units_of_100_mm(face: FaceTensors) -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(size=face.n_identity)
    e = rng.uniform(size=face.n_expression)
    expected = face.model.shape(a, e)
    shape = face.shape(*(torch.tensor(c[None], dtype=torch.float32) for c in (a, e)))
    np.testing.assert_allclose(face.head_mm(shape)[0].numpy(), expected, atol=2e-4)


def test_bfm_has_hrns_sizes_and_origin(bfm_face: FaceTensors) -> None:
    assert (bfm_face.n_identity, bfm_face.n_expression, bfm_face.n_albedo) == (80, 64, 80)
    assert bfm_face.n_coefficients == 257
    torch.testing.assert_close(bfm_face.mean.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)
    assert bfm_face.chart_vertices.float().mean() > 0.95  # nostrils fold


def test_mean_face_of_a_bfm_file_is_the_files(bfm_face: FaceTensors, bfm_folder: Path) -> None:
    import scipy.io

    fields = scipy.io.loadmat(bfm_folder / "BFM_model_front.mat")
    mean = fields["meanshape"].reshape(-1, 3)
    np.testing.assert_allclose(bfm_face.mean.numpy(), mean - mean.mean(0), atol=1e-6)
    first = fields["idBase"][:, 0].reshape(-1, 3)
    np.testing.assert_allclose(bfm_face.identity[0].numpy(), first, atol=1e-7)
    at = (fields["keypoints"][0] - 1).astype(int)
    np.testing.assert_array_equal(bfm_face.landmarks.numpy(), at)


def test_other_heads_lie_before_hrns_camera_as_bfm_does(head_face: FaceTensors) -> None:
    """Whatever neck and skull they have: the mean of the five points is the reference's."""
    five = head_face.five_points()
    np.testing.assert_allclose(five.mean(axis=0), HRN_REFERENCE5.mean(axis=0), atol=1e-9)
    assert np.abs(five - HRN_REFERENCE5).max() < 0.06  # 6 mm: two mean faces


def test_normals_are_means_of_the_faces_round_a_vertex(face: FaceTensors) -> None:
    shape = face.mean[None]
    found = face.vertex_normals(shape)[0].numpy()
    of_faces = face_normals(face.mean.numpy().astype(np.float64), face.model.faces)
    of_faces /= np.maximum(np.linalg.norm(of_faces, axis=1, keepdims=True), 1e-12)
    summed = np.zeros_like(found, dtype=np.float64)
    for corner in range(3):
        np.add.at(summed, face.model.faces[:, corner], of_faces)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    good = length[:, 0] > 0.1  # where faces do not cancel
    error = np.abs(found - summed / np.maximum(length, 1e-12))[good]
    assert np.quantile(error, 0.999) < 1e-3
    nose = int(face.landmarks[30])
    assert found[nose, 2] > 0.9  # outward


def test_normals_have_the_right_gradient(head_face: FaceTensors) -> None:
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    points = torch.tensor([[0, 0, 1.0], [1, 0, 0], [0, 1, 0], [-1, -1, 0.2]], dtype=torch.float64)

    def normals(p: torch.Tensor) -> torch.Tensor:
        a, b, c = p[faces].unbind(dim=1)
        n = torch.nn.functional.normalize(torch.linalg.cross(a - b, b - c), dim=1)
        return torch.nn.functional.normalize(n.sum(dim=0), dim=0)

    small = _tetrahedron_like(faces.numpy().astype(np.int32), points.numpy())
    p = points[None].clone().requires_grad_()
    torch.testing.assert_close(small.vertex_normals(p)[0, 0], normals(points))
    assert torch.autograd.gradcheck(small.vertex_normals, p)


def _tetrahedron_like(faces: np.ndarray, points: np.ndarray) -> FaceTensors:
    """Return a face model of four vertices."""
    from facekit.core.facemodel.model import FaceModel

    model = FaceModel(
        name="small",
        mean=points * 50,
        faces=faces,
        uv=points[:, :2] * 0.3 + 0.5,
        faces_uv=faces,
        identity=np.zeros((0, 4, 3)),
        identity_names=(),
        identity_sigma=np.zeros(0),
        expression=np.zeros((0, 4, 3)),
        expression_names=(),
        landmarks68=np.zeros(68, np.int32),
    )
    return face_tensors(model, map_size=16)


@pytest.mark.parametrize("size", [64, 256])
def test_maps_of_the_uvs_are_the_texels_centres(face: FaceTensors, size: int) -> None:
    """At seams a vertex has several UVs and only one is kept: faces there are left out."""
    model = face.model
    mapped = face.to_uv(face.vertex_uv[None], size)[0].numpy()
    texels = chart(model, size)
    one_uv = np.abs(model.uv[model.faces_uv] - face.vertex_uv.numpy()[model.faces]).max((1, 2))
    whole = texels.inside & (one_uv[texels.face] < 1e-6)
    assert whole.mean() > 0.3
    row, col = np.nonzero(whole)
    np.testing.assert_allclose(mapped[0][whole], (col + 0.5) / size, atol=2e-6)
    np.testing.assert_allclose(mapped[1][whole], 1 - (row + 0.5) / size, atol=2e-6)
    assert not mapped[:, ~texels.inside].any()
    np.testing.assert_array_equal(face.chart_mask(size)[0, 0].numpy() > 0, texels.inside)


def test_sampling_a_ramp_gives_the_uvs_back(face: FaceTensors) -> None:
    """A map whose texels hold their own centre: bilinear sampling is exact within the border."""
    size = 64
    centre = (torch.arange(size) + 0.5) / size
    ramp = torch.stack([centre.expand(size, size), (1 - centre)[:, None].expand(size, size)])[None]
    sampled = face.at_vertices(ramp)[0]
    uv = face.vertex_uv
    well = face.chart_vertices & ((uv > 1 / size) & (uv < 1 - 1 / size)).all(dim=1)
    one_uv = torch.tensor(_has_one_uv(face))
    torch.testing.assert_close(sampled[well & one_uv], uv[well & one_uv], atol=2e-6, rtol=0)


def _has_one_uv(face: FaceTensors) -> np.ndarray:
    model = face.model
    pairs = np.unique(np.stack([model.faces.ravel(), model.faces_uv.ravel()], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=model.n_vertices) == 1


def test_released_sampling_is_half_a_texel_aside(bfm_face: FaceTensors) -> None:
    maps = torch.randn(2, 3, 64, 64)
    sampled = bfm_face.at_vertices(maps, compat=True)
    for b in range(2):
        image = maps[b].permute(1, 2, 0).numpy()
        expected = sample_hrn(image, bfm_face.vertex_uv.numpy().astype(np.float64))
        np.testing.assert_allclose(sampled[b].numpy(), expected, atol=1e-5)
    uv = bfm_face.vertex_uv
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    torch.testing.assert_close(
        bfm_face.at_vertices(ramp, compat=True)[0, :, 0], (64 * uv[:, 0]).clamp(max=63),
        atol=1e-4, rtol=0,
    )  # fmt: skip


def test_parts_off_the_chart_follow_it_less_and_less(head_face: FaceTensors) -> None:
    """A map that moves the whole chart alike moves eyes with it, the deep inside less."""
    moved = head_face.at_vertices(torch.ones(1, 1, 32, 32))[0, :, 0]
    on, off = head_face.chart_vertices, ~head_face.chart_vertices
    torch.testing.assert_close(moved[on], torch.ones_like(moved[on]))
    assert off.any() and (moved[off] <= 1 + 1e-6).all() and (moved[off] >= 0).all()
    near = torch.cdist(head_face.mean[off], head_face.mean[on]).amin(dim=1)
    assert moved[off][near < 0.03].min() > 0.9  # 3 mm: lids and eyes do not part
    assert moved[off][near > 0.25].max() < 0.1 if (near > 0.25).any() else True


def test_maps_have_the_right_gradients(head_face: FaceTensors) -> None:
    """Both are linear: <A x, y> = <x, A' y>."""
    x = torch.randn(2, head_face.n_vertices, 3, requires_grad=True)
    y = torch.randn(2, 3, 64, 64, requires_grad=True)
    out, back = head_face.to_uv(x, 64), head_face.at_vertices(y)
    (gx,) = torch.autograd.grad(out, x, y.detach())
    (gy,) = torch.autograd.grad(back, y, x.detach())
    for left, right in (((gx, x), (out, y)), ((gy, y), (back, x))):
        a, b = (float((p * q).detach().double().sum()) for p, q in (left, right))
        assert a == pytest.approx(b, rel=1e-3, abs=1e-2)


def test_albedo_of_a_model_with_colours(bfm_face: FaceTensors) -> None:
    c = torch.zeros(2, 80)
    c[1, 4] = 2.0
    maps = bfm_face.albedo(c)
    assert maps.shape == (2, 3, 128, 128)
    inside = bfm_face.chart_mask(128)[0, 0] > 0
    expected = torch.tensor([190.0, 140.0, 120.0]) / 255
    torch.testing.assert_close(maps[0][:, inside].mean(dim=1), expected, atol=1e-4, rtol=0)
    of_mode = torch.from_numpy(bfm_face.model.albedo[4]) * 2.0
    torch.testing.assert_close(
        maps[1] - maps[0], bfm_face.to_uv(of_mode[None], 128)[0], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        bfm_face.vertex_albedo(c)[1], bfm_face.albedo_mean + of_mode, atol=1e-5, rtol=0
    )


def test_albedo_given_as_maps_is_taken_as_it_is(bfm_face: FaceTensors) -> None:
    rng = np.random.default_rng(8)
    maps = AlbedoMaps(
        mean=rng.uniform(size=(32, 32, 3)).astype(np.float32),
        modes=rng.normal(size=(5, 32, 32, 3)).astype(np.float32),
    )
    face = face_tensors(bfm_face.model, albedo_maps=maps)
    assert (face.n_albedo, face.map_size, face.n_coefficients) == (5, 32, 182)
    c = torch.randn(2, 5)
    expected = maps.mean + np.tensordot(c[1].numpy(), maps.modes, 1)
    np.testing.assert_allclose(face.albedo(c)[1].permute(1, 2, 0).numpy(), expected, atol=1e-5)
    assert face.vertex_albedo(c).shape == (2, face.n_vertices, 3)


def test_albedo_maps_beside_the_model_are_registered_with_it(
    bfm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = bfmalbedo.load_albedo_maps

    def small(mean: Path, base: Path, *, size: int) -> AlbedoMaps:
        return load(mean, base, size=size // 32, texels=16)  # the true files take 252 MB

    monkeypatch.setattr(bfmalbedo, "load_albedo_maps", small)
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    given = Path(shutil.copytree(bfm_folder, tmp_path / "given")) / "BFM_model_front.mat"

    def add() -> Asset:
        add_asset("bfm", given, uv=None, landmarks=None, scratch=tmp_path)
        asset = load_asset("bfm")
        assert asset is not None
        return asset

    assert bfmalbedo.albedo_maps_beside(add().path) is None
    np.save(given.with_name("bfm_tex_mean2.npy"), np.full(768, 100, np.float32))
    with pytest.raises(ModelFileError, match="absent, though the other"):
        add()
    np.save(given.with_name("bfm_texmap_base2.npy"), np.ones((768, 80), np.float32))
    maps = bfmalbedo.albedo_maps_beside(add().path)
    assert maps is not None and maps.modes.shape == (80, 8, 8, 3)


def test_a_model_without_colours_gets_skin(head_face: FaceTensors) -> None:
    assert head_face.n_albedo >= 5 and "melanin" in head_face.albedo_names
    mean = head_face.vertex_albedo(torch.zeros(1, head_face.n_albedo))[0]
    cheeks = mean[torch.tensor(head_face.model.regions["cheeks"])].mean(dim=0)
    assert cheeks[0] > cheeks[1] > cheeks[2] > 0.3  # red, green, blue
    dark = torch.zeros(1, head_face.n_albedo)
    dark[0, head_face.albedo_names.index("melanin")] = 2.0
    assert (head_face.vertex_albedo(dark)[0] < mean + 1e-6).all()
    lips = torch.tensor(head_face.model.regions["lips"])
    assert mean[lips, 1].mean() < cheeks[1] - 0.03


def test_real_heads_have_the_frame_too(shared_data: Path) -> None:
    face = face_tensors(load_ict(shared_data / "ict_face_model" / "ict_face_model.npz"))
    assert np.abs(face.five_points() - HRN_REFERENCE5).max() < 0.05
    uv = face.vertex_uv[face.chart_vertices]
    assert uv.min() >= 0 and uv.max() <= 1  # eyes and teeth lie in tiles of their own
    at_rest = face.shape(torch.zeros(1, face.n_identity), torch.zeros(1, face.n_expression))
    torch.testing.assert_close(at_rest[0], face.mean)


def test_linear_albedo_becomes_display_encoded(bfm_face: FaceTensors) -> None:
    """Exactly at the mean, to first order about it."""
    model = replace(bfm_face.model, albedo_encoding="linear")
    mean, modes, _ = vertex_albedo(model)
    assert model.albedo_mean is not None and model.albedo is not None
    np.testing.assert_allclose(mean, srgb_from_linear(model.albedo_mean), atol=1e-6)
    expected = srgb_from_linear(model.albedo_mean + 0.2 * model.albedo[3])
    np.testing.assert_allclose(mean + 0.2 * modes[3], expected, atol=1e-3)
