"""What the check of a take says: of each camera, and of the rig."""

from dataclasses import dataclass, field
from enum import StrEnum

from .ties import Ties


class Verdict(StrEnum):
    """What became of a camera since the calibration."""

    STEADY = "steady"
    TURNED = "turned"
    SHIFTED = "shifted"
    MOVED = "moved"
    """Turned and shifted."""
    REFOCUSED = "refocused"
    EXCHANGED = "exchanged"
    """Its photograph is another camera's."""
    FOREIGN = "foreign"
    """Its photograph shows something else than the others."""
    TOO_FEW = "too few ties"
    ABSENT = "no photograph"


@dataclass(frozen=True, kw_only=True)
class CameraStability:
    """What the ties say of one camera, against all others; px of its photograph."""

    name: str
    verdict: Verdict
    n_ties: int = 0
    residual_px: float | None = None
    """Median distance of its sightings from where the other cameras' points project."""
    motion_px: float | None = None
    """Root mean square image motion over its ties of the change that fits best."""
    sigma_px: float | None = None
    """Standard deviation of `motion_px` that the ties' scatter gives."""
    turn_deg: float = 0.0
    shift: float = 0.0
    """In the rig's unit."""
    focal_percent: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StabilityReport:
    """What the ties of one take say of the rig."""

    cameras: tuple[CameraStability, ...]
    moved: tuple[str, ...] = ()
    """Turned, shifted or refocused; the worst first."""
    whole_rig: bool = False
    """Half of the cameras or more no longer fit the calibration."""
    noise_px: float = 0.0
    """Usual distance of a sighting from its point when all is fitted."""
    usual_px: float = 0.0
    """Median motion of the steady cameras: what this take can tell."""
    exchanged: tuple[tuple[str, str], ...] = ()
    """(camera, the camera whose photograph it holds)."""
    ties: Ties | None = field(default=None, repr=False)
    """Without the wrong matches."""

    def of(self, name: str) -> CameraStability:
        """Return what is said of a camera."""
        return next(camera for camera in self.cameras if camera.name == name)

    @property
    def steady(self) -> bool:
        """Whether nothing speaks against any camera."""
        fine = (Verdict.STEADY, Verdict.TOO_FEW, Verdict.ABSENT)
        return not self.whole_rig and all(camera.verdict in fine for camera in self.cameras)
