"""Samples held on a device: the batches of `make_batch`, and people bent out of photographs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from facekit.core.errors import ConfigError, InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.align import AT_SIZE, MODEL_UNIT_MM
from facekit.reconstruct.facetensors import FaceTensors, face_tensors
from facekit.reconstruct.samples.augment import AugmentConfig, make_batch
from facekit.reconstruct.samples.degradation import DegradationConfig
from facekit.reconstruct.samples.degradation_device import degraded_together
from facekit.reconstruct.samples.resident import ResidentSamples
from facekit.reconstruct.samples.sample import FIELD, Sample
from facekit.reconstruct.samples.virtual import VirtualConfig, VirtualSource
from facekit.reconstruct.samples.warp import draw_warp
from facekit.reconstruct.train.samplefeed import DataConfig, SampleFeed

STILL = AugmentConfig(shift_px=0, scale=0, roll_deg=0, flip_share=0)
SOUND = DegradationConfig(
    brightness=0, contrast=0, gamma=0, cast=0, saturation=0, grey_share=0, blur_share=0,
    coarse_share=0, noise_share=0, jpeg_share=0, occluder_share=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def face() -> FaceTensors:
    return face_tensors(procedural_head())


@pytest.fixture(scope="module")
def samples(face: FaceTensors) -> list[Sample]:
    source = VirtualSource(face.model, VirtualConfig(seed=3, n_people=1, views=2, size=160))
    return [source[0], replace(source[1], truth=None)]


@pytest.fixture(scope="module")
def resident(face: FaceTensors, samples: Sequence[Sample]) -> ResidentSamples:
    return ResidentSamples(list(samples), [0, 1], face)  # type: ignore[arg-type]


def batch_of(resident: ResidentSamples, seed: int = 0, **augment: Any) -> Any:
    config = replace(STILL, degradation=SOUND, **augment)
    return resident.batch(np.array([0, 1]), np.zeros(2, bool), seed=seed, augment=config)


def test_a_batch_unchanged_is_that_of_the_processor(
    resident: ResidentSamples, samples: Sequence[Sample], face: FaceTensors
) -> None:
    """Truth to rounding; pictures but for how they are resampled, at edges most."""
    own = resident.batch(np.array([0, 1]), np.zeros(2, bool), seed=0, augment=None, fine=139)
    wanted = make_batch(samples, face, seed=0, augment=None, fine=139)
    for name, value in vars(wanted).items():
        found = getattr(own, name)
        assert found.shape == value.shape, name
        apart = (found.float() - value.float()).abs()
        known = apart[torch.isfinite(apart)]
        if name in ("crop", "fine", "mask"):
            assert known.mean() < 0.006, name
        else:
            assert known.max() < 1e-3, name


def test_bent_truth_lies_where_the_bent_picture_shows_it(
    resident: ResidentSamples, samples: Sequence[Sample], face: FaceTensors
) -> None:
    """Projected by the camera that took it, the bent surface meets its pixels: to 0.01 px."""
    bent = batch_of(resident, warp_px=1.5, warp_share=1.0)
    truth = samples[0].truth
    assert truth is not None
    vertices = bent.vertices[0].numpy() * MODEL_UNIT_MM + face.centre_mm.numpy()
    P = truth.K @ truth.cam_from_head
    x, y, w = P[:, :3] @ vertices.T + P[:, 3:]
    to_crop = AT_SIZE * FIELD / 160
    places = (np.column_stack([x / w, y / w]) - 80) * to_crop + AT_SIZE / 2
    places[:, 1] = AT_SIZE - places[:, 1]
    assert np.abs(places - bent.pixels[0].numpy()).max() < 0.01
    still = batch_of(resident)
    moved = (bent.pixels[0] - still.pixels[0]).norm(dim=-1)
    assert 0.5 < float(moved[face.model.regions["face"]].mean()) < 10


def test_a_bent_picture_shows_at_a_moved_place_what_was_there() -> None:
    warp = draw_warp(2, 200, 1.5, torch.Generator().manual_seed(0), where=torch.tensor([1, 0]))
    points = 20 + 160 * torch.rand(2, 50, 2, generator=torch.Generator().manual_seed(1))
    shown = warp.moved(points)
    back = shown + warp.flow(shown)
    assert (back - points).abs().max() < 0.02
    assert (shown[0] - points[0]).norm(dim=-1).mean() > 0.3
    assert torch.equal(shown[1], points[1])


def test_a_mirrored_face_is_mirrored_in_picture_and_truth(
    resident: ResidentSamples, face: FaceTensors
) -> None:
    flipped, still = batch_of(resident, flip_share=1.0), batch_of(resident)
    assert (flipped.crop[0] - still.crop[0].flip(-1)).abs().mean() < 0.01
    x = face.model.mirror
    mirrored = still.pixels[0, x] * torch.tensor([-1.0, 1.0]) + torch.tensor([224.0, 0.0])
    assert (flipped.pixels[0] - mirrored).abs().max() < 0.01


def test_maps_of_relief_are_left_out_where_nobody_asks(
    samples: Sequence[Sample], face: FaceTensors
) -> None:
    """All else is the same: a network of coefficients learns nothing from them."""
    rows, hidden = np.array([0, 1]), np.zeros(2, bool)
    config = AugmentConfig(warp_px=1.0)
    with_maps, without = (
        ResidentSamples(list(samples), [0, 1], face, relief=relief).batch(  # type: ignore[arg-type]
            rows, hidden, seed=2, augment=config
        )
        for relief in (True, False)
    )
    assert with_maps.displacement.shape == (2, 1, 256, 256)
    for name, value in vars(without).items():
        if name.startswith("displacement"):
            assert value.shape == (2, 1, 0, 0)
        else:
            assert torch.equal(value.nan_to_num(), getattr(with_maps, name).nan_to_num()), name


def test_chance_is_the_seed_s(resident: ResidentSamples) -> None:
    config = AugmentConfig(warp_px=1.0)
    rows, hidden = np.array([0, 1, 0]), np.array([False, False, True])
    one, same, other = (
        resident.batch(rows, hidden, seed=seed, augment=config) for seed in (5, 5, 6)
    )
    assert torch.equal(one.crop, same.crop)
    assert not torch.equal(one.crop, other.crop)
    assert one.has_truth.tolist() == [True, False, False]
    assert one.vertices[1].abs().max() == 0


def test_what_hides_a_face_leaves_its_mask() -> None:
    config = replace(SOUND, occluder_share=1.0)
    image, mask = torch.full((8, 3, 64, 64), 0.5), torch.ones(8, 1, 64, 64)
    changed, left = degraded_together(image, mask, config, torch.Generator().manual_seed(0))
    touched = (changed - image).abs().amax(dim=1, keepdim=True) > 0.02
    assert 0.02 < float((left < 0.5).float().mean()) < 0.6
    assert not bool((touched & (left == 1)).any())


def test_what_does_not_go_together_is_told(samples: Sequence[Sample], face: FaceTensors) -> None:
    other = replace(samples[0], image=samples[0].image[:-2, :-2], truth=None)
    with pytest.raises(InputError, match="one size"):
        ResidentSamples([samples[0], other], [0, 1], face)  # type: ignore[arg-type]
    data = DataConfig(virtual=VirtualConfig())
    with pytest.raises(ConfigError, match="resident"):
        SampleFeed(data, model="builtin", augment=AugmentConfig(warp_px=1.0))
