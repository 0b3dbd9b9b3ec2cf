"""The stages of the way through, each as the command that a user gives, on the smallest data.

`Workplace` makes what a stage needs once, in a folder of its own: a virtual person photographed
by two cameras with some poses of a board, and a made-up lab. A stage writes into `out` alone.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...calibration.rigfile import save_rig
from ...capture.boards import parse_board
from ...capture.ingest import IngestConfig, ingest
from ...capture.layout import Layout
from ...capture.virtual.studio import StudioConfig, make_session
from ...capture.virtual.truth import load_truth
from ...core.errors import InputError
from ...core.geometry.meshio import load_mesh, save_mesh
from ..heads.settings import HeadsConfig
from ..heads.subjects import make_heads, people_in, truth_files
from .lab import PEOPLE, home_of, make_dataset, make_lab

BOARD = "17x12:12:9:DICT_5X5_250"
_TINY_LOOP = (
    "loop.steps=6", "loop.checkpoint_steps=2", "loop.validate_steps=3", "loop.panel_steps=6",
    "loop.warm_up=1", "loop.threads=1", "loop.device=cpu",
)  # fmt: skip
_TINY_TRAINING = (
    *_TINY_LOOP, "data.virtual.n_people=2", "data.virtual.takes=1", "data.virtual.views=2",
    "data.virtual.size=64", "data.batch=2", "data.held_out=0.5",
)  # fmt: skip
_TINY_PEOPLE = ("virtual.size=64", "virtual.takes=1", "virtual.views=2")
_HEADS: dict[str, Any] = {"heads": ("builtin",), "layout": "pair", "megapixels": 0.03}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A command, and what is done before each trial of it."""

    name: str
    command: Callable[[Path], list[str]]
    """Folder that it writes into -> its arguments."""
    prepare: Callable[[Path], None] | None = None
    """Lays what the command changes into that folder."""
    quick: bool = False
    """Ends within a second or two: part of the sample."""


class Workplace:
    """What the stages begin with; each thing is made when it is first asked for."""

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seed = seed

    @cached_property
    def photographs(self) -> Path:
        """Give folders of photographs, one a take, and the truth beside them."""
        made = self.folder / "studio"
        config = StudioConfig(
            seed=self.seed, layout="pair", megapixels=0.3, board_megapixels=0.3, n_board_poses=6,
        )  # fmt: skip
        make_session(config, made)
        return made / "images"

    @cached_property
    def session(self) -> Path:
        """Give a session of them."""
        out = self.folder / "session"
        ingest(self.photographs, out, IngestConfig(layout=Layout.TAKES, board=parse_board(BOARD)))
        return out

    @cached_property
    def rig(self) -> Path:
        """Give the true cameras."""
        path = self.folder / "rig.json"
        save_rig(path, load_truth(self.photographs.parent).rig)
        return path

    @cached_property
    def lab(self) -> Path:
        """Give a folder with made-up people, their builds and a dataset."""
        made = self.folder / "lab"
        make_dataset(make_lab(made, seed=self.seed), made / "data")
        return made

    @cached_property
    def people(self) -> Path:
        """Give photographs of a virtual head with landmarks, and its truth: a benchmark's data."""
        made = self.folder / "people"
        make_heads(made, HeadsConfig(seed=self.seed, subjects=1, **_HEADS))
        return made

    @cached_property
    def person(self) -> str:
        """Give the name of that head."""
        return people_in(self.people)[0].name

    @cached_property
    def predictions(self) -> Path:
        """Give a prediction of it, the truth without its relief, for an evaluation."""
        made = self.folder / "predictions"
        head = load_mesh(truth_files(self.people, self.person)["head"])
        save_mesh(made / "single" / f"{self.person}.obj", head)
        return made

    @property
    def builds(self) -> list[str]:
        """Give the builds of two of them."""
        return [str(home_of(self.lab, name) / "build") for name in PEOPLE[1:]]

    def stages(self) -> list[Stage]:
        """Return all stages."""
        return [
            *self._of_photographs(), *self._of_builds(), *self._of_faces(), *self._of_networks(),
        ]  # fmt: skip

    def stage(self, name: str) -> Stage:
        """Return one stage.

        Raises
        ------
        InputError
            There is none of that name.
        """
        for stage in self.stages():
            if stage.name == name:
                return stage
        known = ", ".join(stage.name for stage in self.stages())
        raise InputError(f"stage {name!r}: known are {known}")

    def _of_photographs(self) -> list[Stage]:
        build = ("--set", "start_megapixels=0.01", "--megapixels", "0.05")
        return [
            Stage(name="studio", command=lambda out: [
                "studio", "--out", str(out), "--layout", "pair", "--megapixels", "0.05",
                "--board-megapixels", "0.1", "--board-poses", "2"]),
            Stage(name="ingest", quick=True, command=lambda out: [
                "ingest", str(self.photographs), "--out", str(out), "--layout", "takes",
                "--board", BOARD]),
            Stage(name="calibrate", quick=True, command=lambda out: [
                "calibrate", str(self.session), "--out", str(out)]),
            Stage(name="mesh", command=lambda out: [
                "build-dataset", str(self.session), "--rig", str(self.rig), "--out", str(out),
                "--model", "none", *build]),
            Stage(name="ground truth", command=lambda out: [
                "build-dataset", str(self.session), "--rig", str(self.rig), "--out", str(out),
                "--landmarks", "none", "--map-size", "64", "--set", "deformation_size=32",
                *build]),
            Stage(name="report", quick=True, command=lambda out: [
                "report", str(self.session), "--out", str(out / "report.html")]),
        ]  # fmt: skip

    def _of_builds(self) -> list[Stage]:
        def lay(out: Path) -> None:
            shutil.copytree(self.lab, out)

        return [
            Stage(name="export hdf5", quick=True, command=lambda out: [
                "export", *self.builds, "--hdf5", str(out)]),
            Stage(name="export files", quick=True, command=lambda out: [
                "export", self.builds[0], "--files", str(out)]),
            Stage(name="erase", quick=True, prepare=lay, command=lambda out: [
                "erase", PEOPLE[0], "--in", str(out)]),
        ]  # fmt: skip

    def _of_faces(self) -> list[Stage]:
        def fitted(photographs: str, out: Path, *more: str) -> list[str]:
            marks = Path(photographs) / "landmarks.csv"
            return ["reconstruct", photographs, *more, "--fit", "--landmarks", str(marks),
                    "--turntable", "none", "--out", str(out)]  # fmt: skip

        settings = [f"{k}={','.join(v) if isinstance(v, tuple) else v}" for k, v in _HEADS.items()]
        return [
            Stage(name="reconstruct", command=lambda out: fitted(str(self.people / "single"), out)),
            Stage(name="multi-view", command=lambda out: fitted(
                str(self.people / "multi" / self.person), out, "--multi-view")),
            Stage(name="eval", command=lambda out: [
                "eval", "--benchmark", "virtual", "--data", str(self.people), "--predictions",
                str(self.predictions), "--out", str(out),
                *_assigned(("subjects=1", f"seed={self.seed}", *settings))]),
        ]  # fmt: skip

    def _of_networks(self) -> list[Stage]:
        return [
            Stage(name="render", command=lambda out: [
                "train", "render", "--out", str(out), "--people", "2", *_assigned(_TINY_PEOPLE)]),
            Stage(name="pack", command=lambda out: [
                "train", "pack", "--out", str(out), "--people", "2",
                *_assigned((*_TINY_PEOPLE, "size=64", "part=2"))]),
            Stage(name="train coarse", command=lambda out: [
                "train", "coarse", "--smoke", "--out", str(out), *_assigned(_TINY_TRAINING)]),
            Stage(name="train deretouch", command=lambda out: [
                "train", "deretouch", "--smoke", "--out", str(out),
                *_assigned((*_TINY_LOOP, "data.n_virtual=2", "data.virtual.size=64"))]),
            Stage(name="train detail", command=lambda out: [
                "train", "detail", "--smoke", "--out", str(out),
                *_assigned((*_TINY_LOOP, "data.virtual.size=96"))]),
        ]  # fmt: skip


def _assigned(values: Sequence[str]) -> list[str]:
    return [word for value in values for word in ("--set", value)]
