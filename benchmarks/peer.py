"""What other programs make of the benchmark's corners."""

from dataclasses import dataclass

from ..core.geometry.camera import Rig


@dataclass(frozen=True, kw_only=True)
class PeerResult:
    """A rig calibrated by another program."""

    rig: Rig
    rms_px: float
    """Per corner, of those that it used, as it judges itself."""
    seconds: float
    """Wall clock, from corners to rig."""
    cpu_s: float
    """Of all its threads."""
    adjust_cpu_s: float
    """Of these, the joint adjustment's."""
    n_views: int
    n_corners: int
    given: str
    """What it was given, in words."""
    rejected: tuple[str, ...] = ()
    """`take/camera` of views that contradict the others, where it tells."""
