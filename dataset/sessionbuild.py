"""One session's build as jobs that lead to each other: meshes, one registration, maps.

All takes of a session show one person: the face model's identity is found from all of them
together, so that its registration waits for the last mesh. A failed take is left out of what
follows.
"""

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..capture.session import Session, Take
from ..core.config import to_mapping
from ..core.devices import Device
from ..core.errors import EstimationError, InputError
from ..core.facemodel.load import MODEL_NAMES
from ..core.geometry.camera import Rig
from ..core.jobs.job import Job, Outcome
from . import buildjobs
from .build import told_before, write_summary
from .groundtruthconfig import NO_MODEL, GroundTruthConfig
from .registerstage import AUTO_LANDMARKS, NO_LANDMARKS

log = logging.getLogger(__name__)

MESH, REGISTRATION, MAPS = "mesh", "registration", "maps"
"""Stage groups, in order."""
_LATER = ("registration", "maps")  # figures of what follows the mesh
_FINISHING = 1  # priority: sessions that were begun are finished before others begin


@dataclass(kw_only=True)
class SessionBuild:
    """The jobs of a session, and what came of them."""

    session: Session
    rig: Rig
    out: Path
    config: GroundTruthConfig
    wanted: Sequence[Take]
    """Takes that registration waits for."""
    mine: Sequence[Take]
    """Of those, the takes whose meshes are made here."""
    rig_file: Path | None = None
    """For the summary: exports need it."""
    takes: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    waits_for: list[str] = field(default_factory=list)
    """Takes of other shards whose meshes are not there yet."""
    expected: dict[str, int] = field(default_factory=dict)
    """Stage -> jobs in all, as far as that is known."""
    sent: dict[str, list[str]] = field(default_factory=dict)
    """Name of each job that has not ended -> its takes."""
    _codes: set[int] = field(default_factory=set)
    _meshes_left: int = 0

    def jobs(self) -> list[Job]:
        """Return the first jobs: the meshes."""
        self._meshes_left = len(self.mine)
        n = len(self.mine)
        self.expected = {MESH: n}
        if self.config.model != NO_MODEL:
            self.expected |= {REGISTRATION: 1, MAPS: n}
        return [self._job(MESH, [take.id]) for take in self.mine]

    def then(self, outcome: Outcome) -> list[Job]:
        """Note what came of a job; return those that it makes ready."""
        takes = self.sent.pop(outcome.job.name)
        if outcome.job.stage == REGISTRATION:
            return self._after_registration(takes, outcome)
        (take,) = takes
        if outcome.job.stage == MESH:
            return self._after_mesh(take, outcome)
        if outcome.answer is None:
            self.failed[take] = f"maps: {outcome.reason}"
        else:
            self.takes[take] = {**self.takes.get(take, {}), **outcome.answer[buildjobs.FIGURES]}
        return []

    def finish(self) -> dict[str, Any]:
        """Write `build.json`; return what stands in it of this run."""
        summary = self.summary()
        write_summary(self.out, self.session, summary)
        return summary | ({"registration_waits_for": self.waits_for} if self.waits_for else {})

    def summary(self) -> dict[str, Any]:
        """Return the figures of the takes, and why others failed."""
        order = [take.id for take in self.wanted]
        return {
            "session": self.session.name,
            "takes": {take: self.takes[take] for take in order if take in self.takes},
            "failed": dict(self.failed),
        } | self._origin()

    @property
    def only_wrong_inputs(self) -> bool:
        """Whether nothing but wrong inputs stopped meshes."""
        return self._codes <= {InputError.exit_code}

    def check(self) -> None:
        """Raise where no mesh could be made at all.

        Raises
        ------
        InputError, EstimationError
            By what stopped the takes.
        """
        if self._codes and not any(take.id in self.takes for take in self.mine):
            reasons = "; ".join(f"{take}: {reason}" for take, reason in self.failed.items())
            kind = InputError if self.only_wrong_inputs else EstimationError
            raise kind(f"no take could be built. {reasons}")

    def _after_mesh(self, take: str, outcome: Outcome) -> list[Job]:
        if outcome.answer is None:
            self.failed[take] = str(outcome.reason)
            self._codes.add(outcome.exit_code)
        else:
            self.takes[take] = outcome.answer[buildjobs.FIGURES]
        self._meshes_left -= 1
        if self._meshes_left:
            return []
        write_summary(self.out, self.session, self.summary())
        if self.config.model == NO_MODEL:
            return []
        ready = self._to_register()
        self.expected |= {REGISTRATION: min(1, len(ready)), MAPS: len(ready)}
        if not ready:
            return []
        return [self._job(REGISTRATION, ready)]

    def _to_register(self) -> list[str]:
        """Return the takes to register now: none while meshes of other shards are awaited."""
        before = told_before(self.out, self.session)
        left = [take.id for take in self.wanted if take.id not in before["failed"]]
        meshed = [take for take in left if _has_mesh(self.out / take)]
        waiting = [take for take in left if take not in meshed]
        if waiting and len(self.mine) < len(self.wanted):
            log.info("registration waits for the meshes of %s", ", ".join(waiting))
            self.waits_for = waiting
            return []
        for take in meshed:  # of other shards
            self.takes.setdefault(take, _of_mesh(before["takes"].get(take, {})))
        return meshed

    def _after_registration(self, takes: Sequence[str], outcome: Outcome) -> list[Job]:
        if outcome.answer is None:
            self.failed |= dict.fromkeys(takes, f"registration: {outcome.reason}")
        else:
            self.failed |= outcome.answer[buildjobs.FAILED]
        left = [take for take in takes if take not in self.failed]
        self.expected[MAPS] = len(left)
        return [self._job(MAPS, [take]) for take in left]

    def _job(self, stage: str, takes: list[str]) -> Job:
        together = stage == REGISTRATION
        parts = [self.session.name, stage] if together else [self.session.name, *takes, stage]
        name = "/".join(parts)
        self.sent[name] = takes
        folder, record = (self.out, "register") if together else (self.out / takes[0], stage)
        return Job(
            name=name,
            stage=stage,
            work=getattr(buildjobs, stage),
            given=self._common | ({"takes": takes} if together else {"take": takes[0]}),
            gpu=stage == MESH and self.config.device is Device.CUDA,
            priority=0 if stage == MESH else _FINISHING,
            done_before=buildjobs.has_record(folder, record),
        )

    @functools.cached_property
    def _common(self) -> dict[str, Any]:
        config = to_mapping(self.config)
        if config["model"] not in (*MODEL_NAMES, NO_MODEL):
            config["model"] = os.path.abspath(config["model"])  # noqa: PTH100  links are kept
        if config["landmarks"] not in (AUTO_LANDMARKS, NO_LANDMARKS):
            config["landmarks"] = str(Path(config["landmarks"]).absolute())
        return buildjobs.common_of(self.session, self.rig, self.out, config)

    def _origin(self) -> dict[str, str]:
        """Return what the build came from, files as seen from its folder: they may move along."""
        model = self.config.model
        found = {
            "session_folder": os.path.relpath(self.session.folder, self.out),
            # a folder that is called as a model is stays a model: names come first
            "model": model
            if model in (*MODEL_NAMES, NO_MODEL)
            else os.path.relpath(model, self.out),
        }
        if self.rig_file is not None:
            found["rig_file"] = os.path.relpath(self.rig_file, self.out)
        return found


def _of_mesh(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an older summary says of a take's mesh alone."""
    return {name: value for name, value in figures.items() if name not in _LATER}


def _has_mesh(folder: Path) -> bool:
    return buildjobs.has_record(folder, MESH) and (folder / "mesh.ply").is_file()
