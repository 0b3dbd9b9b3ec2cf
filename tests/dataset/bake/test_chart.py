"""A texel knows its place: what is interpolated over the chart is what stands there."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import face_areas
from facekit.dataset.bake.chart import chart, covered_faces, uv_sign


def centers(size: int) -> np.ndarray:
    """UV (size, size, 2) of the texel centres."""
    along = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(along, 1 - along)
    return np.stack([u, v], axis=-1)


@pytest.mark.parametrize("size", [37, 256])
def test_interpolated_uv_is_the_texel_center(size: int) -> None:
    model = procedural_head()
    texels = chart(model, size)
    uv = texels.interpolated(model.uv, corners=model.faces_uv)
    np.testing.assert_allclose(uv[texels.inside], centers(size)[texels.inside], atol=1e-6)
    assert (uv[~texels.inside] == 0).all()


def test_every_center_on_a_face_is_covered(patch: FaceModel) -> None:
    uv = centers(100)
    on_it = (np.abs(uv - 0.5) < 0.4).all(axis=-1)
    np.testing.assert_array_equal(chart(patch, 100).inside, on_it)


def test_texels_lie_on_their_faces() -> None:
    model = procedural_head()
    texels = chart(model, 128)
    weights = texels.weights[texels.inside]
    assert weights.min() > -1e-6
    assert weights.sum(axis=1).max() < 1 + 1e-6
    assert np.isin(texels.face[texels.inside], covered_faces(model)).all()


def test_texels_measure_the_surface() -> None:
    model = procedural_head()
    area = (chart(model, 512).texel_mm(model.mean) ** 2).sum()
    true = face_areas(model.mean, model.faces)[covered_faces(model)].sum()
    assert area == pytest.approx(true, rel=0.01)  # the border's texels are whole or not at all


def test_a_chart_is_made_once(patch: FaceModel) -> None:
    assert chart(patch, 64) is chart(patch, 64)
    assert chart(replace(patch), 64) is not chart(patch, 64)


def test_overlaps_are_told_and_the_first_face_wins(patch: FaceModel) -> None:
    assert chart(patch, 100).n_overlapping == 0
    folded = replace(
        patch,
        faces=np.concatenate([patch.faces, patch.faces]),
        faces_uv=np.concatenate([patch.faces_uv, patch.faces_uv]),
        chart_faces=np.ones(2 * len(patch.faces), bool),
    )
    texels = chart(folded, 100)
    assert texels.n_overlapping > 0.8 * texels.inside.sum()  # but for centres on edges
    assert texels.face.max() < len(patch.faces)


def test_mirrored_faces_are_known(patch: FaceModel, mirrored_patch: FaceModel) -> None:
    assert (uv_sign(patch) == 1).all()
    assert (uv_sign(mirrored_patch) == -1).all()


def test_gutter_holds_the_nearest_texel(patch: FaceModel) -> None:
    texels = chart(patch, 50)
    image = np.where(texels.inside, np.arange(2500).reshape(50, 50), 0).astype(np.float32)
    out = texels.dilated(image, n_texels=3)
    assert (out[2:5, 25] == image[5, 25]).all()
    assert (out[2, 25], out[1, 25]) == (image[5, 25], 0)
    assert out[3, 3] == image[5, 5]
    np.testing.assert_array_equal(out[texels.inside], image[texels.inside])


def test_without_a_chart_a_sentence_says_so(patch: FaceModel) -> None:
    elsewhere = replace(patch, uv=patch.uv + 3)
    with pytest.raises(InputError, match="patch: no face of its chart"):
        chart(elsewhere, 64)
    with pytest.raises(InputError, match="texels a side"):
        chart(patch, 100_000)
