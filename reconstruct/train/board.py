"""What a training tells: `log.jsonl`, TensorBoard, pictures.

    {"step": 41, "terms": {"photo": 0.12, "total": 0.2}, "rate": 0.0001, "gradient": {"net": 3.1},
     "seconds": 0.8, "waited": 0.1}
    {"after": 500, "validation": {"median_mm": 1.9, "score": 1.9}}

`step` is the number of a step, from 0; `after` how many were done. What a killed run wrote
beyond the state that it is resumed from is cut off, so that each step is there once.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import IO, Any

import numpy as np
from torch import Tensor

from ...core.devices import require
from ...core.errors import InputError, MissingDependencyError
from ...core.files import write_text
from ...core.imaging.imageio import write_image

log = logging.getLogger(__name__)

LOG_FILE, TENSORBOARD = "log.jsonl", "tensorboard"


class Board:
    """Writes a run's log, scalars and pictures; see `open_board`."""

    def __init__(self, out: Path, stream: IO[str], scalars: Any) -> None:
        self._out, self._stream, self._scalars = out, stream, scalars

    def step(
        self,
        step: int,
        terms: Mapping[str, float],
        *,
        rate: float,
        norms: Mapping[str, float],
        seconds: float,
        waited: float,
    ) -> None:
        """Note what a step saw: terms of the loss, learning rate, norms of the gradients.

        `seconds` are the step's, of which `waited` went by until its batches were there.
        """
        norms = {name: value for name, value in norms.items() if math.isfinite(value)}
        self._line(
            {"step": step, "terms": dict(terms), "rate": rate, "gradient": norms,
             "seconds": round(seconds, 4), "waited": round(waited, 4)}
        )  # fmt: skip
        self._add(step, {"rate": rate, "seconds": seconds, "seconds_waited": waited})
        self._add(step, {f"loss/{name}": value for name, value in terms.items()})
        self._add(step, {f"gradient/{name}": value for name, value in norms.items()})

    def validation(self, steps: int, figures: Mapping[str, float]) -> None:
        """Note a validation after so many steps."""
        self._line({"after": steps, "validation": dict(figures)})
        self._add(steps, {f"validation/{name}": value for name, value in figures.items()})

    def panels(self, steps: int, pictures: Mapping[str, Tensor]) -> None:
        """Show pictures, and keep the newest of each name as a PNG file."""
        for name, picture in pictures.items():
            plain = picture.detach().float().clamp(0, 1).cpu()
            if self._scalars is not None:
                with self._writable(TENSORBOARD):
                    self._scalars.add_image(name, plain, steps)
            pixels = np.rint(plain.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            write_image(self._out / "panels" / f"{name}.png", pixels)

    def _line(self, record: Mapping[str, Any]) -> None:
        with self._writable(LOG_FILE):
            self._stream.write(json.dumps(record) + "\n")
            self._stream.flush()

    def _add(self, step: int, values: Mapping[str, float]) -> None:
        if self._scalars is not None:
            with self._writable(TENSORBOARD):
                for name, value in values.items():
                    self._scalars.add_scalar(name, value, step)

    @contextmanager
    def _writable(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._out / name}: cannot be written ({error.strerror or error}); make room, "
                "and start the same command again: it goes on from the newest state"
            ) from error


@contextmanager
def open_board(out: Path, *, done: int) -> Iterator[Board]:
    """Go on with a run's log after `done` steps.

    Raises
    ------
    InputError
        It cannot be written.
    """
    path = out / LOG_FILE
    try:
        kept = [line for line in read_log(path) if _before(line, done)]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        stream = path.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    scalars = _tensorboard(out / TENSORBOARD, done)
    try:
        with stream:
            yield Board(out, stream, scalars)
    finally:
        if scalars is not None:
            with suppress(OSError):  # of a full disk; that was told already
                scalars.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the log's lines; a line that a killed process left unfinished is left out."""
    if not path.is_file():
        return []
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def first_and_last(
    lines: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return each term's median over the first tenth of the logged steps, and over the last."""
    terms = [line["terms"] for line in lines if "step" in line]
    tenth = max(len(terms) // 10, 1)
    return _medians(terms[:tenth]), _medians(terms[-tenth:])


def _medians(terms: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in terms for name in one)
    return {name: median(one[name] for one in terms if name in one) for name in names}


def _before(line: Mapping[str, Any], done: int) -> bool:
    return line.get("step", done) < done or line.get("after", done + 1) <= done


def _tensorboard(folder: Path, done: int) -> Any:
    """Return TensorBoard's writer; None, and a sentence in the log, without it."""
    try:
        require("tensorboard", extra="train")
    except MissingDependencyError as error:
        log.info("%s for curves and pictures in TensorBoard; scalars are in log.jsonl", error)
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=done)
