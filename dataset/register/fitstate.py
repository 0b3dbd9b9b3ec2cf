"""What the morphable fit knows of its data, its stages and its unknowns."""

from dataclasses import dataclass

from ...core.arrays import Floats
from ...core.geometry.transform import Similarity


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some steps of the fit under the same settings."""

    reach_mm: float  # scan farther away than this is not felt
    cosine: float  # least agreement of the normals
    sigma_mm: float  # of the residuals: what the model cannot follow, per 10 x 10 mm of skin
    n_steps: int
    n_identity: int = 0  # leading identity modes that move
    n_expression: int = 0  # expression modes that move: all or none, mostly
    n_samples: int = 5000  # rows of each direction
    both_ways: bool = True  # from the scan to the model, too


@dataclass(frozen=True, kw_only=True)
class LandmarkTerm:
    """Where landmarks of a take are, in the frame of its target."""

    points: Floats
    """(68, 3), NaN where unknown."""
    sigma: Floats
    """(68,) mm."""


@dataclass(frozen=True, kw_only=True)
class TakeFit:
    """What is fitted to one take."""

    pose: Similarity
    """Target frame from head."""
    expression: Floats
    """(n_exp,)."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The state of a fit."""

    identity: Floats
    """(n_id,)."""
    takes: tuple[TakeFit, ...]
