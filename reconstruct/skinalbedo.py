"""An albedo basis for face models without one: skin tones, and the parts that differ from them.

Display-encoded RGB (as photographs are), as HRN has it. The tones run between the two skin
patches of the classic colour chart; the rest are soft parts of the face (lips, brows, lids,
cheeks, beard, hair) a shade lighter or darker. It is a prior of the low bands alone: what a
face has beyond it belongs into the albedo map.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..core.arrays import Floats, Floats32
from ..core.facemodel.model import FaceModel
from ..core.imaging.color import srgb_from_linear

_LIGHT, _DARK = np.array([0.59, 0.335, 0.245]), np.array([0.171, 0.085, 0.058])
_MELANIN, _MELANIN_SIGMA = 0.35, 0.22  # of the way, in logarithms, from light to dark
_EVERYWHERE = {
    "blood": (0.01, -0.02, -0.015),
    "yellow": (0.0, 0.0, -0.025),
}
_PARTS: Mapping[str, tuple[tuple[str, ...], tuple[float, float, float]]] = {
    "flush": (("cheeks", "nose"), (0.0, -0.03, -0.025)),
    "forehead": (("forehead",), (0.03, 0.03, 0.03)),
    "lips": (("lips",), (-0.04, -0.06, -0.05)),
    "brows": (("brows",), (-0.10, -0.10, -0.10)),
    "lids": (("eyelids",), (-0.04, -0.05, -0.05)),
    "beard": (("chin",), (-0.06, -0.06, -0.06)),
    "hair": (("scalp",), (-0.12, -0.12, -0.12)),
}
_MEAN = {"lips": 1.0, "brows": 2.0, "lids": 0.5, "flush": 0.3, "hair": 2.0}  # sigmas


class VertexAlbedo(NamedTuple):
    """mean + sum_k c[k] * modes[k], display-encoded RGB in [0, 1], c ~ N(0, 1)."""

    mean: Floats32
    """(V, 3)."""
    modes: Floats32
    """(n, V, 3)."""
    names: tuple[str, ...]


def vertex_albedo(model: FaceModel) -> VertexAlbedo:
    """Return the model's own albedo where it has a basis, else one of skin tones and parts."""
    if model.albedo_mean is None:
        return _skin(model)
    mean = model.albedo_mean.astype(np.float32)
    modes = np.zeros((0, *mean.shape), np.float32) if model.albedo is None else model.albedo
    modes = modes * model.albedo_sigma[:, None, None].astype(np.float32)
    if model.albedo_encoding == "linear":  # to first order about the mean
        encoded = srgb_from_linear(mean)
        modes = (srgb_from_linear(mean + 0.1 * modes) - srgb_from_linear(mean - 0.1 * modes)) / 0.2
        mean = encoded
    return VertexAlbedo(mean, np.asarray(modes, np.float32), model.albedo_names)


def _skin(model: FaceModel) -> VertexAlbedo:
    tone = _tone(_MELANIN)
    changes = {"melanin": _tone(_MELANIN + _MELANIN_SIGMA) - tone}
    changes |= {name: np.array(change) for name, change in _EVERYWHERE.items()}
    everywhere = np.ones(model.n_vertices)
    modes = {name: everywhere[:, None] * change for name, change in changes.items()}
    for name, (parts, change) in _PARTS.items():
        known = [model.weights[part] for part in parts if part in model.weights]
        if known:
            modes[name] = np.max(known, axis=0)[:, None] * np.array(change)
    mean = everywhere[:, None] * tone
    for name, sigmas in _MEAN.items():
        if name in modes:
            mean = mean + sigmas * modes[name]
    return VertexAlbedo(
        np.clip(mean, 0, 1).astype(np.float32),
        np.stack(list(modes.values())).astype(np.float32),
        tuple(modes),
    )


def _tone(melanin: float) -> Floats:
    return srgb_from_linear(_LIGHT * (_DARK / _LIGHT) ** melanin).astype(np.float64)
