"""What is known of each view alone, before the views are fitted together as released.

HRN's networks say it where there are weights, the fit where there are none. Both in HRN's frame
(unposed, unit 100 mm) and in front of HRN's camera, whatever the photograph's own focal length:
the released algorithm knows one camera only.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...core.arrays import Floats32
from ...core.errors import InputError
from ..align import Crop
from ..coefficients import Coefficients
from ..facetensors import FaceTensors
from ..fit import FitResult
from ..hrn import HrnOutput, resized
from ..pose import HrnCamera, posed, rotated
from ..unwrap import soft_validity, texels_of, unwrap


@dataclass(frozen=True, kw_only=True)
class ViewStart:
    """One view's crop and its single-view reconstruction, on one device.

    Raises
    ------
    InputError
        Arrays that do not go together.
    """

    name: str
    crop: Crop
    """The photograph (s, s, 3) and its landmarks (68, 2), px, y up; NaN where unknown."""
    mask: Floats32 | None
    """(s, s): 1 where the crop shows the face, for the contour; None: nobody knows."""
    coefficients: Coefficients
    """c_j, of a batch of one."""
    deformation: Tensor
    """(1, 3, d, d) D_j, model units, multiplied by V_j already."""
    displacement: Tensor
    """(1, 1, n, n) d_j, model units."""
    albedo: Tensor
    """(1, 3, n, n) A'_j, display-encoded RGB."""
    valid: Tensor
    """(1, 1, n, n) in [0, 1], soft: V_j. Unless `quirks`, 1 beyond the chart."""
    quirks: bool
    """The maps lie and are shaded as in the released code, for its weights: see `Hrn.forward`'s
    `compat`."""

    def __post_init__(self) -> None:
        n, size = self.displacement.shape[-1], self.crop.size
        if len(self.coefficients) != 1:
            raise InputError(f"view {self.name}: coefficients of {len(self.coefficients)} faces")
        if self.albedo.shape != (1, 3, n, n) or self.valid.shape != (1, 1, n, n):
            raise InputError(
                f"view {self.name}: albedo, validity and displacement of different sizes"
            )
        if self.mask is not None and self.mask.shape != (size, size):
            raise InputError(f"view {self.name}: its mask has another size than its crop")

    def to(self, device: str) -> "ViewStart":
        """Return it on another device."""
        c = self.coefficients
        moved = {name: value.to(device) for name, value in vars(c).items()}
        names = ("deformation", "displacement", "albedo", "valid")
        maps = {name: getattr(self, name).to(device) for name in names}
        return replace(self, coefficients=replace(c, **moved), **maps)


def start_of_hrn(
    name: str, crop: Crop, out: HrnOutput, face: FaceTensors, *, mask: Floats32 | None, quirks: bool
) -> ViewStart:
    """Take the networks' word on one view.

    Parameters
    ----------
    out : HrnOutput
        Of a batch of one, made of `crop` with `compat=quirks`.
    """
    n = out.valid.shape[-1]
    valid = out.valid if quirks else _one_beyond(out.valid, face.chart_mask(n))
    return ViewStart(
        name=name, crop=crop, mask=mask, coefficients=out.coefficients,
        deformation=out.deformation, displacement=out.displacement, albedo=out.albedo,
        valid=valid, quirks=quirks,
    )  # fmt: skip


def start_of_fit(
    name: str, crop: Crop, found: FitResult, face: FaceTensors, *, mask: Floats32 | None
) -> ViewStart:
    """Take the fit's word on one view.

    A' is the fit's finest albedo, spots of the skin and all, as the de-retouching network makes
    it: with the plain painted one spots become shape. The deformation is multiplied by V, as the
    networks' is.

    Parameters
    ----------
    found : FitResult
        Of `crop`, in front of HRN's camera (`focal_px` None).
    """
    n = found.displacement.shape[-1]
    camera = HrnCamera().resized(crop.size)
    _check_camera(name, found)
    c = found.coefficients
    with torch.no_grad():
        points = posed(found.mid, c.angles, c.translation)
        normals = rotated(face.vertex_normals(found.mid), c.angles)
        texels = texels_of(face, points, normals, camera, size=n)
        shown = torch.ones(1, 1, crop.size, crop.size)
        if mask is not None:
            shown = torch.from_numpy(mask)[None, None]
        given, seen = unwrap(texels, shown, camera)
        valid = soft_validity(given * seen, texels.inside)
    return ViewStart(
        name=name, crop=crop, mask=mask, coefficients=c,
        deformation=found.deformation * resized(valid, found.deformation.shape[-1]),
        displacement=found.displacement, albedo=found.albedo, valid=valid, quirks=False,
    )  # fmt: skip


def _one_beyond(valid: Tensor, inside: Tensor) -> Tensor:
    return torch.where(inside > 0, valid, torch.ones_like(valid))


def _check_camera(name: str, found: FitResult) -> None:
    camera, own = HrnCamera().resized(found.camera.size), found.camera
    middle = own.size / 2
    if abs(own.focal - camera.focal) > 1e-6 * camera.focal or own.centre != (middle, middle):
        raise InputError(
            f"view {name}: fitted with a focal length of its own; the released algorithm knows "
            "HRN's camera only: fit it without one"
        )
