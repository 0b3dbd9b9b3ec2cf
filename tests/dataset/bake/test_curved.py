"""The curved surface through a sphere's vertices is the sphere."""

from dataclasses import replace
from typing import Any

import numpy as np

from facekit.core.facemodel.model import FaceModel
from facekit.dataset.bake.bake import bake_maps
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.config import BakeConfig
from facekit.dataset.bake.curved import curved_displacement, sagitta


def test_sagitta_of_a_sphere(patch: FaceModel) -> None:
    radius = 60.0
    x, y, _ = patch.mean.T
    points = np.stack([x, y, np.sqrt(radius**2 - x**2 - y**2)], axis=1)
    texels = chart(patch, 256)
    flat = np.linalg.norm(texels.interpolated(points), axis=2)
    well_inside = texels.inside & (np.abs(texels.interpolated(patch.mean)).max(axis=2) < 14)
    missing = (radius - flat)[well_inside]
    found = sagitta(texels, points)[well_inside]
    assert missing.max() > 0.1  # of edges of 5 to 7 mm
    # where the normals of the vertices are the sphere's to half a degree
    assert np.abs(found - missing).max() < 0.25 * missing.max()
    assert np.sqrt(((found - missing) ** 2).mean()) < 0.12 * missing.max()


def test_a_plane_has_none(patch: FaceModel) -> None:
    assert np.abs(sagitta(chart(patch, 64), patch.mean)).max() < 1e-6


def test_the_tessellation_goes_and_the_relief_stays(head_case: Any) -> None:
    config = BakeConfig(displacement_size=512, deformation_size=128, albedo_size=64)
    maps = bake_maps(head_case.registered, head_case.scan, [], config)
    curved = curved_displacement(head_case.registered, maps)
    texels = chart(head_case.registered.model, 512)
    assert (curved[~texels.inside] == 0).all()

    def creases(displacement: Any) -> float:
        """Mean of second differences where a texel's neighbours lie on different faces."""
        bend = np.abs(displacement[:, 2:] - 2 * displacement[:, 1:-1] + displacement[:, :-2])
        face, valid = texels.face, maps.valid
        crossing = (face[:, 2:] != face[:, :-2]) & valid[:, 2:] & valid[:, 1:-1] & valid[:, :-2]
        return float(bend[crossing].mean())

    assert creases(curved) < 0.9 * creases(maps.displacement)
    assert replace(maps, displacement=curved).displacement.std() > 0.05
