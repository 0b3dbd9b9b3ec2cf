"""Displacement is the signed distance along the normal, where the scan can be trusted."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from facekit.core.arrays import Floats
from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import Similarity
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.config import BakeConfig
from facekit.dataset.bake.displacement import (
    Measured,
    facescape_displacement,
    measure,
)
from facekit.dataset.bake.scansurface import ScanSurface
from facekit.dataset.displacementcode import (
    FACESCAPE_STEP_MM,
    coded_displacement,
    decoded_displacement,
)
from facekit.dataset.register.registered import Registered, Scan

SIZE = 128
MakeScan = Callable[..., Scan]
MakeRegistered = Callable[..., Registered]


def baked(registered: Registered, scan: Scan, **changes: float) -> Measured:
    texels = chart(registered.model, SIZE)
    config = BakeConfig(displacement_size=SIZE, **({"margin_mm": 0.0} | changes))
    surface = ScanSurface.of(scan, registered, margin_mm=config.margin_mm)
    return measure(texels, registered.shape(), surface, config)


def places(model: FaceModel) -> tuple[Floats, Floats]:
    at = chart(model, SIZE).interpolated(model.mean)
    return at[..., 0], at[..., 1]


def waves(x: Floats, y: Floats) -> Floats:
    return 0.3 * np.sin(2 * np.pi * x / 9) + 0.2 * np.cos(2 * np.pi * y / 14)


def test_relief_on_a_plane_is_the_relief(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    found = baked(registered_on(patch), relief_scan(waves))
    inside = chart(patch, SIZE).inside
    assert found.valid[inside].all()
    assert (found.displacement[~inside] == 0).all()
    x, y = places(patch)
    # linear between vertices 0.2 mm apart: sagitta 0.2² / 8 times the curvature of 0.15 / mm
    assert np.abs(found.displacement - waves(x, y))[inside].max() < 0.002


def test_outward_is_positive_whatever_the_world(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    world = Similarity(scale=0.1, R=turn, t=np.array([5.0, -3, 2]))
    scan = relief_scan(lambda x, y: 0.0 * x + 0.7)
    moved = Scan(mesh=replace(scan.mesh, vertices=world(scan.mesh.vertices)))
    found = baked(registered_on(patch, world_from_head=world), moved)
    np.testing.assert_allclose(found.displacement[found.valid], 0.7, atol=1e-4)
    assert found.valid.any()


def test_beyond_reach_nothing_is_valid(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    found = baked(registered_on(patch), relief_scan(lambda x, y: 0.0 * x + 2.0), reach_mm=1.5)
    assert not found.valid.any()
    assert (found.displacement == 0).all()
    assert (found.sigma[chart(patch, SIZE).inside] == 1.5).all()


def test_another_layer_or_a_turned_surface_is_not_taken(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    scan = relief_scan(lambda x, y: 0.0 * x + 0.5)
    n = len(scan.mesh.vertices)
    # behind, nearer and facing away, over one half: the inside of another sheet
    behind = scan.mesh.vertices * [1, 1, 0] - [0, 0, 0.2]
    faces = scan.mesh.faces[scan.mesh.vertices[scan.mesh.faces].mean(axis=1)[:, 0] > 0][:, ::-1]
    both = Mesh(
        vertices=np.concatenate([scan.mesh.vertices, behind]),
        faces=np.concatenate([scan.mesh.faces, faces + n]).astype(np.int32),
    )
    found = baked(registered_on(patch), Scan(mesh=both))
    x, _ = places(patch)
    inside = chart(patch, SIZE).inside
    assert found.valid[inside & (x < -0.5)].all()
    assert not found.valid[inside & (x > 0.5)].any()
    # turned by 70 degrees against the patch: not its surface
    steep = relief_scan(lambda x, y: np.tan(np.deg2rad(70)) * x)
    assert not baked(registered_on(patch), steep).valid.any()


def test_holes_are_filled_smoothly_but_not_valid(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    def slope(x: Floats, y: Floats) -> Floats:
        return 0.02 * x + 0.3

    scan = relief_scan(slope)
    away = np.linalg.norm(scan.mesh.vertices[:, :2], axis=1)
    scan.mesh.attributes["reliable"] = (away > 6).astype(np.float32)
    scan.mesh.attributes["sigma_mm"] = np.full(len(away), 0.02, np.float32)
    found = baked(registered_on(patch), scan)
    x, y = places(patch)
    inside, radius = chart(patch, SIZE).inside, np.hypot(x, y)
    assert not found.valid[inside & (radius < 5.7)].any()
    assert found.valid[inside & (radius > 6.3)].all()
    assert np.abs(found.displacement - slope(x, y))[inside].max() < 0.03
    rim, middle = found.sigma[inside & (radius > 6.3)].max(), found.sigma[SIZE // 2, SIZE // 2]
    assert rim == pytest.approx(0.02, rel=1e-3)
    assert middle > 3 * rim


def test_close_to_what_was_not_measured_nothing_is_valid(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    scan = relief_scan(waves, side=30.0)  # the patch is 40 mm wide: a border all around
    away = np.linalg.norm(scan.mesh.vertices[:, :2], axis=1)
    scan.mesh.attributes["filled"] = (away < 4).astype(np.float32)
    found = baked(registered_on(patch), scan, margin_mm=1.0)
    x, y = places(patch)
    inside, radius = chart(patch, SIZE).inside, np.hypot(x, y)
    to_border = 15 - np.maximum(np.abs(x), np.abs(y))
    near = (radius < 4.6) | (to_border < 0.6)  # a diagonal of the grid is longer than a side
    assert not found.valid[inside & near].any()
    assert found.valid[inside & (radius > 5.6) & (to_border > 1.6)].all()


def test_what_the_scan_hardly_knows_is_not_valid(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    scan = relief_scan(waves)
    x, _ = places(patch)
    left = scan.mesh.vertices[:, 0] < 0
    scan.mesh.attributes["sigma_mm"] = np.where(left, 0.3, 0.02).astype(np.float32)
    found = baked(registered_on(patch), scan)
    inside = chart(patch, SIZE).inside
    assert not found.valid[inside & (x < -0.5)].any()
    assert found.valid[inside & (x > 0.5)].all()


def test_sigma_grows_where_rays_meet_the_scan_aslant(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    scan = relief_scan(lambda x, y: 0.5 * x)
    scan.mesh.attributes["sigma_mm"] = np.full(len(scan.mesh.vertices), 0.03, np.float32)
    found = baked(registered_on(patch), scan)
    np.testing.assert_allclose(found.sigma[found.valid], 0.03 * np.hypot(1, 0.5), rtol=1e-3)


def test_spikes_are_taken_out(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    scan = relief_scan(waves)
    scan.mesh.vertices[110 * 221 + 110, 2] += 1.5  # the middle vertex, at (0, 0)
    found = baked(registered_on(patch), scan)
    x, y = places(patch)
    inside = chart(patch, SIZE).inside
    assert 1 <= (inside & ~found.valid).sum() < 25
    assert np.abs(found.displacement - waves(x, y))[inside].max() < 0.35


def test_facescape_keeps_relief_and_drops_shape(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    fine = relief_scan(
        lambda x, y: 0.1 * np.sin(2 * np.pi * x / 4) + np.cos(2 * np.pi * y / 80), n=111
    )
    registered = registered_on(patch)
    config = BakeConfig(displacement_size=SIZE, smooth_mm=2.0)
    found = facescape_displacement(registered, fine, registered.shape(), config)
    x, y = places(patch)
    well_inside = chart(patch, SIZE).inside & (np.maximum(abs(x), abs(y)) < 14)
    true = 0.1 * np.sin(2 * np.pi * x / 4)
    error = (found.displacement - true)[well_inside]
    assert found.valid[well_inside].all()
    assert np.abs(error).max() < 0.02  # of 0.1; the slow wave of 1 mm is gone


def test_facescape_holes_are_not_valid(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    scan = relief_scan(waves, n=111)
    scan.mesh.attributes["filled"] = (scan.mesh.vertices[:, 0] > 0).astype(np.float32)
    registered = registered_on(patch)
    config = BakeConfig(displacement_size=SIZE, margin_mm=0.0)
    found = facescape_displacement(registered, scan, registered.shape(), config)
    x, _ = places(patch)
    inside = chart(patch, SIZE).inside
    assert not found.valid[inside & (x > 0.5)].any()
    assert found.valid[inside & (x < -0.5)].all()


def test_coarse_maps_average_what_they_cannot_hold(
    patch: FaceModel, relief_scan: MakeScan, registered_on: MakeRegistered
) -> None:
    # texels of 2.1 mm, waves of 1.3: sampled, they would come back as long waves of full height
    scan = relief_scan(lambda x, y: 0.2 * np.sin(2 * np.pi * x / 1.3) + 0.0 * y)
    registered, texels = registered_on(patch), chart(patch, 24)
    surface = ScanSurface.of(scan, registered)

    def rms(oversampling: int) -> float:
        config = BakeConfig(displacement_size=24, oversampling=oversampling)
        found = measure(texels, registered.shape(), surface, config)
        return float(np.sqrt((found.displacement[found.valid] ** 2).mean()))

    assert rms(1) > 0.12
    assert rms(8) < 0.05


def test_facescape_pixels_round_trip() -> None:
    mm = np.array([-0.914, -0.3, 0.0, 0.3, 0.913], np.float32)
    pixels = coded_displacement(mm, step_mm=FACESCAPE_STEP_MM).values
    assert pixels.dtype == np.uint16
    assert pixels[[0, 2]].tolist() == [0, 32768]
    np.testing.assert_allclose(
        decoded_displacement(pixels, step_mm=FACESCAPE_STEP_MM), mm, atol=0.914 / 65536 + 1e-7
    )
    beyond = coded_displacement(np.array([5.0, -5.0]), step_mm=FACESCAPE_STEP_MM).values
    assert beyond.tolist() == [65535, 0]
