"""`MultiViewPrediction`: one face as several views show it together, in the head frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from ...core.arrays import Floats, Floats32, Ints
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import Similarity
from ..surfaces import FaceSurfaces


@dataclass(frozen=True, kw_only=True)
class SeenView:
    """What is known of one view when all is done."""

    name: str
    file: str
    """Name of the photograph."""
    sha256: str
    camera: Camera
    """Of the view's image, which is cut, scaled and undistorted; its world is the head frame."""
    focal: str
    """Where its focal length is from: `rig`, `given`, `exif` or `portrait`, a guess."""
    weight: float
    """In [0, 1]: how far the view is believed."""
    landmarks: Floats = field(repr=False)
    """(68, 2) px of the view's image; NaN where unknown."""
    light: Floats = field(repr=False)
    """(3, 9) spherical harmonics of R, G, B, of encoded colours; ambient 0.8 not yet added."""
    residual_px: float | None
    """Median distance of the model's landmarks to those found, px of the view's image; None
    where no face was found."""
    color_residual: float | None
    """Median difference of photograph and drawn face, 0 to 1, encoded; None where none is seen."""
    remark: str = ""
    """What is odd about it."""


@dataclass(frozen=True, kw_only=True)
class MultiViewPrediction(FaceSurfaces):
    """A face as several views show it together.

    Raises
    ------
    InputError
        An array has another shape than the face model and its other arrays need.
    """

    name: str
    """Of the take or the folder."""
    method: str
    """`fit` or `hrn`: what it began with; with `compat` where it follows the released schedule."""
    views: tuple[SeenView, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Photograph -> why it is no view."""
    calibrated: bool
    """The cameras' places were known."""
    metric: bool
    """They were known in millimetres: the face has its own size, not the face model's."""
    sigma: Floats32 = field(repr=False)
    """(n, n) mm, one standard deviation of `displacement`; infinite where unknown."""
    n_views: Ints = field(repr=False)
    """(n, n) how many views show each texel."""
    expressions: Floats | None = field(default=None, repr=False)
    """(n_views, n_exp) where each view has its own; `expression` is their mean."""
    world_from_head: Similarity | None = None
    """Calibrated: where the head is in the rig's world."""
    notes: tuple[str, ...] = ()
    """What is odd about all of it, a sentence each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.views:
            raise InputError(f"{self.title}: it has no view")
        n = len(self.displacement)
        self.check_shapes({"sigma": (n, n), "n_views": (n, n)}, unknown=frozenset({"sigma"}))
        if np.isnan(self.sigma).any():
            raise InputError(f"{self.title}: sigma: holds NaN; unknown is infinite")
        if self.expressions is not None:
            self.check_shapes({"expressions": (len(self.views), self.model.n_expression)})
        object.__setattr__(self, "left_out", MappingProxyType(dict(self.left_out)))

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"multi-view prediction of {self.name}"

    @property
    def rig(self) -> Rig:
        """The views' cameras; their world is the head frame."""
        return Rig(cameras=tuple(view.camera for view in self.views), metric=self.metric)

    def in_expression_of(self, view: int) -> "MultiViewPrediction":
        """Return it with the surfaces that a view shows; normals and maps stay as they are.

        Where all views share one expression, that is all of it.
        """
        if self.expressions is None:
            return self
        moved = expression_offsets(self.model, self.expressions)[view]
        return replace(
            self,
            coarse=(self.coarse + moved).astype(np.float32),
            mid=(self.mid + moved).astype(np.float32),
            expression=self.expressions[view],
        )


def expression_offsets(model: FaceModel, expressions: Floats) -> Floats:
    """Return (J, V, 3) mm: what leads from the mean expression to each of (J, n_exp)."""
    mean = model.shape(expression=expressions.mean(axis=0))
    return np.stack([model.shape(expression=own) - mean for own in expressions])
