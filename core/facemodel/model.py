"""`FaceModel`: one interface for every morphable head (built-in, ICT-FaceKit, BFM, FLAME).

    vertices = mean + sum_i identity_sigma[i] * a[i] * identity[i] + sum_j e[j] * expression[j]

    colour   = albedo_mean + sum_k albedo_sigma[k] * c[k] * albedo[k]      (where there is one)

Millimetres in the head frame: +x to the subject's left, +y up, +z out of the face. Identity
and albedo coefficients follow N(0, 1) over people. Expression coefficients `e` are either
activations, 0 at rest and 1 at full strength (built-in head, ICT-FaceKit), or N(0, 1) as well
(BFM, FLAME): `expression_range` tells which, `expression_sigma` how far they go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ..arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ..errors import InputError, ModelFileError
from ..geometry.mesh import Mesh
from ..imaging.color import linear_from_srgb

ACTIVATIONS = (0.0, 1.0)
UNBOUNDED = (-np.inf, np.inf)

Coefficients = Mapping[str, float] | AnyFloats
"""One number per mode, in the model's order, or only those named: `{"jawOpen": 1.0}`."""


def _empty() -> Floats:
    return np.zeros(0)


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
    expression_sigma: Floats = field(default_factory=_empty)
    """(n_exp,): standard deviation of each expression coefficient in the prior. Coefficients
    are used as they are; an empty array stands for all one."""
    expression_range: tuple[float, float] = ACTIVATIONS
    """What an expression coefficient may be: `ACTIVATIONS` or `UNBOUNDED`."""
    albedo_mean: AnyFloats | None = None
    """(V, 3) RGB in [0, 1], encoded as `albedo_encoding` says; None: a model without colour."""
    albedo: AnyFloats | None = None
    """(n_alb, V, 3) per unit of `albedo_sigma`, in the encoding of `albedo_mean`."""
    albedo_names: tuple[str, ...] = ()
    albedo_sigma: Floats = field(default_factory=_empty)
    """(n_alb,): as `identity_sigma`; an empty array stands for all one."""
    albedo_encoding: Literal["srgb", "linear"] = "srgb"
    """Of `albedo_mean` and `albedo`; the basis is linear in these numbers, not in light."""
    unit_mm: float = 1.0
    """Millimetres in a unit of the model as its authors ship it: 100 for BFM, 10 for
    ICT-FaceKit, 1000 for FLAME, 1 for the built-in head."""
    chart_faces: Bools = field(default_factory=lambda: np.zeros(0, bool))
    """(F,) faces of the skin chart that maps are baked in: inside the tile [0, 1] and free of
    overlap, see `chartfaces.skin_chart`; an empty array stands for all faces."""
    landmark_sigma_mm: float = 1.0
    """One standard deviation of where a landmark's vertex may be off; large where the
    landmarks were carried over from another head."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the model was read, a sentence each."""

    def __post_init__(self) -> None:
        for name, given, filled in (
            ("expression_sigma", self.expression_sigma, np.ones(self.n_expression)),
            ("albedo_sigma", self.albedo_sigma, np.ones(self.n_albedo)),
            ("chart_faces", self.chart_faces, np.ones(len(self.faces), bool)),
        ):
            if given.size == 0:
                object.__setattr__(self, name, filled)
        check_model(self)
        object.__setattr__(self, "regions", MappingProxyType(dict(self.regions)))
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    def __getstate__(self) -> dict[str, Any]:  # worker processes take it along
        return {**self.__dict__, "regions": dict(self.regions), "weights": dict(self.weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in ("regions", "weights"):
            state[name] = MappingProxyType(state[name])
        self.__dict__.update(state)

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

    @property
    def n_albedo(self) -> int:
        """Number of albedo modes; 0 also for a model without colour."""
        return len(self.albedo_names)

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

    def colors(self, albedo: Coefficients | None = None) -> Floats32 | None:
        """Return linear RGB (V, 3) in [0, 1] of these coefficients; None without colour.

        Raises
        ------
        InputError
            A name is unknown or there are more coefficients than modes.
        """
        if self.albedo_mean is None:
            return None
        encoded = self.albedo_mean.astype(np.float64)
        if albedo is not None:
            c = coefficients(albedo, self.albedo_names, what=f"{self.name}: albedo")
            if self.albedo is not None:
                _add_modes(encoded, self.albedo, c * self.albedo_sigma)
        within = np.clip(encoded, 0.0, 1.0).astype(np.float32)
        return linear_from_srgb(within) if self.albedo_encoding == "srgb" else within

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
    for field_name, sigma, n_modes in (
        ("identity_sigma", model.identity_sigma, model.n_identity),
        ("expression_sigma", model.expression_sigma, model.n_expression),
        ("albedo_sigma", model.albedo_sigma, model.n_albedo),
    ):
        _check_floats(model, field_name, sigma, (n_modes,))
        if (sigma <= 0).any():
            raise ModelFileError(f"{model.name}: {field_name}: not all above zero")
    _check_albedo(model)
    for field_name, number in (
        ("unit_mm", model.unit_mm),
        ("landmark_sigma_mm", model.landmark_sigma_mm),
    ):
        if not 0 < number < np.inf:
            raise ModelFileError(f"{model.name}: {field_name}: {number} is not above zero")
    low, high = model.expression_range
    if not low <= 0.0 < high:
        raise ModelFileError(f"{model.name}: expression_range: {low} to {high} leaves out rest")
    _check_indices(model, "faces", model.faces, (None, 3), v)
    _check_indices(model, "faces_uv", model.faces_uv, (len(model.faces), 3), len(model.uv))
    _check_indices(model, "landmarks68", model.landmarks68, (68,), v)
    if model.quads is not None:
        _check_indices(model, "quads", model.quads, (None, 4), v)
    if model.mirror is not None:
        _check_indices(model, "mirror", model.mirror, (v,), v)
    if model.chart_faces.shape != (len(model.faces),) or model.chart_faces.dtype != np.bool_:
        raise ModelFileError(f"{model.name}: chart_faces: not a bool mask of ({len(model.faces)},)")
    for name, mask in model.regions.items():
        if mask.shape != (v,) or mask.dtype != np.bool_:
            raise ModelFileError(f"{model.name}: regions[{name!r}]: not a bool mask of ({v},)")
    for name, weight in model.weights.items():
        _check_floats(model, f"weights[{name!r}]", weight, (v,))
        if weight.min() < 0 or weight.max() > 1:
            raise ModelFileError(f"{model.name}: weights[{name!r}]: not all within [0, 1]")


def _check_albedo(model: FaceModel) -> None:
    v = len(model.mean)
    if model.albedo_mean is not None:
        _check_floats(model, "albedo_mean", model.albedo_mean, (v, 3))
    if model.albedo is not None:
        if model.albedo_mean is None:
            raise ModelFileError(f"{model.name}: albedo_mean: absent, though there are modes")
        _check_floats(model, "albedo", model.albedo, (model.n_albedo, v, 3))
    elif model.albedo_names:
        raise ModelFileError(f"{model.name}: albedo: absent, though modes are named")
    if model.albedo_encoding not in ("srgb", "linear"):
        raise ModelFileError(f"{model.name}: albedo_encoding: {model.albedo_encoding!r}")


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
