"""Colours of scalars: signed errors (blue to red) and quantities from zero up."""

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyFloats, Bytes, Floats


@dataclass(frozen=True, kw_only=True)
class ColorMap:
    """Colours at even steps from a lowest to a highest value, linear between them."""

    stops: tuple[tuple[int, int, int], ...]
    """sRGB, 0-255."""
    undefined: tuple[int, int, int] = (190, 190, 190)
    """For NaN."""

    def __call__(self, values: AnyFloats, low: float, high: float) -> Bytes:
        """Return (..., 3) uint8 sRGB colours of `values` (...); beyond the ends: the ends."""
        at = (np.asarray(values, dtype=np.float64) - low) / (high - low) * (len(self.stops) - 1)
        known = np.isfinite(at)
        at = np.clip(np.where(known, at, 0.0), 0, len(self.stops) - 1)
        table: Floats = np.array(self.stops, dtype=np.float64)
        mixed = np.stack([np.interp(at, np.arange(len(table)), c) for c in table.T], axis=-1)
        return np.where(known[..., None], np.rint(mixed), self.undefined).astype(np.uint8)

    @property
    def css(self) -> str:
        """The colours as a CSS gradient from left to right."""
        return f"linear-gradient(to right, {', '.join(f'rgb{stop}' for stop in self.stops)})"


SIGNED = ColorMap(
    stops=((33, 82, 160), (67, 147, 195), (158, 202, 225), (244, 244, 242),
           (249, 189, 150), (221, 106, 76), (168, 24, 40)),
)  # fmt: skip
"""Negative blue, zero near white, positive red, after ColorBrewer's RdBu."""

AMOUNT = ColorMap(
    stops=((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81),
           (253, 231, 37)),
)  # fmt: skip
"""Dark to light, every 20 % of matplotlib's viridis."""
