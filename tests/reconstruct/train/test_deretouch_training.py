"""The training of the de-retouching network: batches, terms, figures, and that it learns."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facekit.core.errors import ConfigError
from facekit.reconstruct.checkpoint import load_deretouch
from facekit.reconstruct.networks.softlight import NEUTRAL, blend_target
from facekit.reconstruct.samples.retouch import RetouchConfig
from facekit.reconstruct.samples.spots import SpotsConfig
from facekit.reconstruct.shippedweights import DERETOUCH_FILE, shipped_file
from facekit.reconstruct.train.config import LoopConfig
from facekit.reconstruct.train.deretouch import (
    WEIGHTS_FILE,
    DeretouchConfig,
    DeretouchTask,
    DeretouchWeights,
    build,
)
from facekit.reconstruct.train.loop import train
from facekit.reconstruct.train.retouchfeed import (
    RetouchBatch,
    RetouchData,
    RetouchFeed,
    batch_of,
)
from facekit.reconstruct.train.retouchscore import figures_of

DATA = RetouchData(
    n_virtual=2,
    n_validation=2,
    batch=4,
    piece=48,
    virtual=RetouchConfig(size=96),
    spots=SpotsConfig(density=8.0),
)


@pytest.fixture(scope="module")
def feed() -> RetouchFeed:
    return RetouchFeed(DATA, seed=1)


def test_a_batch_depends_on_its_numbers_alone(feed: RetouchFeed) -> None:
    first = feed.batch(7, 0, 0, 1)
    copy = pickle.loads(pickle.dumps(feed))
    for a, b in zip(first, copy.batch(7, 0, 0, 1), strict=True):
        assert torch.equal(a, b)
    halves = [feed.batch(7, 0, rank, 2) for rank in (0, 1)]
    assert torch.equal(torch.stack([h.raw for h in halves], 1).flatten(0, 1), first.raw)
    assert first.raw.shape == (4, 3, 48, 48) and first.seen.shape == (4, 1, 48, 48)


def test_both_pictures_of_a_piece_are_changed_alike(feed: RetouchFeed) -> None:
    """Same light, noise and blur: off the spots, and what blur spreads of them, the two are one."""
    batches = [feed.batch(step, 0, 0, 1) for step in range(4)]
    raw, retouched, seen = (torch.cat([b[k] for b in batches]) for k in range(3))
    gap = (retouched - raw)[(seen > 0).expand_as(raw)]
    assert (gap >= -1.5 / 255).all()  # rounding; spots only darken
    assert (gap.abs() < 1e-6).float().mean() > 0.6 and (gap > 0.1).any()
    assert not raw[(seen == 0).expand_as(raw)].any()


def test_people_of_validation_are_others(feed: RetouchFeed) -> None:
    held, again = feed.validation(), feed.validation()
    assert len(held) == 2 and np.array_equal(held[1].raw, again[1].raw)
    assert not np.array_equal(held[0].retouched, feed._keep(-1, 0).retouched)


class Told(nn.Module):
    """Give the same layer for whatever texture."""

    size = 32

    def __init__(self, layer: Tensor) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, texture: Tensor) -> Tensor:
        return self.layer


def test_the_right_layer_takes_all_spots_out_and_none_takes_none() -> None:
    texture = torch.full((1, 3, 32, 32), 0.6)
    spotted = texture.clone()
    spotted[:, :, 10:13, 10:13] = 0.45
    batch = RetouchBatch(spotted, texture, torch.ones(1, 1, 32, 32))
    right = figures_of(Told(blend_target(spotted, texture)), batch)
    assert right.removed == pytest.approx(1.0, abs=1e-5) and right.harm < 1e-4
    neutral = figures_of(Told(torch.full_like(texture, NEUTRAL)), batch)
    assert neutral.removed == pytest.approx(0.0, abs=1e-5) and neutral.harm < 1e-4
    # a lighter layer everywhere: T0 - T = 2 (B - 1/2) T (1 - T) = 0.2 * 0.24 of white
    lighter = figures_of(Told(torch.full_like(texture, 0.6)), batch)
    assert lighter.harm == pytest.approx(255 * 0.2 * 0.24, rel=1e-3)


def _config(steps: int, **more: object) -> DeretouchConfig:
    loop = LoopConfig(steps=steps, learning_rate=5e-3, validate_steps=steps, log_steps=1)
    return DeretouchConfig(loop=loop, data=DATA, width=4, **more)  # type: ignore[arg-type]


def test_it_learns_and_its_weights_load(tmp_path: Path) -> None:
    result = train(build(_config(40)), _config(40).loop, tmp_path / "run")
    assert result.last["total"] < 0.8 * result.first["total"]
    assert result.last["layer"] < result.first["layer"]
    assert {"spots_removed", "harm_levels", "score"} <= set(result.validation)
    loaded = load_deretouch(tmp_path / "run" / "weights" / WEIGHTS_FILE)
    assert (loaded.network.width, loaded.network.size) == (4, 96)
    assert loaded.info.training


def test_a_judge_learns_beside_the_network(tmp_path: Path) -> None:
    config = _config(2, weights=DeretouchWeights(adversarial=0.01), judge_width=4)
    task = build(config)
    before = [p.detach().clone() for p in task.modules["judge"].parameters()]
    result = train(task, config.loop, tmp_path / "run")
    assert {"adversarial", "judge"} <= set(result.last)
    after = list(task.modules["judge"].parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_terms_are_zero_where_nothing_is_seen() -> None:
    task: DeretouchTask = build(_config(1))
    texture = torch.rand(1, 3, 48, 48)
    unseen = RetouchBatch(texture, texture.flip(3), torch.zeros(1, 1, 48, 48))
    with torch.no_grad():
        terms = task.losses(unseen)
    assert all(float(value) == 0 for value in terms.values())
    assert all(picture.shape == (3, 4 * 96, 96) for picture in task.panels(0).values())


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="neither virtual people nor folders"):
        RetouchData(n_virtual=0)
    with pytest.raises(ConfigError, match="more than the maps' 96"):
        RetouchData(piece=128, virtual=RetouchConfig(size=96))
    with pytest.raises(ConfigError, match="width = 0"):
        DeretouchConfig(width=0)


def test_the_shipped_network_takes_spots_out() -> None:
    """People of another seed; 0.71 and 0.29 levels were measured on four of them."""
    network = load_deretouch(shipped_file(DERETOUCH_FILE)).network
    data = RetouchData(n_virtual=1, n_validation=4)
    found = figures_of(network, batch_of(RetouchFeed(data, seed=12).validation()))
    assert found.removed > 0.5 and found.harm < 0.6
