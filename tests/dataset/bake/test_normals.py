"""Normals have the right sign and orientation: proven on known slopes and against a scan."""

from typing import Any

import numpy as np
import pytest

from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import face_normals
from facekit.dataset.bake.bake import bake_maps
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.config import BakeConfig
from facekit.dataset.bake.curved import flat_displacement
from facekit.dataset.bake.deformation import deformed
from facekit.dataset.bake.maps import Maps
from facekit.dataset.bake.normals import (
    detailed_normals,
    detailed_points,
    object_from_tangent,
    tangent_frames,
    tangent_from_object,
)
from facekit.dataset.bake.scansurface import to_head

SIZE = 128


def test_known_slopes(patch: FaceModel, mirrored_patch: FaceModel) -> None:
    for model, along_u in ((patch, 1), (mirrored_patch, -1)):
        texels = chart(model, SIZE)
        at = texels.interpolated(model.mean)
        rising = (0.2 * at[..., 0] - 0.1 * at[..., 1]).astype(np.float32)
        normal = detailed_normals(texels, model.mean, rising)
        true = np.array([-0.2, 0.1, 1]) / np.linalg.norm([-0.2, 0.1, 1])
        np.testing.assert_allclose(normal[texels.inside], np.tile(true, (texels.inside.sum(), 1)),
                                   atol=1e-4)  # fmt: skip
        tangent = tangent_from_object(texels, tangent_frames(model, model.mean), normal)
        # rising along +u leans the normal towards -u, which is -x or, mirrored, +x
        inside = tangent[texels.inside]
        np.testing.assert_allclose(inside, np.tile(true * [along_u, 1, 1], (len(inside), 1)),
                                   atol=1e-4)  # fmt: skip


def test_tangent_space_and_back(head_case: Any) -> None:
    model, vertices = head_case.registered.model, head_case.registered.shape()
    texels = chart(model, 256)
    frames = tangent_frames(model, vertices)
    waves = 0.2 * np.sin(texels.interpolated(vertices)[..., 1]).astype(np.float32)
    normal = detailed_normals(texels, vertices, waves * texels.inside)
    tangent = tangent_from_object(texels, frames, normal)
    np.testing.assert_allclose(object_from_tangent(texels, frames, tangent), normal, atol=1e-5)
    flat = tangent_from_object(texels, frames, texels.interpolated(frames.normals))
    lengths = np.linalg.norm(flat, axis=2)[texels.inside]
    outward = flat[texels.inside][:, 2] / np.maximum(lengths, 1e-9)
    np.testing.assert_allclose(outward, 1, atol=1e-5)  # M1's own normal is (0, 0, 1)


@pytest.fixture(scope="module")
def maps(head_case: Any) -> Maps:
    config = BakeConfig(displacement_size=512, deformation_size=128, albedo_size=64)
    return bake_maps(head_case.registered, head_case.scan, [], config)


def angle_to_scan(head_case: Any, maps: Maps, normal: Any) -> float:
    """Mean angle, degrees, between map normals and the scan's faces that lie nearest."""
    registered, mesh = head_case.registered, head_case.scan.mesh
    texels = chart(registered.model, len(maps.displacement))
    height = flat_displacement(registered, maps)
    points = detailed_points(texels, deformed(registered, maps), height)
    vertices = to_head(registered.world_from_head, mesh.vertices)
    index = np.flatnonzero(maps.valid.ravel())[::7]
    nearest = SurfaceQuery(vertices, mesh.faces).closest(points.reshape(-1, 3)[index])
    true = face_normals(vertices, mesh.faces)[nearest.face]
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    cosine = (normal.reshape(-1, 3)[index] * true).sum(axis=1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def test_normals_of_the_maps_are_those_of_the_scan(head_case: Any, maps: Maps) -> None:
    texels = chart(head_case.registered.model, 512)
    vertices = deformed(head_case.registered, maps)
    ours = angle_to_scan(head_case, maps, maps.normal)
    smooth = angle_to_scan(
        head_case, maps, detailed_normals(texels, vertices, 0 * maps.displacement)
    )
    dent = -flat_displacement(head_case.registered, maps)
    dented = angle_to_scan(head_case, maps, detailed_normals(texels, vertices, dent))
    assert ours < 2.0  # facets of 0.8 mm with 0.005 mm noise; relief leans by up to nine
    assert smooth > 2.5 * ours
    assert dented > smooth  # the sign: relief the other way round is worse than none


def test_tangent_normals_say_the_same(head_case: Any, maps: Maps) -> None:
    registered = head_case.registered
    texels = chart(registered.model, 512)
    frames = tangent_frames(registered.model, deformed(registered, maps))
    back = object_from_tangent(texels, frames, maps.tangent_normal)
    np.testing.assert_allclose(back, maps.normal, atol=1e-5)
    assert np.median(maps.tangent_normal[maps.valid][:, 2]) > 0.98
    assert angle_to_scan(head_case, maps, back) < 2.0
