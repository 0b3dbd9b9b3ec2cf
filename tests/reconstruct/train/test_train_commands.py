"""The commands of training: their settings, and how they refuse."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from facekit.cli import main
from facekit.core.errors import ConfigError
from facekit.reconstruct.train.coarseconfig import CoarseConfig
from facekit.reconstruct.train.deretouch import DeretouchConfig
from facekit.reconstruct.train.detailconfig import DetailConfig
from facekit.reconstruct.train.presets import preset_names, settings_file, training_config

CONFIGS: dict[str, type[Any]] = {
    "coarse": CoarseConfig, "deretouch": DeretouchConfig, "detail": DetailConfig,
}  # fmt: skip


def test_every_training_has_its_three_presets() -> None:
    wanted = {f"{kind}-{size}" for kind in CONFIGS for size in ("small", "smoke", "hrn")}
    assert wanted <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_settings_of_their_training(name: str) -> None:
    config = training_config(CONFIGS[name.split("-")[0]], name, given={}, assignments=[])
    assert config.loop.steps > 0


def test_options_go_before_set_and_after_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("loop: {steps: 5, seed: 1}\n")
    config = training_config(
        CoarseConfig,
        str(file),
        given={"data.folders": ["a", "b"], "loop.device": "cpu", "model": None},
        assignments=["loop.seed=3"],
    )
    assert (config.loop.steps, config.loop.seed, config.loop.device) == (5, 3, "cpu")
    assert config.data.folders == ("a", "b")
    assert config.model == "builtin"


def test_unknown_settings_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a file nor one of .*coarse-small"):
        settings_file("nothing")
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        training_config(CoarseConfig, "coarse-small", given={}, assignments=["loop.step=3"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["coarse", "--out", "run", "--config", "none"], "--config none: neither a file nor"),
        (["coarse", "--out", "run", "--smoke", "--config", "coarse-small"], "leave out --config"),
        (["pack", ".", "--out", "samples", "--people", "3"], "leave out DATA"),
        (["coarse", "--out", "run", "--smoke", "--set", "loop.steps=0"], "loop.steps = 0"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["train", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr and result.stderr.count("\n") == 1
