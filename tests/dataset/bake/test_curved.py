"""The curved surface through a sphere's vertices is the sphere."""

from dataclasses import replace
from typing import Any

import numpy as np

from facekit.core.facemodel.model import FaceModel
from facekit.dataset.bake.bake import bake_maps
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.config import BakeConfig
from facekit.dataset.bake.curved import curved_displacement, flat_displacement, sagitta
from facekit.dataset.bake.detailed import detailed_mesh
from facekit.dataset.bake.maps import Base

CONFIG = BakeConfig(displacement_size=512, deformation_size=128, albedo_size=64)


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
    registered = head_case.registered
    maps = bake_maps(registered, head_case.scan, [], CONFIG)
    curved, flat = curved_displacement(registered, maps), flat_displacement(registered, maps)
    texels = chart(head_case.registered.model, 512)
    assert (curved[~texels.inside] == 0).all()

    def creases(displacement: Any) -> float:
        """Mean of second differences where a texel's neighbours lie on different faces."""
        bend = np.abs(displacement[:, 2:] - 2 * displacement[:, 1:-1] + displacement[:, :-2])
        face, valid = texels.face, maps.valid
        crossing = (face[:, 2:] != face[:, :-2]) & valid[:, 2:] & valid[:, 1:-1] & valid[:, :-2]
        return float(bend[crossing].mean())

    assert creases(curved) < 0.9 * creases(flat)
    assert curved.std() > 0.05


def test_both_bases_give_the_same_surface(head_case: Any) -> None:
    registered = head_case.registered
    curved = bake_maps(registered, head_case.scan, [], replace(CONFIG, base=Base.CURVED))
    flat = bake_maps(registered, head_case.scan, [], replace(CONFIG, base=Base.FLAT))
    assert (curved.base, flat.base) == (Base.CURVED, Base.FLAT)
    assert np.abs(curved.displacement - flat.displacement).max() > 0.05
    for turned in (curved_displacement, flat_displacement):
        difference = turned(registered, curved) - turned(registered, flat)
        assert np.abs(difference[curved.valid]).max() < 1e-5
    ours, theirs = (detailed_mesh(registered, maps, step=2) for maps in (curved, flat))
    assert np.abs(ours.vertices - theirs.vertices).max() < 1e-4  # float32, half a metre away
    np.testing.assert_array_equal(curved.normal, flat.normal)
