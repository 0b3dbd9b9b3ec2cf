"""A file of every format that reconstructions, trainings and benchmarks write, and its reader."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from ...core.facemodel.checkpoint_tables import HrnLayout
from ...core.files import write_text
from ...dataset.erase.packs import check_pack
from ...reconstruct.checkpoint import load_deretouch, load_hrn, save_deretouch, save_hrn
from ...reconstruct.networks.deretouch import DeretouchNet
from ...reconstruct.networks.hrn import HrnNetworks
from ...reconstruct.predictionfile import load_prediction
from ...reconstruct.samples.packed import HEADER, PackedSource, pack
from ...reconstruct.samples.rendered import RENDER_FILE, RenderConfig, claim
from ...reconstruct.samples.sample import Sample, Truth
from ...reconstruct.train.config import LoopConfig, Resume
from ...reconstruct.train.runfolder import RUN_RECORD
from ...reconstruct.train.runfolder import claim as claim_run
from ...reconstruct.train.state import Progress, load_state, newest_sound, save_state
from ...reconstruct.views.resultfile import load_multiview
from ..evaluation.casefile import load_case, save_case
from ..evaluation.protocol import Benchmark, CaseScore, Metric, Options, Row
from ..evaluation.scoresfile import (
    SCORES_FILE,
    Evaluation,
    head_of,
    read_scores,
    table_of_head,
    write_scores,
)
from ..heads.people import Group
from ..heads.subjects import INDEX, people_in, save_index, truth_files
from .parsersmodels import training_parts
from .parsersresults import make_multiview, make_prediction
from .parsersstores import tiny_model
from .schemaformat import Format as _Format

N_VERTICES = 9
"""Of `tiny_model`."""
RENDER = RenderConfig()
SETTINGS: dict[str, Any] = {"loop": {"steps": 3}}
"""Of the training."""


def result_formats(folder: Path, seed: int) -> Iterator[_Format]:
    """Make a file of every format, one after the other."""
    yield from _of_predictions(folder)
    yield from _of_samples(folder, np.random.default_rng(seed))
    yield from _of_trainings(folder)
    yield from _of_benchmarks(folder)


def _of_predictions(folder: Path) -> Iterator[_Format]:
    model, one, several = tiny_model(), folder / "prediction", folder / "multiview"
    make_prediction(one)
    for name, file in (("prediction", "prediction.json"), ("prediction arrays", "prediction.npz")):
        yield _Format(name=name, path=one / file, opens=lambda: load_prediction(one, model),
                      closed=("figures",))  # fmt: skip
    make_multiview(several)
    for name, file in (("multiview", "fit.json"), ("multiview arrays", "fit.npz")):
        yield _Format(name=name, path=several / file, opens=lambda: load_multiview(several, model),
                      closed=("views", "left_out", "figures"))  # fmt: skip


def make_packed(folder: Path, rng: np.random.Generator) -> None:
    """Pack two photographs of noise."""
    pack(drawn_samples(rng), folder, record={"made": "drawn"}, part=2, jobs=1)


def drawn_samples(rng: np.random.Generator) -> list[Sample]:
    """Return two views of one made-up face."""
    truth = Truth(
        vertices=rng.normal(size=(N_VERTICES, 3)).astype(np.float32),
        support=np.ones(N_VERTICES, np.float32), identity=np.ones(3, np.float32),
        expression=np.ones(2, np.float32), K=np.eye(3), cam_from_head=np.eye(3, 4),
        displacement=np.zeros((8, 8), np.float32), displacement_valid=np.ones((8, 8), bool),
    )  # fmt: skip
    return [
        Sample(
            image=rng.integers(0, 256, (16, 16, 3), np.uint8),
            mask=np.full((16, 16), 255, np.uint8), landmarks=np.ones((68, 2), np.float32),
            person="p0", truth=truth,
        )
        for _ in range(2)
    ]  # fmt: skip


def _of_samples(folder: Path, rng: np.random.Generator) -> Iterator[_Format]:
    place, rendered = folder / "packed", folder / "rendered"
    make_packed(place, rng)
    yield _Format(name="packed samples", path=place / HEADER, closed=("source",),
                  opens=lambda: _packed(place))  # fmt: skip
    claim(rendered, RENDER)
    # settings are compared: with more in them it is another dataset
    yield _Format(name="rendered samples", path=rendered / RENDER_FILE,
                  opens=lambda: claim(rendered, RENDER),
                  closed=_all_below("settings", "virtual", "people"))  # fmt: skip


def _packed(folder: Path) -> None:
    check_pack(folder)
    PackedSource(folder, n_vertices=N_VERTICES)[0]


def _all_below(*keys: str) -> tuple[str, ...]:
    """Return a place and everything in it, as deep as there are keys."""
    return tuple(".".join([keys[0], *["*"] * depth]) for depth in range(len(keys)))


def make_training(out: Path) -> None:
    """Write a run's record and a state."""
    claim_run(out, "toy", SETTINGS, LoopConfig(), Resume.AUTO)
    save_state(out / "state", training_parts(), Progress(step=3, validation={"mm": 1.5}), keep=2)


def make_checkpoints(folder: Path) -> None:
    """Write the smallest networks of HRN, untrained."""
    layout = HrnLayout(
        counts=(3, 2, 1), backbone="resnet18_half", mid_width=1, high_width=1, mid_blocks=0,
        high_blocks=0, image_size=64, deformation_size=16, displacement_size=16,
    )  # fmt: skip
    save_hrn(folder / "hrn.safetensors", HrnNetworks(layout), tiny_model(), training={"steps": 3})
    make_deretouch(folder / "deretouch.safetensors")


def make_deretouch(path: Path) -> None:
    """Write the smallest de-retouching network, untrained."""
    save_deretouch(path, DeretouchNet(width=1, size=16), training={"steps": 3})


def _of_trainings(folder: Path) -> Iterator[_Format]:
    out = folder / "run"
    make_training(out)
    yield _Format(name="training", path=out / RUN_RECORD,
                  opens=lambda: claim_run(out, "toy", SETTINGS, LoopConfig(), Resume.AUTO),
                  closed=_all_below("settings", "loop"))  # fmt: skip
    # what optimisers and scalers keep is torch's
    yield _Format(name="training state", path=out / "state" / "step-00000003.json",
                  opens=lambda: _state(out / "state"),
                  closed=("progress.validation", *_all_below("optimisers", *"abcdef"), "scaler"),
                  )  # fmt: skip
    make_checkpoints(folder)
    hrn, deretouch = folder / "hrn.safetensors", folder / "deretouch.safetensors"
    yield _Format(name="checkpoint", path=hrn, opens=lambda: load_hrn(hrn, tiny_model()))
    yield _Format(name="deretouch checkpoint", path=deretouch,
                  opens=lambda: load_deretouch(deretouch))  # fmt: skip


def _state(folder: Path) -> None:
    step = newest_sound(folder)
    assert step is not None
    load_state(folder, step, training_parts())


def case_score() -> CaseScore:
    """Return what came of one case."""
    return CaseScore(
        id="one", groups={"set": "a"}, values={"median": 1.25, "mean": float("nan")},
        distances=np.linspace(0, 1, 8), seconds=0.5,
    )  # fmt: skip


def make_scores(path: Path) -> None:
    """Write the scores of a benchmark of one case."""
    metric = Metric(name="median", unit="mm", decimals=2)
    toy = SimpleNamespace(name="toy", title="Toy", metrics=(metric,), leaderboard=None)
    row = Row(label="all", values={"median": 1.25}, n=1)
    evaluation = Evaluation(
        benchmark=cast("Benchmark", toy), name="ours", options=Options(), n_cases=1,
        scores=(case_score(),), failures=(), rows=(row,), fixed_rows=(row,), board=None,
    )  # fmt: skip
    write_scores(path, head_of(evaluation), evaluation.scores)


def make_people(data: Path) -> None:
    """Write the index of virtual people, and empty files for what is true of them."""
    person = {"name": "S0001", "kind": "builtin", "group": str(next(iter(Group))), "seed": 3}
    for path in truth_files(data, "S0001").values():
        write_text(path, "x")
    save_index(data, [person], made_of={"heads": ["builtin"]}, notes=[])


def _of_benchmarks(folder: Path) -> Iterator[_Format]:
    scores, cases, people = folder / SCORES_FILE, folder / "cases", folder / "people"
    make_scores(scores)
    yield _Format(name="scores", path=scores, opens=lambda: table_of_head(read_scores(scores)),
                  closed=("options.settings", "rows.*.values", "fixed_rows.*.values", "cases",
                          "cases.*.groups", "cases.*.values", "cases.*.counts"))  # fmt: skip
    save_case(cases, case_score(), key="k")
    yield _Format(name="case score", path=cases / "one.json", redone=True,
                  opens=lambda: load_case(cases, "one", key="k"),
                  closed=("groups", "values", "fixed", "counts"))  # fmt: skip
    make_people(people)
    yield _Format(name="virtual heads", path=people / INDEX, opens=lambda: people_in(people))
