"""What is true of a virtual person, read back: surfaces, landmarks, the region that is scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...core.arrays import Bools, Floats
from ...core.errors import InputError
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import load_mesh
from ..evaluation.predictions import read_points
from ..face_distance import TrueFace
from .subjects import SMOOTH

N_LANDMARKS = 68


@dataclass(frozen=True, kw_only=True)
class TrueHead:
    """A true head, head frame, mm."""

    face: TrueFace
    """What is scored, relief included; and 68 landmarks."""
    skin: Mesh = field(repr=False)
    """The fine surface about the face, relief included."""
    scored: Bools = field(repr=False)
    """(F,) which triangles of `skin` are scored."""
    smooth: Floats = field(repr=False)
    """(V, 3): vertices of `skin` without relief."""
    head: Mesh = field(repr=False)
    """The whole head without relief, in the topology of the model it was drawn from."""
    head_scored: Bools = field(repr=False)
    """(V,) vertices of `head` in the region that is scored."""


def load_truth(files: Mapping[str, Path]) -> TrueHead:
    """Read the truth of a person.

    Parameters
    ----------
    files : mapping
        `skin`, `head`, `landmarks`, as `subjects.truth_files` names them.

    Raises
    ------
    InputError
        A file is absent, damaged, or not of this benchmark.
    """
    skin, head = load_mesh(files["skin"]), load_mesh(files["head"])
    absent = [name for name in ("scored", *SMOOTH) if name not in skin.attributes]
    if absent or "scored" not in head.attributes:
        raise InputError(
            f"{files['skin']}: not a truth of the virtual people (no {(absent or ['scored'])[0]}); "
            "make them again"
        )
    inside = skin.attributes["scored"] > 0
    scored = np.asarray(inside[skin.faces].all(axis=1))
    landmarks = read_points(files["landmarks"], N_LANDMARKS)
    return TrueHead(
        face=TrueFace(mesh=skin.selected(scored), landmarks=landmarks),
        skin=skin,
        scored=scored,
        smooth=np.stack([np.asarray(skin.attributes[n], np.float64) for n in SMOOTH], axis=1),
        head=head,
        head_scored=np.asarray(head.attributes["scored"] > 0),
    )
