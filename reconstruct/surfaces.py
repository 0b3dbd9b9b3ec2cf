"""`FaceSurfaces`: what every reconstruction of a face has, of one photograph or of many.

Three surfaces of one head: coarse (M0, the morphable fit), mid (M1, M0 + deformation) and
detailed (M1 + displacement along its smooth normals). Vertices are millimetres in the head
frame, unposed: +x to the subject's left, +y up, +z out of the face. Row 0 of every map is
v = 1; the texel (row r, column c) of n x n has its centre at u = (c + 0.5) / n,
v = 1 - (r + 0.5) / n.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.arrays import Bytes, Floats, Floats32
from ..core.errors import InputError
from ..core.facemodel.model import FaceModel
from ..core.geometry.mesh import Mesh
from .detailedsurface import detailed_surface

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class FaceSurfaces:
    """A face as three surfaces of one model, with maps.

    Raises
    ------
    InputError
        An array has another shape than the face model and its other arrays need.
    """

    model: FaceModel = field(repr=False)
    identity: Floats = field(repr=False)
    """(n_id,) in units of sigma."""
    expression: Floats = field(repr=False)
    """(n_exp,)."""
    coarse: Floats32 = field(repr=False)
    """(V, 3) mm."""
    mid: Floats32 = field(repr=False)
    """(V, 3) mm."""
    deformation: Floats32 = field(repr=False)
    """(d, d, 3) mm, head frame: what sampling made `mid` of `coarse`."""
    deformation_at_corners: bool = False
    """True: as the released HRN samples it, texel (r, c) lies at u = c / d, v = 1 - r / d."""
    displacement: Floats32 = field(repr=False)
    """(n, n) mm along the smooth vertex normals of `mid`, + outward; 0 outside the chart."""
    valid: Floats32 = field(repr=False)
    """(n, n) in [0, 1]: how far a texel of `displacement` rests on what was photographed."""
    normal: Floats32 = field(repr=False)
    """(n, n, 3) unit, head frame, of the detailed surface; 0 outside the chart."""
    tangent_normal: Floats32 = field(repr=False)
    """(n, n, 3) unit, tangent space of `mid`: x along +u, y along +v, z outward."""
    albedo: Floats32 = field(repr=False)
    """(a, a, 3) in [0, 1], encoded as photographs are (sRGB): colour without light."""
    texture: Bytes = field(repr=False)
    """(t, t, 3) sRGB: what was photographed in the chart, with its light; completed by albedo and
    light where nothing shows the face."""
    texture_valid: Floats32 = field(repr=False)
    """(t, t) in [0, 1]: how much of a texel is photograph."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What the method tells of itself: losses, seconds."""

    def __post_init__(self) -> None:
        self.check_shapes(self.shapes())
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))

    @property
    def title(self) -> str:
        """What messages call it."""
        return "prediction"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape that each array has to have."""
        d, n = len(self.deformation), len(self.displacement)
        a, t, v = len(self.albedo), len(self.texture), self.model.n_vertices
        return {
            "identity": (self.model.n_identity,),
            "expression": (self.model.n_expression,),
            "coarse": (v, 3),
            "mid": (v, 3),
            "deformation": (d, d, 3),
            "displacement": (n, n),
            "valid": (n, n),
            "normal": (n, n, 3),
            "tangent_normal": (n, n, 3),
            "albedo": (a, a, 3),
            "texture": (t, t, 3),
            "texture_valid": (t, t),
        }

    def check_shapes(self, shapes: Shapes, *, unknown: frozenset[str] = frozenset()) -> None:
        """Compare arrays with the shapes that they have to have.

        Parameters
        ----------
        unknown : frozenset of str
            Arrays that may hold NaN.

        Raises
        ------
        InputError
            One does not fit, or is not finite.
        """
        for name, shape in shapes.items():
            array: np.ndarray[Any, Any] = getattr(self, name)
            if array.shape != shape:
                raise InputError(
                    f"{self.title}: {name}: shape {array.shape}, but {shape} belongs to "
                    f"{self.model.name} and the other arrays"
                )
            if name not in unknown and not np.isfinite(array).all():
                raise InputError(f"{self.title}: {name}: holds NaN or infinite numbers")

    def mesh(self, level: str) -> Mesh:
        """Return the `coarse` or `mid` mesh, head frame, with the model's UVs."""
        vertices = {"coarse": self.coarse, "mid": self.mid}[level]
        return Mesh(
            vertices=vertices.astype(np.float64),
            faces=self.model.faces,
            uv=self.model.uv,
            faces_uv=self.model.faces_uv,
        )

    def detailed_mesh(self, *, n_levels: int | None = None) -> Mesh:
        """Return the detailed surface, head frame, with UVs; see `detailedsurface.py`.

        Parameters
        ----------
        n_levels : int, optional
            How often the model's triangles are cut into four; by default until they are as
            small as texels of the displacement.
        """
        if n_levels is None:
            return self._detailed
        return detailed_surface(self.model, self.mid, self.displacement, n_levels=n_levels)

    @cached_property
    def _detailed(self) -> Mesh:
        """As dense as the displacement: made once, for the files and each of the pictures."""
        return detailed_surface(self.model, self.mid, self.displacement)
