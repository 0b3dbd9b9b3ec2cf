"""Tells a wrong unit or landmarks in another order from a bad prediction.

Alignment by landmarks hides such mistakes or turns them into large errors; what it found says
which it was.
"""

import numpy as np

from ...core.arrays import AnyFloats, Floats

_LIKELY = 3.0
"""Sizes of faces differ by less than this factor, and so do crops of heads."""
_ABOUT = 2.0
"""A unit is named where the size is within this factor of it."""
_UNITS = {1e-3: "metres", 1e-2: "decimetres", 1e-1: "centimetres", 1e3: "micrometres"}
"""Number of them in place of millimetres, and their name."""


def size_remark(found: float, expected: float, *, what: str = "predictions") -> str | None:
    """Return a sentence where sizes differ by more than faces do; None where they do not.

    Parameters
    ----------
    found, expected : float
        The same length (a distance of landmarks, a spread), mm.

    Returns
    -------
    str or None
        Such as "predictions look 1000× too small: metres?".
    """
    if not (np.isfinite(found) and found > 0 and expected > 0):
        return f"{what} have no extent: all points in one place?"
    ratio = found / expected
    if 1 / _LIKELY < ratio < _LIKELY:
        return None
    power = 10.0 ** round(float(np.log10(ratio)))
    unit = next((name for size, name in _UNITS.items() if np.isclose(size, power)), None)
    if not 1 / _ABOUT < ratio / power < _ABOUT:
        power, unit = ratio, None
    return f"{what} look {times_off(power)}" + (
        f": {unit}?" if unit else "; in which unit are they?"
    )


def times_off(ratio: float) -> str:
    """Return "4.5× too small" or "10× too large" of a size over what it should be."""
    times = max(ratio, 1 / ratio)
    return f"{times:.{0 if times >= 9.95 else 1}f}× too {'small' if ratio < 1 else 'large'}"


def spread(points: AnyFloats) -> float:
    """Return the root mean square distance of points (N, 3) from their mean."""
    centered = np.asarray(points, dtype=np.float64) - np.mean(points, axis=0, dtype=np.float64)
    return float(np.sqrt((centered**2).sum(axis=1).mean())) if len(centered) else 0.0


def landmark_remark(found: Floats, expected: Floats, *, what: str = "landmarks") -> str | None:
    """Return a sentence where matched landmarks, after alignment, do not fit one another.

    Parameters
    ----------
    found, expected : (N, 3)
        Aligned and true, in one unit.
    """
    size = spread(expected)
    off = float(np.sqrt(((found - expected) ** 2).sum(axis=1).mean()))
    if size > 0 and off <= size / 3:  # people differ by a tenth
        return None
    return (
        f"{what} do not fit: {off:.3g} off after alignment, with a spread of {size:.3g}; "
        "another order, or other points?"
    )
