"""Which weights a reconstruction takes: given before registered before those that come along."""

from pathlib import Path
from typing import Any

import pytest

from facekit.core.errors import ConfigError, InputError
from facekit.reconstruct import shippedweights
from facekit.reconstruct.multiview_config import MultiViewRunConfig
from facekit.reconstruct.predict import ReconstructConfig, reconstruct_photographs, weights_of
from facekit.reconstruct.shippedweights import (
    DERETOUCH_FILE,
    HRN_FILE,
    REMARK,
    SHIPPED,
    chosen_weights,
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Give what is registered, nothing at first."""
    assets: dict[str, Path] = {}
    monkeypatch.setattr(shippedweights, "find_asset", assets.get)
    return assets


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let files stand for the weights that come with facekit."""
    for name in (HRN_FILE, DERETOUCH_FILE):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(
        shippedweights, "shipped_file",
        lambda name: tmp_path / name if (tmp_path / name).is_file() else None,
    )  # fmt: skip
    return tmp_path


def test_without_anything_the_built_in_face_is_made_by_the_shipped_weights(
    registered: dict[str, Path], shipped: Path
) -> None:
    chosen = chosen_weights("builtin")
    assert (chosen.checkpoint, chosen.deretouch) == (shipped / HRN_FILE, shipped / DERETOUCH_FILE)
    told = chosen.record()
    assert told["source"] == SHIPPED and told["model_card"].endswith("MODEL_CARD.md")
    assert {len(told[name]["sha256"]) for name in ("checkpoint", "deretouch")} == {64}
    assert "virtual people alone" in chosen.remarks[0]
    (shipped / DERETOUCH_FILE).unlink()
    assert chosen_weights("builtin").deretouch is None


def test_registered_weights_come_before_the_shipped_and_given_ones_before_both(
    registered: dict[str, Path], shipped: Path
) -> None:
    registered["hrn"] = shipped / "epoch_10.pth"
    chosen = chosen_weights("builtin")
    assert (chosen.checkpoint, chosen.source) == (shipped / "epoch_10.pth", "registered")
    # facekit's own de-retouching belongs to facekit's own HRN
    assert chosen.deretouch is None and chosen.remarks == ()
    chosen = chosen_weights("builtin", checkpoint="own.safetensors", deretouch=SHIPPED)
    assert (chosen.checkpoint, chosen.source) == (Path("own.safetensors"), "given")
    assert chosen.deretouch == shipped / DERETOUCH_FILE
    assert chosen_weights("builtin", checkpoint=SHIPPED).checkpoint == shipped / HRN_FILE
    registered["deretouch"] = shipped / "de-retouching.pth"
    assert chosen_weights("builtin").deretouch == shipped / "de-retouching.pth"


def test_other_face_models_and_copies_without_weights_get_a_sentence(
    registered: dict[str, Path], shipped: Path
) -> None:
    with pytest.raises(InputError, match=r"--fit; .* for the built-in face model alone"):
        chosen_weights("ict")
    (shipped / HRN_FILE).unlink()
    with pytest.raises(InputError, match="fit without any weights: --fit$"):
        chosen_weights("builtin")
    with pytest.raises(InputError, match="no such weights; install it again"):
        chosen_weights("builtin", checkpoint=SHIPPED)


def test_shipped_weights_are_not_for_compat_or_several_views(
    registered: dict[str, Path], shipped: Path
) -> None:
    with pytest.raises(ConfigError, match="compat computes as the released HRN"):
        weights_of(ReconstructConfig(compat=True))
    with pytest.raises(ConfigError, match="single photographs"):
        MultiViewRunConfig(compat=True, checkpoint=SHIPPED)


def test_the_summary_says_which_weights_were_used(
    registered: dict[str, Path], shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        "facekit.reconstruct.hrnmethod.HrnMethod", lambda model, **how: asked.update(how)
    )
    (tmp_path / "a.png").write_bytes(b"no photograph")
    (tmp_path / "points.csv").write_text("camera,landmark,x,y\na,0,1,2\n")
    config = ReconstructConfig(landmarks=str(tmp_path / "points.csv"))
    monkeypatch.setattr("facekit.reconstruct.predict._one", lambda *_: {"remarks": []})
    monkeypatch.setattr("facekit.reconstruct.predict._write_contact_sheet", lambda *_: None)
    summary = reconstruct_photographs([tmp_path / "a.png"], tmp_path / "out", config)
    assert summary["weights"]["source"] == SHIPPED
    assert asked["checkpoint"] == shipped / HRN_FILE and asked["remarks"] == (REMARK,)
