"""A take's maps carry its scan: the surface made of them lies on it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facekit.core.errors import ConfigError, EstimationError, InputError, RegistrationError
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import vertex_normals
from facekit.dataset.bake import bake
from facekit.dataset.bake.bake import bake_maps, near_scan
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.config import BakeConfig
from facekit.dataset.bake.detailed import detailed_mesh
from facekit.dataset.bake.maps import Maps
from facekit.dataset.bake.scansurface import ScanSurface
from facekit.dataset.register.registered import Scan

CONFIG = BakeConfig(displacement_size=384, deformation_size=128, albedo_size=64)


@pytest.fixture(scope="module")
def maps(head_case: Any) -> Maps:
    return bake_maps(head_case.registered, head_case.scan, [], CONFIG)


def test_the_round_trip_lies_on_the_scan(head_case: Any, maps: Maps) -> None:
    mesh = detailed_mesh(head_case.registered, maps)
    valid = mesh.attributes["valid"] > 0.5
    assert valid.mean() > 0.2
    scan = head_case.scan.mesh
    nearest = SurfaceQuery(scan.vertices, scan.faces).closest(mesh.vertices[valid])
    assert np.median(nearest.distance) < 0.005  # each texel the mean of four points of the scan
    middles = mesh.vertices[mesh.faces[valid[mesh.faces].all(axis=1)]].mean(axis=1)
    between = SurfaceQuery(scan.vertices, scan.faces).closest(middles)
    assert np.median(between.distance) < 0.02


def test_the_detailed_mesh_faces_outward_and_has_its_uv(head_case: Any, maps: Maps) -> None:
    registered = head_case.registered
    mesh = detailed_mesh(registered, maps, step=2)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    texels = chart(registered.model, 384)
    col = (mesh.uv[:, 0] * 384).astype(int)
    row = ((1 - mesh.uv[:, 1]) * 384).astype(int)
    smooth = vertex_normals(registered.posed(), registered.model.faces)
    outward = texels.interpolated(smooth)[row, col]
    assert np.mean((normals * outward).sum(axis=1) > 0) > 0.99
    assert mesh.faces.max() == len(mesh.vertices) - 1
    with pytest.raises(InputError, match="step 200"):
        detailed_mesh(registered, maps, step=200)


def test_validity_and_ranges(head_case: Any, maps: Maps) -> None:
    texels = chart(head_case.registered.model, 384)
    assert not maps.valid[~texels.inside].any()
    assert np.abs(maps.displacement).max() <= CONFIG.reach_mm
    length = np.linalg.norm(maps.normal, axis=2)
    np.testing.assert_allclose(length[texels.inside], 1, atol=1e-5)
    assert (length[~texels.inside] == 0).all()
    assert (maps.sigma[texels.inside] >= 0.0199).all()
    assert np.median(maps.sigma[maps.valid]) < 0.03
    assert maps.deformation_sigma.max() < 0.05  # all of this registration rests on the scan
    assert maps.albedo.shape == (0, 0, 3)


def test_what_follows_the_model_alone_is_uncertain(head_case: Any) -> None:
    n = head_case.registered.model.n_vertices
    alone = replace(head_case.registered, support=np.zeros(n, np.float32))
    maps = bake_maps(alone, head_case.scan, [], CONFIG)
    assert not maps.deformation_valid.any()
    assert maps.deformation_sigma.max() > 1.0


def test_a_scan_elsewhere_is_refused(head_case: Any) -> None:
    mesh = head_case.scan.mesh
    away = Scan(mesh=replace(mesh, vertices=mesh.vertices + 50))
    with pytest.raises(RegistrationError, match="register this scan anew"):
        bake_maps(head_case.registered, away, [], CONFIG)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("displacement_size", 4), ("albedo_size", 20000), ("reach_mm", 5.0), ("smooth_mm", 0.0),
     ("most_turned_deg", 95.0)],
)  # fmt: skip
def test_settings_that_cannot_be_used(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        BakeConfig(**{setting: value})


def test_maps_that_do_not_belong_together(maps: Maps) -> None:
    with pytest.raises(InputError, match="valid: shape"):
        replace(maps, valid=maps.valid[:10])


def test_without_enough_skin_the_albedo_keeps_its_light(
    head_case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lit = np.full((CONFIG.albedo_size, CONFIG.albedo_size, 3), 0.25, np.float32)

    def baked(*given: Any, **_: Any) -> Any:
        if given[3].delight:
            raise EstimationError("too little skin to tell the light")
        return SimpleNamespace(rgb=lit, valid=lit[..., 0] > 0)

    monkeypatch.setattr(bake, "bake_albedo", baked)
    maps = bake_maps(head_case.registered, head_case.scan, [object()], CONFIG)  # type: ignore[list-item]
    np.testing.assert_array_equal(maps.albedo, lit)


def test_albedo_is_valid_only_where_the_scan_is_the_surface(
    head_case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photographs see every texel here; the scan is cut on one side, and hair hangs over half."""
    registered, mesh = head_case.registered, head_case.scan.mesh
    texels = chart(registered.model, CONFIG.albedo_size)
    shape = registered.shape()
    within = surface_of(registered, mesh)
    whole = near_scan(registered.model, shape, within, CONFIG)
    x = texels.interpolated(shape[:, 0])
    y = texels.interpolated(shape[:, 1])

    cut = replace(mesh, faces=mesh.faces[(within.vertices[mesh.faces][..., 0] < 0).all(axis=1)])
    left = near_scan(registered.model, shape, surface_of(registered, cut), CONFIG)
    assert not left[x > 2 * CONFIG.reach_mm].any()
    np.testing.assert_array_equal(left[x < -2], whole[x < -2])

    above = within.vertices[:, 1] > 20
    lifted = mesh.vertices.copy()
    lifted[above] += 12 * registered.world_from_head.R[:, 2] * registered.world_from_head.scale
    hair = near_scan(
        registered.model, shape, surface_of(registered, replace(mesh, vertices=lifted)), CONFIG
    )
    front = texels.interpolated(vertex_normals(shape, registered.model.faces)[:, 2]) > 0.7
    assert whole[front & (y > 30)].mean() > 0.5 and hair[front & (y > 30)].mean() < 0.05
    np.testing.assert_array_equal(hair[y < 0], whole[y < 0])

    seen = np.ones((CONFIG.albedo_size, CONFIG.albedo_size), bool)
    monkeypatch.setattr(
        bake,
        "bake_albedo",
        lambda *_, **__: SimpleNamespace(rgb=np.ones((*seen.shape, 3)), valid=seen.copy()),
    )
    found = bake_maps(
        registered, Scan(mesh=cut, landmarks=None, landmark_sigma=None), [object()], CONFIG
    )  # type: ignore[list-item]
    assert found.albedo_valid.any() and not found.albedo_valid[x > 2 * CONFIG.reach_mm].any()


def surface_of(registered: Any, mesh: Any) -> ScanSurface:
    return ScanSurface.of(Scan(mesh=mesh, landmarks=None, landmark_sigma=None), registered)
