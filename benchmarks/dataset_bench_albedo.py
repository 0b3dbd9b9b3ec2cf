"""The true albedo of a virtual subject in its model's chart, and how far a texture is from it."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..capture.virtual.complexion import albedo_at
from ..capture.virtual.skin import N_PAINT, PAINT, Skin, SkinValues, skin_values
from ..core.arrays import AnyFloats, Bools, Floats32
from ..core.chunks import over_chunks
from ..core.facemodel.model import FaceModel
from ..core.imaging.color import srgb_from_linear
from ..dataset.bake.chart import chart


@dataclass(frozen=True, kw_only=True)
class AlbedoError:
    """How far a texture is from the true albedo after one gain, the same for all channels."""

    gain: float
    psnr_db: float
    """Linear light, peak 1."""
    psnr_srgb_db: float
    """sRGB-coded, peak 1."""
    relative: float
    """Root mean square error over root mean square albedo, linear."""
    psnr_channels_db: float
    """Linear light, after one gain for each channel."""


def true_albedo(model: FaceModel, skin: Skin, size: int, *, sampling: int = 1) -> Floats32:
    """Return (size, size, 3) linear albedo that the studio paints a subject with; 0 outside.

    Parameters
    ----------
    sampling : int
        n x n samples a texel are averaged: hairs and pores are finer than texels.
    """
    values = skin_values(
        skin, model.mean, weights=model.weights, eye_corners=model.mean[model.landmarks68[[36, 45]]]
    )
    paint = np.stack([model.weights.get(name, np.zeros(len(model.mean))) for name in PAINT], 1)
    texels = chart(model, size * sampling)
    n = texels.size
    out = np.zeros((n, n, 3), np.float32)
    table = np.hstack([model.mean, paint])

    def run(start: int, end: int) -> None:
        _paint(start, end, texels.face, texels.weights, model.faces, table, values, out)

    over_chunks(run, n, chunk=32)
    if sampling == 1:
        return out
    blocks = out.reshape(size, sampling, size, sampling, 3).sum(axis=(1, 3))
    count = texels.inside.reshape(size, sampling, size, sampling).sum(axis=(1, 3))
    return np.asarray(blocks / np.maximum(count, 1)[..., None], dtype=np.float32)


def face_texels(model: FaceModel, size: int) -> Bools:
    """Return (size, size): texels on the frontal face, on which textures are scored."""
    texels = chart(model, size)
    frontal = np.asarray(model.regions["frontal_face"])[model.faces].all(axis=1)
    return np.asarray(texels.inside & np.asarray(frontal)[texels.face])


def albedo_error(albedo: AnyFloats, truth: AnyFloats, where: Bools) -> AlbedoError:
    """Compare textures (n, n, 3) on texels (n, n), after the best gain, least squares."""
    a, b = albedo[where].astype(np.float64), truth[where].astype(np.float64)
    gain = float((a * b).sum() / max((a * a).sum(), 1e-12))
    each = (a * b).sum(axis=0) / np.maximum((a * a).sum(axis=0), 1e-12)
    mse = float(((gain * a - b) ** 2).mean())
    coded = float(((srgb_from_linear(gain * a) - srgb_from_linear(b)) ** 2).mean())
    return AlbedoError(
        gain=gain,
        psnr_db=_psnr(mse),
        psnr_srgb_db=_psnr(coded),
        relative=float(np.sqrt(mse / max((b * b).mean(), 1e-12))),
        psnr_channels_db=_psnr(float(((each * a - b) ** 2).mean())),
    )


def _psnr(mse: float) -> float:
    return float(-10 * np.log10(max(mse, 1e-12)))


@njit(nogil=True, cache=True)
def _paint(start, end, face, weights, faces, table, skin: SkinValues, out):  # type: ignore[no-untyped-def]
    p = np.zeros(N_PAINT)
    for row in range(start, end):
        for col in range(out.shape[1]):
            f = face[row, col]
            if f < 0:
                continue
            wb, wc = float(weights[row, col, 0]), float(weights[row, col, 1])
            wa = 1 - wb - wc
            a, b, c = table[faces[f, 0]], table[faces[f, 1]], table[faces[f, 2]]
            for k in range(N_PAINT):
                p[k] = wa * a[3 + k] + wb * b[3 + k] + wc * c[3 + k]
            x = wa * a[0] + wb * b[0] + wc * c[0]
            y = wa * a[1] + wb * b[1] + wc * c[1]
            z = wa * a[2] + wb * b[2] + wc * c[2]
            r, g, blue = albedo_at(x, y, z, p, skin)
            out[row, col, 0], out[row, col, 1], out[row, col, 2] = r, g, blue
