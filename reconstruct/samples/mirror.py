"""The mirror image of a face in a face model's numbers, where the model is symmetric enough.

A mirrored photograph is one of a face that could be, too: vertices change sides, and so do the
coefficients and the texels of maps. Models whose modes or chart have no mirror image of their
own have none here.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ...core.facemodel.model import FaceModel
from ...dataset.bake.chart import chart
from ..facetensors import FaceTensors

_ACROSS = np.array([-1.0, 1.0, 1.0])
_EXACT_MM = 0.01
"""How far mean or a mode may be from its mirror image."""
_ON_CENTRE = 0.02  # texels: a mirrored centre that lies so near to another is that one
_LEAST_ON_CENTRE = 0.75  # of a chart's texels; others have to be interpolated, which blurs them


@dataclass(frozen=True, kw_only=True)
class TexelMirror:
    """Where the texels of a chart's map of one size lie on the other half."""

    size: int
    source: Ints
    """(n²,) flat texel that each one's mirror image is; -1: none, or between several."""
    between: Ints
    """(m,) flat texels whose mirror image lies between centres."""
    taps: Ints
    """(m, 4) the texels about it."""
    weights: Floats32
    """(m, 4)."""

    def __call__(self, values: AnyFloats, valid: Bools) -> tuple[Floats32, Bools]:
        """Return a map (n, n) and its valid texels of the mirrored face."""
        flat, sound = values.ravel(), valid.ravel()
        known = sound[self.source] & (self.source >= 0)
        known[self.between] = (sound[self.taps] | (self.weights == 0)).all(axis=1)
        mirrored = flat[self.source].astype(np.float32)
        mirrored[self.between] = np.einsum("mk,mk->m", flat[self.taps], self.weights)
        mirrored[~known] = 0
        shape = (self.size, self.size)
        return mirrored.reshape(shape), known.reshape(shape)


@dataclass(frozen=True, kw_only=True)
class FaceMirror:
    """The mirror image of faces of a model."""

    model: FaceModel
    vertex: Ints
    """(V,) the one on the other side."""
    identity: Floats32
    """(n_id, n_id): mirrored coefficients = identity @ coefficients."""
    expression: Floats32
    """(n_exp, n_exp)."""
    texels: dict[int, TexelMirror | None]
    """Size -> texels, as far as they were asked for; None: the chart is not symmetric."""

    def vertices(self, vertices_mm: AnyFloats) -> Floats32:
        """Return the mirrored face's vertices (V, 3), mm, head frame."""
        return np.asarray(vertices_mm[self.vertex] * _ACROSS, np.float32)

    def of_maps(self, size: int) -> TexelMirror | None:
        """Return what mirrors maps of a size; None where the chart is not symmetric."""
        if size not in self.texels:
            self.texels[size] = _texel_mirror(self.model, self.vertex, size)
        return self.texels[size]


_known: "WeakKeyDictionary[FaceTensors, FaceMirror | None]" = WeakKeyDictionary()


def face_mirror(face: FaceTensors) -> FaceMirror | None:
    """Return a model's mirror, found once; None where it is not symmetric."""
    if face not in _known:
        _known[face] = _face_mirror(face.model)
    return _known[face]


def _face_mirror(model: FaceModel) -> FaceMirror | None:
    if model.mirror is None:
        return None
    if np.abs(model.mean[model.mirror] * _ACROSS - model.mean).max() > _EXACT_MM:
        return None
    sigma = model.identity_sigma[:, None, None]
    identity = _mode_mirror(np.asarray(model.identity * sigma, np.float64), model.mirror)
    expression = _mode_mirror(np.asarray(model.expression, np.float64), model.mirror)
    if identity is None or expression is None:
        return None
    return FaceMirror(
        model=model, vertex=model.mirror, identity=identity, expression=expression, texels={}
    )


def _mode_mirror(modes: Floats, vertex: Ints) -> Floats32 | None:
    """Return (n, n) from coefficients to those of the mirrored shape; None: it has none."""
    n = len(modes)
    flat = modes.reshape(n, -1)
    mirrored = (modes[:, vertex] * _ACROSS).reshape(n, -1)
    gram = flat @ flat.T
    solution = np.linalg.lstsq(gram, flat @ mirrored.T, rcond=None)[0]
    if np.abs(solution.T @ flat - mirrored).max(initial=0.0) > _EXACT_MM:
        return None
    return solution.astype(np.float32)


def _texel_mirror(model: FaceModel, vertex: Ints, size: int) -> TexelMirror | None:
    corners = _mirrored_uv(model, vertex)
    if corners is None:
        return None
    texels = chart(model, size)
    inside = np.flatnonzero(texels.face.ravel() >= 0)
    w = texels.weights.reshape(-1, 2)[inside].astype(np.float64)
    weights = np.column_stack([1 - w.sum(axis=1), w])
    uv = np.einsum("nk,nkc->nc", weights, corners[texels.face.ravel()[inside]])
    place = np.column_stack([(1 - uv[:, 1]) * size, uv[:, 0] * size]) - 0.5  # row, column
    on_centre = np.abs(place - np.rint(place)).max(axis=1) < _ON_CENTRE
    if on_centre.mean() < _LEAST_ON_CENTRE:
        return None
    row, column = np.rint(place[on_centre]).astype(np.int32).T
    source = np.full(size * size, -1, np.int32)
    source[inside[on_centre]] = row * size + column
    taps, shares = _bilinear(place[~on_centre], size)
    return TexelMirror(
        size=size, source=source, between=inside[~on_centre].astype(np.int32), taps=taps,
        weights=shares,
    )  # fmt: skip


def _bilinear(place: Floats, size: int) -> tuple[Ints, Floats32]:
    """Return the four texels (n, 4) about places (n, 2), and what each weighs."""
    first = np.floor(place).astype(np.int64)
    (fr, fc), (r, c) = (place - first).T, first.T
    rows = np.clip(np.stack([r, r, r + 1, r + 1], axis=1), 0, size - 1)
    columns = np.clip(np.stack([c, c + 1, c, c + 1], axis=1), 0, size - 1)
    weights = np.stack([(1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc], axis=1)
    return (rows * size + columns).astype(np.int32), weights.astype(np.float32)


def _mirrored_uv(model: FaceModel, vertex: Ints) -> Floats | None:
    """Return (F, 3, 2): where each face's corners lie on the other side; None: not all have one."""
    across = vertex[model.faces]
    partner = _rows_of(np.sort(across, axis=1), np.sort(model.faces, axis=1))
    if (partner < 0).any():
        return None
    same = across[:, :, None] == model.faces[partner][:, None, :]
    corner = same.argmax(axis=2)
    return np.asarray(model.uv[np.take_along_axis(model.faces_uv[partner], corner, axis=1)],
                      np.float64)  # fmt: skip


def _rows_of(wanted: Ints, rows: Ints) -> NDArray[np.int64]:
    """Return for each row of `wanted` (N, 3) which of `rows` (F, 3) it is; -1: none."""
    n = int(max(wanted.max(), rows.max())) + 1

    def key(table: Ints) -> NDArray[np.int64]:
        a, b, c = table.astype(np.int64).T
        return np.asarray((a * n + b) * n + c)

    keys, looked_for = key(rows), key(wanted)
    order = np.argsort(keys)
    at = np.clip(np.searchsorted(keys[order], looked_for), 0, len(keys) - 1)
    found = order[at]
    return np.where(keys[found] == looked_for, found, -1)
