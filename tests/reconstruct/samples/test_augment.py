"""What is true of a sample stays true of the tensors made of it, whatever is done to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facekit.core.arrays import Bytes, Floats
from facekit.core.errors import InputError
from facekit.core.facemodel.landmark_schemes import MIRROR, Scheme
from facekit.dataset.bake.chart import chart
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.samples.augment import (
    AugmentConfig,
    Placement,
    cut,
    make_batch,
    projected,
)
from facekit.reconstruct.samples.degradation import DegradationConfig, degraded
from facekit.reconstruct.samples.mirror import face_mirror
from facekit.reconstruct.samples.sample import FIELD, Sample, Truth

SIZE = 384
UNSPOILT = DegradationConfig(
    brightness=0, contrast=0, gamma=0, cast=0, saturation=0, grey_share=0, blur_share=0,
    coarse_share=0, noise_share=0, jpeg_share=0, occluder_share=0,
)  # fmt: skip
MOVED = AugmentConfig(degradation=UNSPOILT)


@pytest.fixture
def truth(head_face: FaceTensors, rng: np.random.Generator) -> Truth:
    """Give a face of the model, seen 800 mm away, turned by 20 degrees."""
    model = head_face.model
    identity = model.sample_identity(rng).astype(np.float32)
    expression = rng.uniform(0, 0.5, model.n_expression).astype(np.float32)
    c, s = np.cos(0.35), np.sin(0.35)
    R = np.diag([1.0, -1.0, -1.0]) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    texels = chart(model, 256)
    return Truth(
        vertices=model.shape(identity, expression).astype(np.float32),
        support=np.linspace(0, 1, model.n_vertices).astype(np.float32),
        identity=identity,
        expression=expression,
        K=np.array([[1300.0, 0, SIZE / 2], [0, 1300, SIZE / 2], [0, 0, 1]]),
        cam_from_head=np.column_stack([R, [0, 0, 800]]),
        displacement=texels.interpolated(model.mean[:, 0]) / 100,
        displacement_valid=texels.inside,
    )


def _sample(truth: Truth | None, image: Bytes, landmarks: Floats | None = None) -> Sample:
    points = np.full((68, 2), np.nan) if landmarks is None else landmarks
    return Sample(
        image=image, mask=np.full(image.shape[:2], 255, np.uint8),
        landmarks=points.astype(np.float32), person="someone", truth=truth,
    )  # fmt: skip


def _dot(place: Floats) -> Bytes:
    """Draw a soft dot, 3 px wide, at a place of a stored crop."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    grey = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 3.0**2))
    return np.repeat(np.rint(255 * grey).astype(np.uint8)[..., None], 3, axis=2)


def _found(crop: torch.Tensor) -> Floats:
    """Return where the one dot of a crop (3, 224, 224) is, px, y up."""
    light = crop.mean(dim=0).numpy().astype(np.float64)
    light = np.where(light > 0.1, light, 0)
    y, x = np.mgrid[0:224, 0:224] + 0.5
    return np.array([(x * light).sum(), 224 * light.sum() - (y * light).sum()]) / light.sum()


@pytest.mark.parametrize("flip_share", [0.0, 1.0])
def test_a_dot_at_a_vertex_is_found_where_the_batch_says(
    head_face: FaceTensors, truth: Truth, flip_share: float
) -> None:
    vertices = head_face.model.landmarks68[[0, 16, 19, 30, 36, 45, 48, 57]]
    places = projected(truth)[vertices]
    samples = [_sample(truth, _dot(place)) for place in places]
    batch = make_batch(
        samples, head_face, seed=3, augment=replace(MOVED, flip_share=flip_share), fine=300
    )
    mirror = head_face.model.mirror
    assert mirror is not None
    for row, vertex in enumerate(vertices):
        now = mirror[vertex] if flip_share else vertex
        said = batch.pixels[row, now].numpy()
        # sampling error of a dot cut at its edge: hundredths of a pixel
        assert np.abs(_found(batch.crop[row]) - said).max() < 0.1
        assert said.min() > 0 and said.max() < 224


def test_the_fine_crop_shows_the_same_field(head_face: FaceTensors, truth: Truth) -> None:
    sample = _sample(truth, _dot(projected(truth)[head_face.model.landmarks68[45]]))
    batch = make_batch([sample], head_face, seed=1, augment=MOVED, fine=334)
    small = torch.nn.functional.interpolate(batch.fine, 224, mode="bilinear", antialias=True)
    assert np.abs(_found(small[0]) - _found(batch.crop[0])).max() < 0.1
    without = make_batch([sample], head_face, seed=1, augment=MOVED)
    assert without.fine.shape == (1, 3, 0, 0)
    assert torch.equal(without.crop, batch.crop)


def test_landmarks_go_with_the_picture_and_change_sides_with_it(
    head_face: FaceTensors, truth: Truth
) -> None:
    exact = projected(truth)[head_face.model.landmarks68]
    exact[3] = np.nan
    sample = _sample(truth, np.zeros((SIZE, SIZE, 3), np.uint8), exact)
    vertices = torch.from_numpy(head_face.model.landmarks68.astype(np.int64))
    for flip_share in (0.0, 1.0):
        augment = replace(MOVED, flip_share=flip_share)
        batch = make_batch([sample], head_face, seed=5, augment=augment)
        unknown = MIRROR[Scheme.IBUG68][3] if flip_share else 3
        assert torch.isnan(batch.landmarks[0]).any(dim=1).nonzero().tolist() == [[unknown]]
        known = torch.arange(68) != unknown
        # the model's landmark vertices are each other's mirror images
        apart = batch.landmarks[0, known] - batch.pixels[0, vertices[known]]
        assert apart.abs().max() < 1e-3


def test_without_augmentation_the_middle_of_the_stored_crop_is_cut(
    head_face: FaceTensors, truth: Truth
) -> None:
    exact = projected(truth)
    sample = _sample(truth, np.zeros((SIZE, SIZE, 3), np.uint8))
    batch = make_batch([sample], head_face, seed=0, augment=None)
    expected = (exact - SIZE / 2) * 224 * FIELD / SIZE + 112
    expected[:, 1] = 224 - expected[:, 1]
    assert np.abs(batch.pixels[0].numpy() - expected).max() < 1e-3
    # parts of head and neck lie beyond the crop, and stay where they are
    assert (expected < 0).any() and (batch.pixels < 0).any()


def test_coefficients_describe_the_vertices_after_a_flip_too(
    head_face: FaceTensors, truth: Truth
) -> None:
    sample = _sample(truth, np.zeros((SIZE, SIZE, 3), np.uint8))
    for flip_share in (0.0, 1.0):
        augment = replace(MOVED, flip_share=flip_share)
        batch = make_batch([sample], head_face, seed=5, augment=augment)
        shape = head_face.shape(batch.identity, batch.expression)
        # a unit is 100 mm: 0.001 mm
        assert (shape - batch.vertices).abs().max() < 1e-5
    assert batch.expression.min() >= 0, "activations stay activations"
    mirror = head_face.model.mirror
    assert mirror is not None
    assert np.array_equal(batch.support[0].numpy(), truth.support[mirror])


def test_relief_changes_sides_with_the_face(head_face: FaceTensors, truth: Truth) -> None:
    model = head_face.model
    sample = _sample(truth, np.zeros((SIZE, SIZE, 3), np.uint8))
    batch = make_batch([sample], head_face, seed=5, augment=replace(MOVED, flip_share=1.0))
    # the map holds the mean face's x; a mirrored face has -x there
    valid = batch.displacement_valid[0, 0].numpy() > 0
    face = chart(model, 256).interpolated(model.regions["face"].astype(np.float32)) > 0.99
    face[:, 190:] = False  # ears and the inside of the lids lie between the texels' centres
    assert (valid & face).sum() > 0.98 * face.sum()
    apart = batch.displacement[0, 0].numpy() * 100 + truth.displacement
    assert np.abs(apart[valid & face]).max() < 1e-3
    twice = face_mirror(head_face).of_maps(256)  # type: ignore[union-attr]
    assert twice is not None
    back, known = twice(*twice(truth.displacement, truth.displacement_valid))
    assert np.abs(back - truth.displacement)[known & face].max() < 1e-5


def test_a_model_without_symmetry_is_not_flipped(bfm_face: FaceTensors) -> None:
    assert bfm_face.model.mirror is None
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, : SIZE // 2] = 200
    batch = make_batch([_sample(None, image)] * 4, bfm_face, seed=0, augment=MOVED)
    assert (batch.crop[:, :, :, 60].mean(dim=(1, 2)) > 0.7).all()


def test_what_a_crop_cannot_resolve_does_not_alias() -> None:
    # stripes of 2.2 px become 1.5 px of the crop: beyond what it can show
    x = np.arange(SIZE) + 0.5
    stripes = np.rint(127.5 + 120 * np.sin(2 * np.pi * x / 2.2)).astype(np.uint8)
    image = np.repeat(np.repeat(stripes[None], SIZE, axis=0)[..., None], 3, axis=2)
    scale = 224 * FIELD / SIZE
    place = Placement(A=scale * np.eye(2), b=np.full(2, 112 - scale * SIZE / 2))
    left = cut(image, place, 224)[20:-20, 20:-20].astype(float).std() / image.std()
    assert left < 0.35
    # while stripes of 9 px, 6 of the crop, stay
    slow = np.rint(127.5 + 120 * np.sin(2 * np.pi * x / 9)).astype(np.uint8)
    image = np.repeat(np.repeat(slow[None], SIZE, axis=0)[..., None], 3, axis=2)
    assert cut(image, place, 224)[20:-20, 20:-20].astype(float).std() / image.std() > 0.8


def test_the_same_seed_makes_the_same_batch(
    head_face: FaceTensors, truth: Truth, rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    samples = [_sample(truth, image) for image in images]
    first, again, other = (
        make_batch(samples, head_face, seed=seed, augment=AugmentConfig()) for seed in (7, 7, 8)
    )
    assert torch.equal(first.crop, again.crop) and torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)
    # with seeds of their own samples do not depend on where in a batch they stand
    plain = replace(AugmentConfig(), degradation=UNSPOILT)
    ahead = make_batch(samples, head_face, seed=[4, 5, 6], augment=plain)
    turned = make_batch(samples[::-1], head_face, seed=[6, 5, 4], augment=plain)
    assert torch.equal(ahead.crop, turned.crop.flip(0))


def test_a_photograph_without_truth_has_zeros(head_face: FaceTensors, truth: Truth) -> None:
    image = np.full((SIZE, SIZE, 3), 100, np.uint8)
    samples = [_sample(None, image), _sample(truth, image)]
    batch = make_batch(samples, head_face, seed=0, augment=AugmentConfig())
    assert batch.has_truth.tolist() == [False, True]
    for name in ("vertices", "support", "pixels", "identity", "displacement_valid"):
        values = getattr(batch, name)
        assert not values[0].any() and values[1].any()


def test_a_truth_of_another_topology_is_refused(head_face: FaceTensors, truth: Truth) -> None:
    short = replace(truth, vertices=truth.vertices[:100], support=truth.support[:100])
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    with pytest.raises(InputError, match="100 vertices, but the face model"):
        make_batch([_sample(short, image)], head_face, seed=0, augment=None)
    with pytest.raises(InputError, match="0 samples"):
        make_batch([], head_face, seed=0, augment=None)


def test_what_hides_a_face_is_not_in_its_mask(rng: np.random.Generator) -> None:
    config = replace(UNSPOILT, occluder_share=1.0)
    image = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    white = np.full((SIZE, SIZE), 255, np.uint8)
    hidden = 0.0
    for seed in range(20):
        seen, mask = degraded(image, white, config, np.random.default_rng(seed), others=[image])
        assert np.array_equal(seen[mask == 255], image[mask == 255])
        changed = (seen != image).any(axis=2)
        assert not (changed & (mask == 255)).any()
        hidden += float((mask == 0).mean()) / 20
    assert 0.01 < hidden < 0.15


def test_each_degradation_does_what_it_says(rng: np.random.Generator) -> None:
    smooth = np.tile(np.linspace(60, 195, SIZE).astype(np.uint8)[:, None, None], (1, SIZE, 3))
    mask = np.full((SIZE, SIZE), 255, np.uint8)

    def change(**settings: float) -> Bytes:
        config = replace(UNSPOILT, **settings)
        return degraded(smooth, mask, config, np.random.default_rng(2))[0]

    assert np.array_equal(change(), smooth)
    noisy = change(noise_share=1.0, noise=0.5).astype(float) - smooth
    assert 1 < noisy.std() < 0.5 * 255 and abs(noisy.mean()) < 2
    bright = change(brightness=0.2).astype(float) - smooth
    assert abs(np.ptp(bright)) < 2 and abs(bright.mean()) > 1, "a shift is the same everywhere"
    assert np.abs(change(jpeg_share=1.0).astype(float) - smooth).max() < 20
    coloured = smooth * np.array([1.0, 0.6, 0.3])
    grey, _ = degraded(coloured.astype(np.uint8), mask, replace(UNSPOILT, grey_share=1.0), rng)
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
    sharp = np.zeros((SIZE, SIZE, 3), np.uint8)
    sharp[:, SIZE // 2 :] = 255
    for settings in ({"blur_share": 1.0}, {"coarse_share": 1.0}):
        blurred, _ = degraded(sharp, mask, replace(UNSPOILT, **settings), rng)
        assert ((blurred > 10) & (blurred < 245)).any()
