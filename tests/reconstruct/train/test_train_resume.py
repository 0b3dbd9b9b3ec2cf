"""A training that was killed or told to stop ends as one that nobody disturbed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from facekit.core.errors import ConfigError, InputError
from facekit.reconstruct.train.board import LOG_FILE, read_log
from facekit.reconstruct.train.loop import EARLY
from facekit.reconstruct.train.state import read_tensors, saved_steps

HARD = {"dropout": 0.2, "norm": True}
LOOP = {"steps": 30, "checkpoint_steps": 3, "validate_steps": 8, "average": 0.9,
        "schedule": "cosine", "warm_up": 4, "parts": 2, "clip": 1.0}  # fmt: skip


def losses(out: Path) -> list[float]:
    return [line["terms"]["total"] for line in read_log(out / LOG_FILE) if "step" in line]


def weights(out: Path, step: int) -> dict[str, torch.Tensor]:
    return read_tensors(out / "state" / f"step-{step:08d}.safetensors")


def assert_same_state(one: Path, other: Path, step: int) -> None:
    """Networks, optimiser and mean weights agree to the last bit."""
    first, second = weights(one, step), weights(other, step)
    assert first.keys() == second.keys()
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differing


def assert_each_step_once(out: Path, n_steps: int) -> None:
    lines = read_log(out / LOG_FILE)
    assert [line["step"] for line in lines if "step" in line] == list(range(n_steps))
    afters = [line["after"] for line in lines if "after" in line]
    assert afters == sorted(set(afters))


def check_killed(tmp_path: Path, trained: Any, loop: Any, answer: Any) -> None:
    """Compare the run in `killed` with one that nobody disturbed."""
    assert answer["codes"] == [0]
    whole, out = tmp_path / "whole", tmp_path / "killed"
    trained(whole, {name: value for name, value in loop.items() if name != "workers"}, **HARD)
    assert_same_state(whole, out, loop["steps"])
    assert_each_step_once(out, loop["steps"])
    for one, other in zip(read_log(whole / LOG_FILE), read_log(out / LOG_FILE), strict=True):
        assert one.get("terms") == other.get("terms"), answer["moments"]
        assert one.get("validation") == other.get("validation")
    assert not list(out.rglob("*.part.*"))


def test_processes_that_are_killed_or_work_together(
    tmp_path: Path, trained: Any, in_processes: Any
) -> None:
    """One test, since starting processes costs more than what they do."""
    pair = {"steps": 40, "validate_steps": 10, "average": 0.9, "clip": 0.5}
    stopped = {"out": str(tmp_path / "stopped"), "loop": {"steps": 30}}
    killing = {"out": str(tmp_path / "killed"), "loop": LOOP, "toy": HARD}
    killed, two, first, second = in_processes(
        ("killed", killing | {"kills": 3, "seed": os.getpid()}),
        ("together", {"out": str(tmp_path / "two"), "loop": pair, "toy": {}}),
        ("together", stopped | {"toy": {"signal_at": 9, "signal_rank": 1}}),
        ("together", stopped | {"toy": {}}),
    )
    check_killed(tmp_path, trained, LOOP, killed)
    assert two["codes"] == first["codes"] == second["codes"] == [0, 0]
    # a signal to the second process stops both, after the same step
    assert_each_step_once(tmp_path / "stopped", 30)
    assert saved_steps(tmp_path / "stopped" / "state") == [30, 28, 21]
    record = json.loads((tmp_path / "two" / "stage.json").read_text())
    assert record["results"]["processes"] == 2
    # without batch normalisation two learn what one does: the mean gradient is the same sum in
    # another order, so that losses of about one differ by roundings of 1e-7, some tens of steps
    trained(tmp_path / "one", pair)
    one, both = (losses(tmp_path / run) for run in ("one", "two"))
    assert both == pytest.approx(one, rel=1e-5)
    best, best_of_two = (read_tensors(tmp_path / r / "best.safetensors") for r in ("one", "two"))
    for name, tensor in best.items():
        assert torch.allclose(tensor, best_of_two[name], atol=1e-4), name


@pytest.mark.slow
def test_killed_five_times_with_workers_it_ends_with_the_same_bits(
    tmp_path: Path, trained: Any, in_processes: Any
) -> None:
    loop = LOOP | {"workers": 2, "steps": 60}
    killing = {"out": str(tmp_path / "killed"), "loop": loop, "toy": HARD}
    (answer,) = in_processes(("killed", killing | {"kills": 5, "seed": os.getpid()}))
    check_killed(tmp_path, trained, loop, answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_told_to_stop_it_keeps_its_state_and_goes_on_later(
    tmp_path: Path, trained: Any, number: signal.Signals
) -> None:
    trained(tmp_path / "whole", LOOP)
    out = tmp_path / "stopped"
    handler = signal.getsignal(number)
    result, _ = trained(out, LOOP, signal_at=10, signal=int(number))
    assert (result.stopped, result.steps) == (number.name, 11)  # the step is done first
    assert saved_steps(out / "state")[0] == 11
    assert signal.getsignal(number) == handler
    assert not (out / "stage.json").exists()
    result, _ = trained(out, LOOP)
    assert (result.stopped, result.steps) == (None, 30)
    assert_same_state(tmp_path / "whole", out, 30)
    assert_each_step_once(out, 30)


def test_an_ended_training_is_not_done_again(tmp_path: Path, trained: Any) -> None:
    first, _ = trained(tmp_path, {})
    written = (tmp_path / LOG_FILE).stat().st_mtime_ns
    again, _ = trained(tmp_path, {})
    assert again == first
    assert (tmp_path / LOG_FILE).stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["a bit", "cut off", "gone", "record"])
def test_a_damaged_newest_state_falls_back_to_the_one_before(
    tmp_path: Path, trained: Any, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    trained(tmp_path / "whole", {})
    out = tmp_path / "damaged"
    trained(out, {}, signal_at=16)
    newest = out / "state" / "step-00000017.safetensors"
    content = bytearray(newest.read_bytes())
    if damage == "a bit":
        content[-5] ^= 4
        newest.write_bytes(content)
    elif damage == "cut off":
        newest.write_bytes(content[:-100])
    elif damage == "gone":
        newest.unlink()
    else:
        newest.with_suffix(".json").write_text('{"format": "facekit-train-st')
    with caplog.at_level("WARNING"):
        result, _ = trained(out, {})
    assert result.steps == 30
    assert "step-00000017" in caplog.text and "taking the one before" in caplog.text
    assert_same_state(tmp_path / "whole", out, 30)
    assert_each_step_once(out, 30)


def test_where_all_states_are_damaged_it_says_so(tmp_path: Path, trained: Any) -> None:
    trained(tmp_path, {}, signal_at=16)
    for path in (tmp_path / "state").glob("*.safetensors"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="every state in it is damaged"):
        trained(tmp_path, {})


def test_only_the_newest_states_are_kept(tmp_path: Path, trained: Any) -> None:
    trained(tmp_path, {"keep": 2})
    assert saved_steps(tmp_path / "state") == [30, 28]


def test_another_run_is_refused_in_one_sentence(tmp_path: Path, trained: Any) -> None:
    trained(tmp_path, {}, signal_at=5)
    with pytest.raises(ConfigError, match=r"loop\.seed = 0, not 7: give another --out"):
        trained(tmp_path, {"seed": 7})
    with pytest.raises(ConfigError, match=r"loop\.clip = None, not 1\.0 \(and 1 more\)"):
        trained(tmp_path, {"clip": 1.0, "threads": 2})
    with pytest.raises(ConfigError, match="holds a run already"):
        trained(tmp_path, {}, resume="never")
    with pytest.raises(ConfigError, match="no run is there to be resumed"):
        trained(tmp_path / "new", {}, resume="only")


def test_a_restarted_process_goes_on_whatever_resume_says(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path, {}, resume="never", signal_at=5)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert trained(tmp_path, {}, resume="never")[0].steps == 30


def test_a_run_may_be_made_longer(tmp_path: Path, trained: Any) -> None:
    trained(tmp_path / "whole", {"steps": 20})
    trained(tmp_path / "longer", {"steps": 12})
    result, _ = trained(tmp_path / "longer", {"steps": 20, "keep": 5})
    assert result.steps == 20
    assert_same_state(tmp_path / "whole", tmp_path / "longer", 20)
    cosine = {"schedule": "cosine", "steps": 12}
    trained(tmp_path / "cosine", cosine)
    with pytest.raises(ConfigError, match=r"loop\.steps = 12, not 20"):
        trained(tmp_path / "cosine", cosine | {"steps": 20})


def test_a_full_disk_is_told_and_older_states_stay(tmp_path: Path, trained: Any) -> None:
    resource = pytest.importorskip("resource")
    loop = {"average": 0.9}
    trained(tmp_path / "whole", loop)
    out = tmp_path / "full"
    trained(out, loop, signal_at=9)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may grow beyond 4.5 kB: the log and records still fit, a state (5.2 kB) does not
    resource.setrlimit(resource.RLIMIT_FSIZE, (4500, limits[1]))
    try:
        with pytest.raises(InputError, match=r"state.step-00000014\.safetensors: cannot be writ"):
            trained(out, loop)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved_steps(out / "state")[0] == 10
    assert not list(out.rglob("*.part.*"))
    assert trained(out, loop)[0].steps == 30
    assert_same_state(tmp_path / "whole", out, 30)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, trained: Any) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"run: cannot be written \(Not a directory\)"):
        trained(tmp_path / "file" / "run", {})


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, trained: Any) -> None:
    from facekit.reconstruct.train.runfolder import alone

    with alone(tmp_path), pytest.raises(InputError, match="another training is at work there"):
        trained(tmp_path, {})


def test_patience_ends_it_with_the_best_weights(tmp_path: Path, trained: Any) -> None:
    loop = {"steps": 60, "validate_steps": 5, "patience": 3}
    result, task = trained(tmp_path, loop, best_at=20)
    assert (result.stopped, result.steps, result.best_step) == (EARLY, 35, 20)
    best = read_tensors(tmp_path / "best.safetensors")
    trained(tmp_path / "twenty", {"steps": 20})
    for name, tensor in weights(tmp_path / "twenty", 20).items():
        if name.startswith("module.net."):
            assert torch.equal(tensor, best[name.removeprefix("module.")])
            assert torch.equal(tensor, task.exported[name.removeprefix("module.net.")])
    record = json.loads((tmp_path / "weights" / "record.json").read_text())
    assert record["steps"] == 20
    assert record["validation"]["score"] == result.best_score != result.validation["score"]
    assert trained(tmp_path, loop, best_at=20)[0] == result  # it has ended


@pytest.mark.slow
def test_torchrun_starts_a_killed_process_again_and_it_goes_on(
    tmp_path: Path, toy: Any, in_processes: Any
) -> None:
    flag = tmp_path / "killed"
    loop = {"steps": 40, "peer_minutes": 1.0}
    toy_settings = {
        "signal_at": 23, "signal_rank": 1, "signal": int(signal.SIGKILL), "once": str(flag),
    }  # fmt: skip
    given = {"out": str(tmp_path / "run"), "loop": loop, "toy": toy_settings}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "--max-restarts=2", toy.__file__, json.dumps([("alone", given)]),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert flag.exists()
    in_processes(("together", given | {"out": str(tmp_path / "whole")}))
    assert_same_state(tmp_path / "whole", tmp_path / "run", 40)
    assert_each_step_once(tmp_path / "run", 40)
