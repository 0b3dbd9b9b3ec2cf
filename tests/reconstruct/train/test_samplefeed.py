"""Which samples a step learns from: everybody in turn, nobody of those held out."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from facekit.core.errors import ConfigError, InputError
from facekit.reconstruct.samples.sample import Sample
from facekit.reconstruct.samples.virtual import VirtualConfig
from facekit.reconstruct.train.samplefeed import DataConfig, SampleFeed, held_out
from facekit.reconstruct.train.sources import Joined, Kept, open_source

LANDMARKS = np.random.default_rng(0).uniform(20, 44, (68, 2)).astype(np.float32)


class Strangers:
    """Photographs without truth, two of each person; the first pixel tells the number."""

    def __init__(self, n: int, kind: str = "p") -> None:
        self.n, self.kind, self.made = n, kind, Counter[int]()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Sample:
        self.made[index] += 1
        image = np.full((64, 64, 3), index, np.uint8)
        return Sample(
            image=image,
            mask=np.full((64, 64), 255, np.uint8),
            landmarks=LANDMARKS,
            person=f"{self.kind}{index // 2}",
            truth=None,
        )


def feed_of(scans: Strangers, *, wild: Strangers | None = None, **settings: object) -> SampleFeed:
    data = DataConfig(virtual=VirtualConfig(), **settings)  # type: ignore[arg-type]
    feed = SampleFeed(data, model="builtin", augment=None)
    feed.scans, feed.wild = scans, wild
    return feed


def number_of(sample: Sample) -> int:
    return int(sample.image[0, 0, 0])


def test_a_turn_shows_every_sample_once_and_the_next_in_another_order() -> None:
    feed = feed_of(Strangers(24), batch=4, held_out=0.0)
    turns = [[number_of(feed.sample(24 * turn + i)) for i in range(24)] for turn in range(2)]
    assert sorted(turns[0]) == sorted(turns[1]) == list(range(24))
    assert turns[0] != turns[1]


def test_people_held_out_are_not_trained_on() -> None:
    feed = feed_of(Strangers(60), batch=4, held_out=0.2)
    held = {feed.scans[int(i)].person for i in feed._held}
    trained = {feed.sample(i).person for i in range(120)}
    assert len(held) > 0
    assert held.isdisjoint(trained)
    assert len(held) + len(trained) == 30


def test_more_people_move_nobody_over() -> None:
    few = [f"person {k}" for k in range(50)]
    many = [f"person {k}" for k in range(500)]
    assert (held_out(few, 0.1) == held_out(many, 0.1)[:50]).all()
    assert held_out(many, 0.1).mean() == pytest.approx(0.1, abs=0.05)


def test_at_least_one_of_few_people_is_held_out_and_never_all() -> None:
    assert held_out(["a", "b", "b"], 1e-6).sum() in (1, 2)
    assert not held_out(["a", "a"], 1e-6).any()
    assert not held_out(["a", "b"], 0.0).any()


def test_one_person_alone_cannot_be_held_out_from_himself() -> None:
    everybody = feed_of(Strangers(8), batch=2, held_out=0.99999)
    with pytest.raises(InputError, match="nobody to train on"):
        everybody.sample(0)


def test_a_step_has_its_share_of_photographs_from_somewhere() -> None:
    feed = feed_of(Strangers(30), wild=Strangers(10, "w"), batch=8, wild_share=0.75, held_out=0.0)
    kinds = [[feed.sample(8 * step + i).person[0] for i in range(8)] for step in range(20)]
    assert all(kind.count("w") == 6 for kind in kinds)
    wild = [number_of(s) for i in range(160) if (s := feed.sample(i)).person[0] == "w"]
    # five steps go three times through the ten of them
    assert all(sorted(wild[k : k + 30]) == sorted([*range(10)] * 3) for k in range(0, 120, 30))
    orders = {tuple(kind) for kind in kinds}
    assert len(orders) > 5  # no process has the same kind each time
    scans = [number_of(s) for i in range(120) if (s := feed.sample(i)).person[0] == "p"]
    assert sorted(scans) == list(range(30))


@pytest.mark.parametrize(("world", "parts"), [(2, 1), (1, 2), (2, 2)])
def test_processes_and_parts_share_the_items_of_a_step(world: int, parts: int) -> None:
    whole = feed_of(Strangers(20), batch=8, held_out=0.0)
    feed = feed_of(Strangers(20), batch=8, held_out=0.0)
    feed.parts = parts
    crops = [
        feed.batch(3, part, rank, world).crop[:, 0, 112, 112]
        for part in range(parts)
        for rank in range(world)
    ]
    alone = whole.batch(3, 0, 0, 1).crop[:, 0, 112, 112]
    assert torch.equal(torch.cat(crops).sort().values, alone.sort().values)


def test_a_batch_too_small_for_the_processes_is_refused() -> None:
    with pytest.raises(ConfigError, match="less than one item for each of 4 processes"):
        feed_of(Strangers(20), batch=3).batch(0, 0, 3, 4)


def test_a_copy_in_another_process_gives_the_same_batches() -> None:
    """Pickled, a feed leaves its model and sources behind and opens them again."""
    feed = feed_of(Strangers(20), batch=4)
    first = feed.batch(7, 0, 0, 1)
    copy = pickle.loads(pickle.dumps(feed))
    assert not {"face", "scans", "wild"} & set(vars(copy))
    copy.scans, copy.wild = Strangers(20), None
    again = copy.batch(7, 0, 0, 1)
    for name, value in vars(first).items():
        torch.testing.assert_close(getattr(again, name), value, rtol=0, atol=0, equal_nan=True)


def test_nothing_to_train_on_is_told() -> None:
    with pytest.raises(InputError, match="nothing to train on"):
        SampleFeed(DataConfig(), model="builtin", augment=None)


def test_a_folder_that_is_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither samples of facekit train pack"):
        open_source(tmp_path, feed_of(Strangers(2)).face.model)


@pytest.mark.parametrize("settings", [{"batch": 0}, {"held_out": 1.0}, {"wild_share": -0.1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        DataConfig(**settings)  # type: ignore[arg-type]


def test_joined_sources_lie_one_behind_the_other() -> None:
    joined = Joined([Strangers(3, "a"), Strangers(2, "b")])
    assert len(joined) == 5
    assert joined.people == [joined[i].person for i in range(5)] == ["a0", "a0", "a1", "b0", "b0"]
    for index in (-1, 5):
        with pytest.raises(IndexError):
            joined[index]


def test_samples_are_made_once_while_there_is_room() -> None:
    slow = Strangers(6)
    kept = Kept(slow, most=4)
    assert [number_of(kept[i]) for i in (0, 1, 2, 3, 0, 1)] == [0, 1, 2, 3, 0, 1]
    assert max(slow.made.values()) == 1
    kept[4]  # the one asked for longest ago makes room
    kept[2]
    assert slow.made[2] == 2
    assert slow.made[0] == 1
