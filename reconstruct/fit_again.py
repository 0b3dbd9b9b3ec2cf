"""The displacement of a face that is fitted already, found anew in another picture of it."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.arrays import AnyFloats, Bools, Floats32
from .align import MODEL_UNIT_MM, Crop
from .facetensors import FaceTensors, as_array
from .fit import FitResult
from .fit_detail import DetailConfig, fit_detail
from .fit_model import FitModel

if TYPE_CHECKING:
    from .networks.deretouch import DeretouchNet

_SEEN = 0.5


def displacement_in(
    crop: Crop,
    found: FitResult,
    face: FaceTensors,
    model: FitModel,
    *,
    mask: AnyFloats,
    config: DetailConfig,
    deretoucher: "DeretouchNet | None" = None,
) -> tuple[Floats32, Bools]:
    """Find the relief that a crop shows on a face whose shape, pose and light are known.

    Parameters
    ----------
    crop : Crop
        Of the same field as the one that `found` was fitted to.
    mask : (S, S)
        1 on what is to be trusted of it.
    deretoucher : DeretouchNet, optional
        As `fit_detail` takes it.

    Returns
    -------
    displacement : (n, n) mm, + outward
        n = `config.map_size`.
    valid : (n, n)
        Where the crop tells one.
    """
    R, t = (torch.from_numpy(part.astype(np.float32)) for part in (found.R, found.t))
    trusted = torch.from_numpy((np.asarray(mask) > _SEEN).astype(np.float32))[None, None]
    picture = torch.from_numpy(crop.image).permute(2, 0, 1)[None].contiguous()
    detail = fit_detail(
        face, found.mid, R, t, found.camera, picture, found.vertex_albedo,
        found.coefficients.gamma, config=config, trusted=trusted,
        region=torch.from_numpy(model.region.astype(np.float32)), deretoucher=deretoucher,
    )  # fmt: skip
    displacement = MODEL_UNIT_MM * as_array(detail.displacement[0, 0])
    return displacement, np.asarray(as_array(detail.valid[0, 0]) > _SEEN)
