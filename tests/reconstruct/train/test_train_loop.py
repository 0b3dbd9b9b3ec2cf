"""The loop: what a step learns from, how it is told, and what ends it."""

import io
import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from facekit.core.errors import ConfigError, EstimationError, MissingDependencyError
from facekit.reconstruct.train import board as board_module
from facekit.reconstruct.train.averages import Averages
from facekit.reconstruct.train.board import LOG_FILE, first_and_last, read_log
from facekit.reconstruct.train.config import Amp, LoopConfig, Schedule
from facekit.reconstruct.train.distributed import World
from facekit.reconstruct.train.engine import Engine, half_type
from facekit.reconstruct.train.loading import to_device
from facekit.reconstruct.train.schedule import rate_factor
from facekit.reconstruct.train.state import read_tensors
from facekit.reconstruct.train.task import own_items
from facekit.reconstruct.train.watchdog import EXIT_AGAIN, Watchdog, exit_code

ROUNDING = 1e-5  # float32, after some tens of steps of Adam on a loss of about one


def losses(out: Path) -> list[float]:
    return [line["terms"]["total"] for line in read_log(out / LOG_FILE) if "step" in line]


def test_the_loss_falls_and_the_result_says_so(tmp_path: Path, trained: Any) -> None:
    result, task = trained(tmp_path, {"steps": 200, "validate_steps": 50, "amp": "off"})
    assert result.last["fit"] < 0.5 * result.first["fit"]
    assert result.validation == {"score": result.best_score}
    lines = read_log(tmp_path / LOG_FILE)
    first, last = first_and_last(lines)
    assert (first, last) == (result.first, result.last)
    fits = sorted(line["terms"]["fit"] for line in lines[:20])
    assert result.first["fit"] == pytest.approx((fits[9] + fits[10]) / 2)
    json.dumps(result.plain(), allow_nan=False)
    record = json.loads((tmp_path / "stage.json").read_text())
    assert record["results"] == result.plain()
    assert (tmp_path / "panels" / "weights.png").is_file()
    # a parameter that no loss depends on is left alone
    assert torch.equal(task.unused.weight, toy_start(task).unused.weight)


def toy_start(task: Any) -> Any:
    return type(task)(task.toy, 0.01)


def test_the_same_seed_gives_the_same_bits_and_workers_change_nothing(
    tmp_path: Path, trained: Any
) -> None:
    settings = {"steps": 10, "parts": 2}
    trained(tmp_path / "a", settings, dropout=0.3)
    trained(tmp_path / "b", settings | {"workers": 1}, dropout=0.3)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    trained(tmp_path / "c", settings | {"seed": 1}, dropout=0.3)  # other dropout, same batches
    assert losses(tmp_path / "a") != losses(tmp_path / "c")


def test_gradients_of_parts_add_up_to_those_of_the_whole(tmp_path: Path, trained: Any) -> None:
    trained(tmp_path / "whole", {"steps": 20})
    trained(tmp_path / "parts", {"steps": 20, "parts": 4})
    # the mean over 16 items is the mean of the means over four of them, but for rounding
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=ROUNDING)


def test_a_term_that_is_no_number_stops_it_by_name(tmp_path: Path, trained: Any) -> None:
    with pytest.raises(EstimationError) as caught:
        trained(tmp_path, {}, nan_at=17)
    said = str(caught.value)
    assert said.startswith("train toy: step 17: the loss's term 'odd' is nan; the newest state is")
    assert "\n" not in said
    assert len(losses(tmp_path)) == 17
    state = read_tensors(tmp_path / "state" / "step-00000014.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_a_gradient_that_is_no_number_stops_it_before_the_weights_change() -> None:
    weight = nn.Parameter(torch.zeros(3))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    engine = Engine({"it": optimiser}, LoopConfig(), World())
    with pytest.raises(EstimationError, match="the gradient of 'it' is nan"):
        # the slope of a root at zero is infinite, times zero
        engine.minimise("it", [0], lambda _: {"total": (weight.sqrt() * 0).sum()})
    assert torch.equal(weight.detach(), torch.zeros(3))


def test_gradients_are_clipped_to_a_norm() -> None:
    weight = nn.Parameter(torch.zeros(2))
    engine = Engine({"it": torch.optim.SGD([weight], lr=1.0)}, LoopConfig(clip=0.5), World())
    slope = torch.tensor([3.0, 4.0])
    engine.minimise("it", [0], lambda _: {"total": (weight * slope).sum()})
    assert engine.norms == {"it": 5.0}
    assert weight.detach().tolist() == pytest.approx([-0.3, -0.4], rel=1e-5)


def test_only_named_optimisers_gather_gradients() -> None:
    one, two = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    optimisers = {
        "one": torch.optim.SGD([one, frozen], lr=1.0),
        "two": torch.optim.SGD([two], lr=1.0),
    }
    engine = Engine(optimisers, LoopConfig(), World())
    with engine.only("one"):
        engine.backward((one * two).sum())
    assert one.grad is not None and two.grad is None
    assert one.requires_grad and two.requires_grad and not frozen.requires_grad


def test_mean_weights_follow_their_recursion() -> None:
    layer = nn.Linear(2, 1)
    averages = Averages({"layer": layer}, 0.5)
    expected = layer.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            layer.weight.add_(1.0)
        averages.update(step)
        old = min(0.5, (2 + step) / (11 + step))
        expected = old * expected + (1 - old) * layer.weight.detach()
    now = layer.weight.detach().clone()
    with averages.applied():
        assert torch.allclose(layer.weight, expected, atol=1e-5)
    assert torch.equal(layer.weight, now)


def test_half_precision_on_the_processor(tmp_path: Path, trained: Any) -> None:
    result, _ = trained(tmp_path / "bf16", {"steps": 150, "amp": "bf16"})
    assert result.last["fit"] < 0.6 * result.first["fit"]
    state = read_tensors(tmp_path / "bf16" / "state" / "step-00000150.safetensors")
    assert state["module.net.0.weight"].dtype is torch.float32
    with pytest.raises(ConfigError, match="fp16 is for CUDA"):
        trained(tmp_path / "fp16", {"amp": "fp16"})
    assert half_type(Amp.AUTO, torch.device("cpu")) is None


def test_schedules() -> None:
    steps = LoopConfig(schedule=Schedule.STEPS, decay_every=10, decay_factor=0.2, steps=40)
    assert [rate_factor(steps, step) for step in (0, 9, 10, 25)] == pytest.approx([1, 1, 0.2, 0.04])
    cosine = LoopConfig(schedule=Schedule.COSINE, steps=101, warm_up=0, final_factor=0.1)
    assert rate_factor(cosine, 0) == 1
    assert rate_factor(cosine, 50) == pytest.approx(0.55)
    assert rate_factor(cosine, 100) == pytest.approx(0.1)
    warm = LoopConfig(warm_up=4)
    assert [rate_factor(warm, step) for step in range(6)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1, 1]
    )


@pytest.mark.parametrize(("world", "parts"), [(1, 1), (2, 1), (2, 3), (1, 4)])
def test_each_item_of_a_step_is_in_one_batch(world: int, parts: int) -> None:
    seen = [
        number
        for rank in range(world)
        for part in range(parts)
        for number in own_items(12, 5, part, rank, world=world, parts=parts)
    ]
    assert sorted(seen) == list(range(60, 72))


def test_batches_move_to_the_device_whole() -> None:
    moved = to_device({"a": [torch.ones(1)], "b": (torch.ones(2), "name")}, torch.device("meta"))
    assert moved["a"][0].device.type == "meta" and moved["b"][0].device.type == "meta"
    assert moved["b"][1] == "name"


def test_silence_ends_the_process_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, ended, over = io.StringIO(), [], threading.Event()
    monkeypatch.setattr("sys.stderr", said)
    monkeypatch.setattr("faulthandler.dump_traceback", lambda **_: None)

    def end(code: int) -> None:
        ended.append(code)
        over.set()

    now = 0.0  # a clock of the test's own: the machine may be busy
    with Watchdog(0.05 / 60, "train toy", end=end, clock=lambda: now) as dog:
        for _ in range(4):  # signs of life keep it quiet, for longer than the limit in all
            dog.heard("step 16")
            now += 0.04
            assert not over.wait(0.05)
        dog.heard("step 17")
        now += 0.06
        assert over.wait(30)
    assert ended == [EXIT_AGAIN]
    assert "facekit: train toy: step 17 takes longer than" in said.getvalue()


def test_exit_codes() -> None:
    codes = [exit_code(name) for name in (None, "early stop", "SIGTERM", "SIGUSR1", "SIGINT")]
    assert codes == [0, 0, 0, EXIT_AGAIN, 130]


def test_without_tensorboard_it_says_so_once_and_goes_on(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(module: str, *, extra: str) -> None:
        raise MissingDependencyError(f"{module} is not installed; run: pip install '[{extra}]'")

    monkeypatch.setattr(board_module, "require", absent)
    with caplog.at_level("INFO"):
        trained(tmp_path, {"steps": 5})
    assert caplog.text.count("tensorboard is not installed") == 1
    assert not (tmp_path / "tensorboard").exists()
    assert len(losses(tmp_path)) == 5


def test_tensorboard_gets_scalars_and_pictures(tmp_path: Path, trained: Any) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tmp_path, {"steps": 12}, signal_at=8)
    time.sleep(1.1)  # its files are named and ordered by the second
    trained(tmp_path, {"steps": 12})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/total")] == list(range(12))
    assert events.Tags()["images"] == ["weights"]
    logged = losses(tmp_path)
    assert [e.value for e in events.Scalars("loss/total")] == pytest.approx(logged, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"steps": 0}, r"loop\.steps = 0"), ({"average": 1.5}, r"loop\.average = 1\.5"),
     ({"clip": -1.0}, r"loop\.clip = -1"), ({"workers": -1}, r"loop\.workers = -1")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LoopConfig(**settings)
    assert math.isfinite(LoopConfig().learning_rate)
