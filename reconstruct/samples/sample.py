"""A photograph of a face as training needs it, with the truth where that is known."""

from dataclasses import dataclass
from typing import Protocol

from ...core.arrays import Bools, Bytes, Floats, Floats32

FIELD = 1.15
"""A stored crop shows so many times the field of HRN's crop: it can be shifted and turned."""
DISPLACEMENT_SIZE = 256
"""Texels a side of the true displacement map."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true of a photographed face, in the topology of the model that is trained."""

    vertices: Floats32
    """(V, 3) mm, head frame: the smooth surface, on top of which the relief comes."""
    support: Floats32
    """(V,) in [0, 1]: 1 where that is known."""
    identity: Floats32
    """(n_id,) coefficients of the model that come nearest to `vertices`."""
    expression: Floats32
    """(n_exp,)."""
    K: Floats
    """(3, 3) px of the stored crop, y down."""
    cam_from_head: Floats
    """(3, 4) mm, OpenCV's axes."""
    displacement: Floats32
    """(n, n) mm along the smooth normals, + outward."""
    displacement_valid: Bools
    """(n, n)."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A photograph of a face, cut as HRN cuts it but `FIELD` times as wide."""

    image: Bytes
    """(S, S, 3) sRGB."""
    mask: Bytes
    """(S, S), 255 on the head where nothing hides it."""
    landmarks: Floats32
    """(68, 2) px of the crop, y down, as a detector finds them; NaN unknown."""
    person: str
    """Of whom: sets are split by people."""
    truth: Truth | None
    """None: a photograph from somewhere."""


class Source(Protocol):
    """Samples by number: the same ones each time. Can be pickled."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Return one; IndexError beyond the last."""
        ...
