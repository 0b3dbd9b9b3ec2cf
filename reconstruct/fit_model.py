"""A face model as the fit takes it: one stack of modes, their priors, skin painted by regions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ..core.facemodel.model import ACTIVATIONS, FaceModel
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import vertex_normals
from .align import MODEL_UNIT_MM

_ACTIVATION_SIGMA = 0.15  # few of a face's modes act at a time
_PAINTED = ("lips", "brows", "eyelids", "iris", "pupil", "sclera", "scalp", "nose", "cheeks")
_AWAY = ("scalp", "ears", "neck")  # hair, clothes and shadow cover them
_N_WAVES = 4  # half periods over the face, of the slow changes of its colour
_N_SKY = 48  # rays by which the openness of a place is found
_LIFT_MM = 0.5  # rays start so far off the surface


@dataclass(frozen=True, kw_only=True)
class FitModel:
    """Vertices = mean + modes . (identity, expression); unit 100 mm, the model frame."""

    name: str
    mean: Floats
    """(V, 3)."""
    modes: Floats32
    """(n_identity + n_expression, V, 3) per unit of each coefficient."""
    n_identity: int
    sigma: Floats
    """(n_modes,) prior standard deviation."""
    low: Floats
    high: Floats
    """(n_modes,) what a coefficient may be."""
    faces: Ints
    landmarks: Ints
    """(68,) vertices."""
    paint: Floats32
    """(V, K) soft masks that albedo is a sum of; the first is 1 everywhere."""
    n_painted: int
    """Columns of `paint` that are regions; slow waves over the face follow."""
    region: Bools
    """(V,) what photographs show of the face: skin and eyes, no hair, ears or neck."""
    centre_mm: Floats
    """(3,) the model frame's origin in the head frame: head mm = 100 model + centre_mm."""

    def shape(self, coefficients: AnyFloats) -> Floats:
        """Return (V, 3) of coefficients (n_modes,)."""
        used = np.flatnonzero(coefficients)
        moved = np.tensordot(coefficients[used], self.modes[used], axes=1)
        return np.asarray(self.mean + moved, np.float64)


def fit_model(model: FaceModel, centre_mm: AnyFloats) -> FitModel:
    """Lay out a face model for the fit, its frame's origin moved to `centre_mm`."""
    identity = np.asarray(model.identity, np.float32)
    identity = identity * model.identity_sigma.astype(np.float32)[:, None, None]
    modes = np.concatenate([identity, np.asarray(model.expression, np.float32)]) / MODEL_UNIT_MM
    activations = model.expression_range == ACTIVATIONS
    expression_sigma = model.expression_sigma * (_ACTIVATION_SIGMA if activations else 1.0)
    painted = _paint(model)
    n = model.n_identity
    low, high = np.full(len(modes), -3.5), np.full(len(modes), 3.5)
    low[n:], high[n:] = model.expression_range
    return FitModel(
        name=model.name,
        mean=(model.mean - np.asarray(centre_mm)) / MODEL_UNIT_MM,
        modes=modes.astype(np.float32),
        n_identity=n,
        sigma=np.concatenate([np.ones(n), expression_sigma]),
        low=low,
        high=high,
        faces=model.faces,
        landmarks=model.landmarks68,
        paint=np.hstack([painted, _waves(model)]).astype(np.float32),
        n_painted=painted.shape[1],
        region=photographed(model),
        centre_mm=np.array(centre_mm, np.float64),
    )


def photographed(model: FaceModel, *, away: Sequence[str] = _AWAY) -> Bools:
    """Return (V,) the face that a photograph shows: skin below the hair and the eyes.

    Parameters
    ----------
    away : sequence of str
        Weights of the model whose places do not count.
    """
    face = np.array(model.regions.get("face", np.ones(model.n_vertices, bool)))
    for name in ("frontal_face", "eyes"):
        face |= model.regions.get(name, np.zeros(model.n_vertices, bool))
    for name in away:
        if name in model.weights:
            face &= model.weights[name] < 0.3
    if "mouth_interior" in model.regions:
        face &= ~model.regions["mouth_interior"]
    return np.asarray(face)


def _paint(model: FaceModel) -> Floats:
    columns = [np.ones(model.n_vertices)]
    columns += [model.weights[name] for name in _PAINTED if name in model.weights]
    if model.albedo_mean is not None:
        columns += list(np.asarray(model.albedo_mean, np.float64).T)
    columns.append(1.0 - openness(model))
    return np.stack(columns, axis=1)


def _waves(model: FaceModel) -> Floats:
    """Return (V, n) slow cosines over the front of the face, 1 in size."""
    low, high = (np.percentile(model.mean[model.landmarks68], q, axis=0) for q in (0, 100))
    x, y = np.clip((model.mean - low) / (high - low), -0.2, 1.2)[:, :2].T
    return np.stack(
        [
            np.cos(np.pi * i * x) * np.cos(np.pi * j * y)
            for i in range(_N_WAVES + 1)
            for j in range(_N_WAVES + 1 - i)
            if i + j
        ],
        axis=1,
    )


def openness(model: FaceModel) -> Floats:
    """Return (V,) the share of the sky that each place of the mean face sees, by its cosine."""
    query = SurfaceQuery(model.mean, model.faces)
    normals = vertex_normals(model.mean, model.faces)
    start = model.mean + _LIFT_MM * normals
    seen = np.zeros(model.n_vertices)
    rng = np.random.default_rng(0)  # one set of rays for every model: results never vary
    for ray in rng.normal(size=(_N_SKY, 3)):
        seen += ~query.occluded(start, normals + 0.98 * ray / np.linalg.norm(ray))
    return seen / _N_SKY
