"""`Maps`: the ground-truth maps of one take in the UV chart of its face model.

Row 0 of every map is v = 1; the texel (row r, column c) of an n x n map has its centre at
u = (c + 0.5) / n, v = 1 - (r + 0.5) / n. Lengths are millimetres. What lies outside the chart
is invalid and zero, but for `deformation`, which goes on outside (a gutter), so that bilinear
sampling at the chart's border meets no zeros.
"""

from dataclasses import dataclass
from enum import StrEnum

from ...core.arrays import Bools, Floats32
from ...core.errors import InputError


class Base(StrEnum):
    """The surface that displacement stands on; its normal is M1's smooth one in either case."""

    CURVED = "curved"
    """The curved surface through M1's vertices, see `curved.py`."""
    FLAT = "flat"
    """M1's triangles as they are."""


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Ground-truth maps of one take.

    Raises
    ------
    InputError
        Maps that belong together differ in size, or one is not square.
    """

    deformation: Floats32
    """(d, d, 3) mm, head frame (unposed): the registered shape M1 less the morphable fit M0."""
    deformation_valid: Bools
    """(d, d): inside the chart and resting on measured scan."""
    deformation_sigma: Floats32
    """(d, d) mm, one standard deviation of M1 along its normal; 0 outside the chart."""
    displacement: Floats32
    """(n, n) mm from `base` to the scan along M1's smooth unit normal, + outward. Holes inside
    the chart are filled smoothly, but not valid."""
    sigma: Floats32
    """(n, n) mm, one standard deviation of `displacement`; 0 outside the chart."""
    normal: Floats32
    """(n, n, 3) unit, object space (head frame), of the detailed surface."""
    tangent_normal: Floats32
    """(n, n, 3) unit, tangent space of M1: x along +u, y along +v, z outward."""
    valid: Bools
    """(n, n): displacement and normal rest on measured scan."""
    albedo: Floats32
    """(a, a, 3) linear RGB, calibrated where a colour chart was; (0, 0, 3) without photographs."""
    albedo_valid: Bools
    """(a, a): a photograph sees the texel, and it lies on measured scan or next to it."""
    base: Base = Base.FLAT
    """What `displacement` is measured from."""

    def __post_init__(self) -> None:
        d, n, a = len(self.deformation), len(self.displacement), len(self.albedo)
        expected = {
            "deformation": (d, d, 3),
            "deformation_valid": (d, d),
            "deformation_sigma": (d, d),
            "displacement": (n, n),
            "sigma": (n, n),
            "normal": (n, n, 3),
            "tangent_normal": (n, n, 3),
            "valid": (n, n),
            "albedo": (a, a, 3),
            "albedo_valid": (a, a),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise InputError(f"maps: {name}: shape {found}, but {shape} belongs to the others")
