"""`FaceModel`: one interface for every morphable head (built-in, ICT-FaceKit, BFM, FLAME).

    vertices = mean + sum_i identity_sigma[i] * a[i] * identity[i] + sum_j e[j] * expression[j]

Millimetres in the head frame: +x to the subject's left, +y up, +z out of the face. Identity
coefficients `a` follow N(0, 1) over people; expression coefficients `e` are activations, 0 at
rest and 1 at full strength.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ..arrays import AnyFloats, Bools, Floats, Ints
from ..errors import InputError, ModelFileError
from ..geometry.mesh import Mesh

Coefficients = Mapping[str, float] | AnyFloats
"""One number per mode, in the model's order, or only those named: `{"jawOpen": 1.0}`."""


@dataclass(frozen=True, kw_only=True)
class FaceModel:
    """A linear morphable head with its landmarks, regions and UV chart.

    Raises
    ------
    ModelFileError
        A field has the wrong shape, holds non-finite numbers or indices out of range; the
        message names it.
    """

    name: str
    mean: Floats
    """(V, 3) float64, mm, head frame."""
    faces: Ints
    """(F, 3) int32, counter-clockwise seen from outside."""
    uv: AnyFloats
    """(T, 2), OBJ convention: origin bottom-left, v up."""
    faces_uv: Ints
    """(F, 3) int32, rows of `uv` at the face corners."""
    identity: AnyFloats
    """(n_id, V, 3) mm per unit of `identity_sigma`."""
    identity_names: tuple[str, ...]
    identity_sigma: Floats
    """(n_id,): standard deviation of each mode over people, so that coefficients are N(0, 1)."""
    expression: AnyFloats
    """(n_exp, V, 3) mm at full activation."""
    expression_names: tuple[str, ...]
    landmarks68: Ints
    """(68,) int32 vertices in the Multi-PIE (iBUG) order: 0 at the subject's right jaw."""
    regions: Mapping[str, Bools] = field(default_factory=dict)
    """Name -> (V,) bool."""
    weights: Mapping[str, Floats] = field(default_factory=dict)
    """Name -> (V,) float64 in [0, 1]: soft masks to paint and to weigh by."""
    quads: Ints | None = None
    """(Q, 4) int32 that `faces` splits, when the model was made of quads."""
    mirror: Ints | None = None
    """(V,) int32: the vertex of the other side; None when the topology is not symmetric."""

    def __post_init__(self) -> None:
        check_model(self)
        object.__setattr__(self, "regions", MappingProxyType(dict(self.regions)))
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    @property
    def n_vertices(self) -> int:
        """Number of vertices V."""
        return len(self.mean)

    @property
    def n_identity(self) -> int:
        """Number of identity modes."""
        return len(self.identity_names)

    @property
    def n_expression(self) -> int:
        """Number of expression modes."""
        return len(self.expression_names)

    def shape(
        self, identity: Coefficients | None = None, expression: Coefficients | None = None
    ) -> Floats:
        """Return the vertices (V, 3), mm, of these coefficients.

        Parameters
        ----------
        identity, expression : (n,) floats or {name: value}, optional
            An array may be shorter than the basis: the modes left out are zero.

        Raises
        ------
        InputError
            A name is unknown or there are more coefficients than modes.
        """
        vertices = self.mean.copy()
        if identity is not None:
            a = coefficients(identity, self.identity_names, what=f"{self.name}: identity")
            _add_modes(vertices, self.identity, a * self.identity_sigma)
        if expression is not None:
            e = coefficients(expression, self.expression_names, what=f"{self.name}: expression")
            _add_modes(vertices, self.expression, e)
        return vertices

    def mesh(
        self, identity: Coefficients | None = None, expression: Coefficients | None = None
    ) -> Mesh:
        """Return the triangle mesh of these coefficients, with the model's UVs."""
        return Mesh(
            vertices=self.shape(identity, expression),
            faces=self.faces,
            uv=self.uv,
            faces_uv=self.faces_uv,
        )

    def sample_identity(self, rng: np.random.Generator, *, strength: float = 1.0) -> Floats:
        """Draw the identity coefficients (n_id,) of a person: N(0, `strength`²)."""
        return strength * rng.standard_normal(self.n_identity)


def coefficients(given: Coefficients, names: tuple[str, ...], *, what: str) -> Floats:
    """Return the full vector (len(names),) of named or positional coefficients.

    Raises
    ------
    InputError
        A name is unknown or there are more numbers than names; `what` begins the message.
    """
    full = np.zeros(len(names))
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise InputError(f"{what}: no mode {unknown[0]!r}; known: {', '.join(names)}")
        for name, value in given.items():
            full[names.index(name)] = value
        return full
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 1 or len(values) > len(names):
        raise InputError(f"{what}: {values.shape} coefficients for {len(names)} modes")
    full[: len(values)] = values
    return full


def check_model(model: FaceModel) -> None:
    """Check shapes, ranges and finiteness of every field.

    Raises
    ------
    ModelFileError
        Names the model, the field and what is wrong with it.
    """
    v = len(model.mean)
    _check_floats(model, "mean", model.mean, (None, 3))
    _check_floats(model, "uv", model.uv, (None, 2))
    for field_name, modes, names in (
        ("identity", model.identity, model.identity_names),
        ("expression", model.expression, model.expression_names),
    ):
        _check_floats(model, field_name, modes, (len(names), v, 3))
        if len(set(names)) != len(names):
            raise ModelFileError(f"{model.name}: {field_name}_names: a name stands twice")
    _check_floats(model, "identity_sigma", model.identity_sigma, (model.n_identity,))
    if (model.identity_sigma <= 0).any():
        raise ModelFileError(f"{model.name}: identity_sigma: not all above zero")
    _check_indices(model, "faces", model.faces, (None, 3), v)
    _check_indices(model, "faces_uv", model.faces_uv, (len(model.faces), 3), len(model.uv))
    _check_indices(model, "landmarks68", model.landmarks68, (68,), v)
    if model.quads is not None:
        _check_indices(model, "quads", model.quads, (None, 4), v)
    if model.mirror is not None:
        _check_indices(model, "mirror", model.mirror, (v,), v)
    for name, mask in model.regions.items():
        if mask.shape != (v,) or mask.dtype != np.bool_:
            raise ModelFileError(f"{model.name}: regions[{name!r}]: not a bool mask of ({v},)")
    for name, weight in model.weights.items():
        _check_floats(model, f"weights[{name!r}]", weight, (v,))
        if weight.min() < 0 or weight.max() > 1:
            raise ModelFileError(f"{model.name}: weights[{name!r}]: not all within [0, 1]")


def _check_floats(
    model: FaceModel, field_name: str, values: AnyFloats, shape: tuple[int | None, ...]
) -> None:
    _check_shape(model, field_name, values.shape, shape)
    if values.dtype.kind != "f":
        raise ModelFileError(f"{model.name}: {field_name}: {values.dtype} in place of floats")
    if not np.isfinite(values).all():
        raise ModelFileError(f"{model.name}: {field_name}: holds NaN or infinite numbers")


def _check_indices(
    model: FaceModel, field_name: str, values: Ints, shape: tuple[int | None, ...], below: int
) -> None:
    _check_shape(model, field_name, values.shape, shape)
    if values.dtype != np.int32:
        raise ModelFileError(f"{model.name}: {field_name}: {values.dtype} in place of int32")
    if values.size and (values.min() < 0 or values.max() >= below):
        raise ModelFileError(
            f"{model.name}: {field_name}: indices {values.min()} to {values.max()}, "
            f"but only 0 to {below - 1} exist"
        )


def _check_shape(
    model: FaceModel, field_name: str, found: tuple[int, ...], expected: tuple[int | None, ...]
) -> None:
    fits = len(found) == len(expected) and all(
        e is None or e == f for f, e in zip(found, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        raise ModelFileError(f"{model.name}: {field_name}: shape {found}, expected ({wanted})")


def _add_modes(vertices: Floats, modes: AnyFloats, scale: Floats) -> None:
    """Add `scale[i] * modes[i]` in place; fixed order, so that results never vary."""
    for i in np.flatnonzero(scale):
        vertices += scale[i] * modes[i]
