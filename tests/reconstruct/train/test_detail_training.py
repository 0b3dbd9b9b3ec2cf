"""The training of the generators: what is prepared, mixed, left out and exported."""

import pickle
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facekit.core.config import from_mapping, load_yaml
from facekit.core.errors import ConfigError, InputError
from facekit.reconstruct.checkpoint import load_hrn
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.hrn import Hrn
from facekit.reconstruct.networks.hrn import HrnNetworks
from facekit.reconstruct.samples.sample import Sample, Truth
from facekit.reconstruct.train.config import Amp, LoopConfig
from facekit.reconstruct.train.detail import build, detail_networks
from facekit.reconstruct.train.detailconfig import (
    DetailConfig,
    DetailRates,
    DetailSteps,
    DetailWeights,
    NetworkSizes,
    Parts,
)
from facekit.reconstruct.train.detailfeed import PreparedFeed
from facekit.reconstruct.train.detailprepared import PreparedSet, prepare
from facekit.reconstruct.train.detailtask import EXPORTED, DetailTask, compared
from facekit.reconstruct.train.distributed import World
from facekit.reconstruct.train.engine import Engine
from facekit.reconstruct.train.presets import settings_file
from facekit.reconstruct.train.samplefeed import DataConfig, SampleFeed

SIZES = NetworkSizes(
    mid_width=4, mid_blocks=1, high_width=4, high_blocks=1, deformation_size=16,
    displacement_size=64, dropout=0.0, judge_width=4, judge_normed=False, alpha=0.3, beta=0.05,
)  # fmt: skip
CONFIG = DetailConfig(
    loop=LoopConfig(amp=Amp.OFF, learning_rate=1e-3),
    data=DataConfig(folders=("nowhere",), batch=4, wild_share=0.75),
    sizes=SIZES,
    steps=DetailSteps(n_high=2, n_rendered=1),
    rates=DetailRates(judges=1e-3),
    untrained=True,
    backbone="resnet18",
    fine=96,
)


class Photographs:
    """A source of noise, whose faces are the mean face a little swollen; some without truth."""

    def __init__(self, face: FaceTensors, n: int, n_wild: int = 0) -> None:
        self.face, self.n, self.n_wild = face, n, n_wild

    def __len__(self) -> int:
        return self.n + self.n_wild

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        model, size = self.face.model, 128
        focal, away = 1015 * size / (224 * 1.15), 1000.0
        centre = self.face.centre_mm.numpy()
        K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
        turn = np.diag([1.0, -1.0, -1.0])
        pose = np.column_stack([turn, [0, 0, away] - turn @ centre])
        x = model.mean[model.landmarks68] @ pose[:, :3].T + pose[:, 3]
        truth = Truth(
            vertices=(1.01 * model.mean).astype(np.float32),
            support=np.ones(model.n_vertices, np.float32),
            identity=np.zeros(model.n_identity, np.float32),
            expression=np.zeros(model.n_expression, np.float32),
            K=K,
            cam_from_head=pose,
            displacement=(0.1 * rng.standard_normal((256, 256))).astype(np.float32),
            displacement_valid=np.ones((256, 256), bool),
        )
        return Sample(
            image=rng.integers(0, 255, (size, size, 3), dtype=np.uint8),
            mask=np.full((size, size), 255, np.uint8),
            landmarks=((x @ K.T)[:, :2] / x[:, 2:]).astype(np.float32),
            person=f"person {index}",
            truth=truth if index < self.n else None,
        )


@pytest.fixture(scope="module")
def task_parts(head_face: FaceTensors) -> tuple[Hrn, HrnNetworks]:
    """Give fresh networks round the mean face."""
    torch.manual_seed(1)
    networks = detail_networks(CONFIG, head_face)
    hrn = Hrn.of(head_face, networks)
    hrn.coefficient_net.eval().requires_grad_(False)
    return hrn, networks


@pytest.fixture(scope="module")
def folder(task_parts: tuple[Hrn, HrnNetworks], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give six prepared faces, two of which have no truth."""
    hrn, _ = task_parts
    where = tmp_path_factory.mktemp("prepared") / "given"
    source = Photographs(hrn.face, 4, 2)
    return prepare(hrn, source, where, key={"a": 1}, augment=None, seed=0, fine=96)


def a_task(config: DetailConfig, parts: tuple[Hrn, HrnNetworks], folder: Path) -> DetailTask:
    hrn, networks = parts
    feed = PreparedFeed(folder, config.data)
    held = SampleFeed(config.data, model="builtin", augment=None, fine=config.fine)
    return DetailTask(config, hrn, networks, feed, held)


def test_prepared_faces_are_what_was_worked_out(
    task_parts: tuple[Hrn, HrnNetworks], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 bits of colour, 16 of length; the folder is found again, and made anew for another key."""
    faces = pickle.loads(pickle.dumps(PreparedSet(folder)))
    assert len(faces) == 6
    assert faces.has_truth().tolist() == [True] * 4 + [False] * 2
    given = faces.rows([5, 1])
    assert given.has_truth.tolist() == [False, True]
    assert not given.offset[0].any() and not given.relief_valid[0].any()
    # a head that is 1 % larger: 1 mm at 10 cm from the face's middle, after alignment
    moved = 100 * given.offset[1, task_parts[0].face.face_vertices].norm(dim=1)
    assert 0.2 < moved.mean() < 1.0
    assert 0 < given.texture.max() <= 1 and 0 < given.sure[:, :, 20, 20].max() <= 1
    made: list[int] = []
    source = Photographs(task_parts[0].face, 4, 2)
    monkeypatch.setattr(Photographs, "__getitem__", lambda self, i: made.append(i))
    again = {"augment": None, "seed": 0, "fine": 96}
    assert prepare(task_parts[0], source, folder, key={"a": 1}, **again) == folder  # type: ignore[arg-type]
    assert not made
    with pytest.raises(AttributeError):  # it asks for photographs, and gets None
        prepare(task_parts[0], source, folder.parent / "other", key={"a": 2}, **again)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not one photograph"):
        prepare(task_parts[0], Photographs(task_parts[0].face, 0), folder, key={}, **again)  # type: ignore[arg-type]


@pytest.mark.parametrize("world", [1, 2])
def test_one_scan_to_three_photographs_from_somewhere(folder: Path, world: int) -> None:
    feed = pickle.loads(pickle.dumps(PreparedFeed(folder, CONFIG.data)))
    seen: list[int] = []
    for step in range(4):
        batches = [feed.batch(step, 0, rank, world) for rank in range(world)]
        assert sum(int(batch.has_truth.sum()) for batch in batches) == 1
        assert sum(len(batch) for batch in batches) == 4
        seen += [
            row for row, is_wild in map(feed.item, range(4 * step, 4 * step + 4)) if not is_wild
        ]
    assert sorted(seen) == [0, 1, 2, 3]  # each scan once a turn
    only_scans = PreparedFeed(folder, replace(CONFIG.data, wild_share=0.0))
    assert bool(only_scans.batch(0, 0, 0, 1).has_truth.all())


def test_truth_is_withheld_where_there_are_no_other_photographs(
    task_parts: tuple[Hrn, HrnNetworks], folder: Path, tmp_path: Path
) -> None:
    feed = PreparedFeed(folder, CONFIG.data)
    feed.__dict__["_wild"] = feed._scans
    given = feed.batch(0, 0, 0, 1)
    hidden = ~given.has_truth
    assert int(hidden.sum()) == 3
    for name in ("offset", "support", "relief", "relief_valid"):
        assert not getattr(given, name)[hidden].any()


def numbers(task: DetailTask) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.detach().clone()
        for name, module in task.modules.items()
        for key, value in module.named_parameters()
    }


def test_a_step_trains_what_it_should_and_can_be_done_again(
    task_parts: tuple[Hrn, HrnNetworks], folder: Path
) -> None:
    networks = task_parts[1]
    frozen = {name: t.clone() for name, t in networks.net_recon.state_dict().items()}
    begun = {name: t.clone() for name, t in networks.state_dict().items()}
    ended = []
    for _ in range(2):
        networks.load_state_dict(begun)
        torch.manual_seed(5)
        task = a_task(CONFIG, task_parts, folder)
        before = numbers(task)
        engine = Engine(task.optimisers, CONFIG.loop, World())
        for step in range(2):
            engine.start_step()
            terms = task.step(step, [task.feed.batch(step, 0, 0, 1)], engine)
        ended.append(numbers(task))
        still = [name for name, value in ended[-1].items() if torch.equal(value, before[name])]
        assert not [name for name in still if name.endswith("weight")]
        assert {"vertices", "relief", "photo_mid", "photo_high", "contour", "total"} <= set(terms)
        assert {"judge_mid", "judge_high", "adversarial_mid", "adversarial_high"} <= set(terms)
    for name, value in ended[0].items():
        assert torch.equal(value, ended[1][name])
    for name, tensor in networks.net_recon.state_dict().items():
        assert torch.equal(tensor, frozen[name])
    networks.load_state_dict(begun)


@pytest.mark.parametrize(
    ("left_out", "silent"),
    [
        ("deformation", {"smooth", "vertices", "adversarial_mid"}),
        ("displacement", {"relief", "magnitude", "adversarial_high"}),
        ("priors", {"adversarial_mid", "adversarial_high"}),
        ("contour", {"contour"}),
    ],
)
def test_parts_can_be_left_out(
    left_out: str, silent: set[str], task_parts: tuple[Hrn, HrnNetworks], folder: Path
) -> None:
    """What is left out has no term, or one that is 0; its network is silent in the export."""
    config = replace(CONFIG, parts=Parts(**{left_out: False}))
    task = a_task(config, task_parts, folder)
    given = task.feed.batch(0, 0, 0, 1)
    terms, maps = task.of_generators(0, given, nullcontext)
    for name in silent:
        assert name not in terms or terms[name] == 0
    if left_out == "priors":
        assert not maps and terms["vertices"] == 0 and terms["relief"] == 0
    task.export(folder.parent, {"steps": 0})
    face = task_parts[0].face
    kept = load_hrn(folder.parent / EXPORTED, face.model, n_albedo=face.n_albedo).networks
    assert bool(kept.alpha == 0) == (left_out == "deformation")
    assert bool(kept.beta == 0) == (left_out == "displacement")
    assert float(task_parts[0].alpha.detach()) == pytest.approx(0.3, abs=1e-2)


def test_without_the_deformation_nothing_is_learnt_before_the_relief_s_turn(
    task_parts: tuple[Hrn, HrnNetworks], folder: Path
) -> None:
    steps = replace(CONFIG.steps, high_from=5)
    config = replace(CONFIG, parts=Parts(deformation=False), steps=steps)
    task = a_task(config, task_parts, folder)
    before = numbers(task)
    engine = Engine(task.optimisers, config.loop, World())
    engine.start_step()
    assert task.step(0, [task.feed.batch(0, 0, 0, 1)], engine)["total"] > 0
    assert all(torch.equal(value, before[name]) for name, value in numbers(task).items())


def test_discriminators_see_no_outline_that_tells_made_from_true() -> None:
    made, true = torch.rand(3, 1, 4, 4) + 1, torch.rand(3, 1, 4, 4) + 1
    known = (torch.rand(3, 1, 4, 4) > 0.5).float()
    has_truth = torch.tensor([False, True, True])
    pair = compared(made[1:], torch.tensor([0, 2]), true, known, has_truth, scale=2.0)
    assert pair is not None
    assert torch.equal(pair[1], 2 * (true * known)[1:])
    assert torch.equal(pair[0] != 0, known[[1, 2]] != 0)
    nobody = torch.zeros(3, dtype=torch.bool)
    assert compared(made, torch.arange(3), true, known, nobody, scale=1.0) is None


def test_a_coefficient_network_is_asked_for(head_face: FaceTensors) -> None:
    with pytest.raises(InputError, match="coarse="):
        detail_networks(replace(CONFIG, untrained=False), head_face)
    with pytest.raises(ConfigError, match="high_from"):
        DetailSteps(high_from=-1)


@pytest.mark.parametrize("name", ["detail-small", "detail-hrn", "detail-smoke"])
def test_shipped_settings_are_read(name: str) -> None:
    config = from_mapping(DetailConfig, load_yaml(settings_file(name)), where=name)
    assert config.parts == Parts()
    if name == "detail-hrn":
        assert config.data.wild_share == 0.75 and config.weights == DetailWeights()
        layout = config.layout((80, 64, 80), "resnet50")
        assert (layout.mid_blocks, layout.high_width) == (9, 64)


@pytest.mark.slow
def test_the_smoke_training_learns(tmp_path: Path) -> None:
    """On four people, M1 comes nearer to the truth of what it trains on within 60 steps."""
    from facekit.reconstruct.train.loop import train

    config = from_mapping(DetailConfig, load_yaml(settings_file("detail-smoke")), where="smoke")
    result = train(build(config), config.loop, tmp_path)
    assert result.stopped is None
    assert (tmp_path / "weights" / EXPORTED).is_file()
