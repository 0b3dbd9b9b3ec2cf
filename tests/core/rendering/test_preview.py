"""Still pictures of meshes: framing, shading, colours, shadows of the sky."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from facekit.core.errors import InputError
from facekit.core.geometry.mesh import Mesh
from facekit.core.imaging.color import srgb_from_linear
from facekit.core.rendering.colormap import AMOUNT, SIGNED
from facekit.core.rendering.preview import (
    BACKGROUND,
    Look,
    MeshPreview,
    Texture,
    _cast,
    orbit_cameras,
    seen_triangles,
    sky_openness,
)
from facekit.core.rendering.preview_kernels import encode_means, encoding_tables


def sphere(radius: float = 100.0, subdivisions: int = 4) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(vertices=np.asarray(shape.vertices), faces=shape.faces.astype(np.int32))


def bowl() -> Mesh:
    """Return the inside of a hemisphere, open towards +z."""
    shape = trimesh.creation.icosphere(subdivisions=4, radius=50.0)
    faces = shape.faces[(shape.vertices[shape.faces][..., 2] < 1e-6).all(axis=1)]
    return Mesh(vertices=np.asarray(shape.vertices), faces=faces[:, ::-1].astype(np.int32))


def test_every_view_holds_the_whole_mesh_at_one_scale() -> None:
    mesh = sphere()
    cameras = orbit_cameras(mesh, [-90, 0, 45], width=200, height=160, fill=0.9)
    for camera in cameras:
        xy, depth = camera.project(mesh.vertices)
        assert (depth > 0).all()
        # height is the tight direction: 0.9 of 160 px
        assert np.ptp(xy[:, 1]) == pytest.approx(144, abs=1.5)
        assert np.allclose((xy.min(0) + xy.max(0)) / 2, [100, 80], atol=0.01)


def test_orbit_begins_in_front_and_turns_to_the_subjects_left() -> None:
    front, left = orbit_cameras(sphere(), [0, 90], pitch_deg=0)
    assert np.allclose(front.center / np.linalg.norm(front.center), [0, 0, 1])
    assert np.allclose(left.center / np.linalg.norm(left.center), [1, 0, 0])


def test_silhouette_has_the_area_of_the_projection() -> None:
    mesh = sphere()
    (camera,) = orbit_cameras(mesh, [0], width=120, height=120)
    image = MeshPreview(mesh, ambient_occlusion=False).draw(camera)
    covered = (image != np.array(BACKGROUND)).any(axis=2).sum()
    radius = 120 * 0.92 / 2
    # the rim is counted whole: half a pixel more all round
    assert covered == pytest.approx(np.pi * (radius + 0.5) ** 2, rel=0.02)


def test_light_comes_from_the_upper_left() -> None:
    mesh = sphere()
    (camera,) = orbit_cameras(mesh, [30], width=100, height=100)
    image = MeshPreview(mesh, ambient_occlusion=False).draw(camera).astype(int).sum(axis=2)
    assert image[32, 32] > image[32, 68] > image[68, 68]


def test_surface_colours_are_kept_apart() -> None:
    mesh = sphere()
    colors = np.where(mesh.vertices[:, :1] > 0, [[200, 20, 20]], [[20, 20, 200]]).astype(np.uint8)
    (camera,) = orbit_cameras(mesh, [0], width=80, height=80)
    image = MeshPreview(mesh, ambient_occlusion=False).draw(camera, colors=colors)
    # +x, the subject's left, is on the right of the picture
    assert image[40, 60, 0] > 2 * image[40, 60, 2]
    assert image[40, 20, 2] > 2 * image[40, 20, 0]


def test_pictures_do_not_depend_on_the_run() -> None:
    mesh = sphere(subdivisions=3)
    (camera,) = orbit_cameras(mesh, [20], width=60, height=60)
    first, second = (MeshPreview(mesh).draw(camera, look=Look(supersampling=1)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_sphere_sees_the_whole_sky() -> None:
    assert sky_openness(sphere(subdivisions=3)).min() > 0.99


def test_the_bottom_of_a_bowl_sees_the_sky_through_its_opening() -> None:
    # seen from the lowest point the rim stands at 45°: cosine-weighted share sin²(45°) = 1/2
    mesh = bowl()
    lowest = int(np.argmin(mesh.vertices[:, 2]))
    # 128 directions, about 32 of them in the cone, and facets: a few per cent
    assert sky_openness(mesh)[lowest] == pytest.approx(0.5, abs=0.05)


def test_wrong_number_of_colours_is_refused() -> None:
    mesh = sphere(subdivisions=2)
    (camera,) = orbit_cameras(mesh, [0], width=20, height=20)
    with pytest.raises(InputError, match="3 colours for 162 vertices"):
        MeshPreview(mesh).draw(camera, colors=np.zeros((3, 3), np.uint8))


def test_signed_colours_are_blue_below_and_red_above() -> None:
    low, middle, high, beyond = SIGNED(np.array([-1.0, 0.0, 1.0, 9.0]), -1.0, 1.0)
    assert low[2] > 2 * low[0]
    assert middle.min() > 230
    assert high[0] > 2 * high[2]
    assert np.array_equal(high, beyond)


def test_unknown_values_have_a_colour_of_their_own() -> None:
    assert tuple(AMOUNT(np.array([np.nan]), 0.0, 1.0)[0]) == AMOUNT.undefined


def test_a_texture_lies_upright_where_its_coordinates_say() -> None:
    """A square from u = v = 0 at its lower left: row 0 of the image is at its top."""
    corners = np.array([[-50.0, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]])
    square = Mesh(
        vertices=corners,
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        uv=np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]),
    )
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0], image[0, 1], image[1, 0], image[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    (camera,) = orbit_cameras(square, [0], pitch_deg=0, width=80, height=80, fill=1.0)
    preview = MeshPreview(square, ambient_occlusion=False)
    every = np.ones(2, bool)
    look = Look(lit=False)
    drawn = preview.draw(camera, texture=Texture(image=image, faces=every), look=look)
    for row, col, texel in ((10, 10, (0, 0)), (10, 70, (0, 1)), (70, 10, (1, 0)), (70, 70, (1, 1))):
        np.testing.assert_allclose(drawn[row, col], image[texel], atol=1)
    # faces that the texture is not of keep their vertices' colours
    half = preview.draw(
        camera, colors=np.full((4, 3), 40, np.uint8), look=look,
        texture=Texture(image=image, faces=np.array([True, False])),
    )  # fmt: skip
    np.testing.assert_allclose(half[20, 10], 40, atol=1)
    np.testing.assert_allclose(half[70, 70], 255, atol=1)


def test_normals_of_a_sphere_point_along_its_radii() -> None:
    mesh = sphere()
    (camera,) = orbit_cameras(mesh, [40], pitch_deg=20, width=101, height=101)
    normals, coverage = MeshPreview(mesh, ambient_occlusion=False).normals(camera)
    np.testing.assert_allclose(normals[50, 50], [0, 0, -1], atol=0.02)
    assert normals[50, 80, 0] > 0.4  # right of the middle: to the right
    assert normals[80, 50, 1] > 0.4  # below it: down
    # the pixels' shares add up to the disc's area
    assert coverage.sum() == pytest.approx(np.pi * (101 * 0.92 / 2) ** 2, rel=0.01)
    assert (normals[coverage == 0] == 0).all()


def test_pixels_see_what_rays_through_their_centres_hit() -> None:
    mesh = sphere()
    (camera,) = orbit_cameras(mesh, [25], pitch_deg=10, width=97, height=83)
    drawn, cast = seen_triangles(mesh, camera), _cast(mesh, camera)
    seen, hit = drawn[..., 3] > 0, cast[..., 3] > 0
    # vertices are rounded to 1/256 px: a pixel of the outline may fall to either side
    assert (seen != hit).mean() < 0.002
    both = seen & hit

    def points(found: np.ndarray) -> np.ndarray:
        weights = np.concatenate([found[..., :2], 1 - found[..., :2].sum(-1, keepdims=True)], -1)
        corners = mesh.vertices[mesh.faces[found[..., 3].astype(int) - 1]]
        return (weights[..., None] * corners).sum(axis=-2)

    off = np.linalg.norm(points(drawn) - points(cast), axis=-1)[both]
    assert np.median(off) < 1e-3 and np.percentile(off, 99) < 0.05  # mm, of a sphere of 100


def test_a_distorted_camera_sees_by_rays() -> None:
    mesh = sphere()
    (camera,) = orbit_cameras(mesh, [0], width=60, height=60)
    bent = replace(camera, distortion=np.array([1e-9, 0, 0, 0, 0]))
    one, other = (MeshPreview(mesh, ambient_occlusion=False).draw(c) for c in (camera, bent))
    assert np.abs(one.astype(int) - other).mean() < 0.5


def test_several_looks_from_one_place_are_those_of_single_pictures() -> None:
    mesh = sphere(subdivisions=2)
    (camera,) = orbit_cameras(mesh, [10], width=50, height=40)
    red = np.full((len(mesh.vertices), 3), (200, 30, 30), np.uint8)
    preview = MeshPreview(mesh, ambient_occlusion=False)
    clay, unlit = preview.draw_all(camera, [(None, None, Look()), (red, None, Look(lit=False))])
    assert np.array_equal(clay, MeshPreview(mesh, ambient_occlusion=False).draw(camera))
    inside = unlit[20, 25]
    assert np.array_equal(inside, (200, 30, 30))  # its own colour, to the byte


def test_bytes_of_means_are_rounded_srgb() -> None:
    light = np.linspace(0, 1, 3000, dtype=np.float32).reshape(10, 100, 3)
    out = np.empty((10, 100, 3), np.uint8)
    encode_means(light, 1, *encoding_tables(), out)
    expected = srgb_from_linear(light) * 255
    assert np.abs(out - expected).max() <= 0.5 + 1e-3
    assert (out[0, 0, 0], out[-1, -1, -1]) == (0, 255)
