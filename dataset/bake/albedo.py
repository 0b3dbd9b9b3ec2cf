"""`bake_albedo`: a face model's albedo texture from the photographs of a registered surface.

Every photograph is looked at twice: first at a small size of the texture, where gains, the
views' consensus, their smooth differences to it, and the light are found; then at full size,
one photograph after the other, where sharp colours are added up with those corrections. Memory
holds one texture of sums, and for each view a small one.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...capture.color import ColorCalibration, ColorCorrection
from ...core.arrays import AnyFloats, Bools, Bytes, Floats, Floats32
from ...core.errors import EstimationError, InputError
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import edges_of, vertex_normals
from ...core.imaging.color import linear_from_srgb, srgb_from_linear
from ..stereo.views import View
from .albedo_kernels import Eye, Texels, add_view, divide_light, look, reduce_image
from .albedoconfig import AlbedoConfig
from .chart import Chart, by_rows, chart
from .delight import Light, convolved, estimate_light, normalised_light, transfer
from .seams import Joined, Looks, filled, gains, join
from .visibility import sight

log = logging.getLogger(__name__)

_SMALL = 512  # texels a side of the small texture
_CODES = srgb_from_linear(np.linspace(0, 1, 1 << 14))
_START_MM = 0.5  # above the surface, where rays begin
_NO_SKIN = ("brows", "lips", "scalp", "eyelids", "ears")
_LEAST_SHARE = 0.02  # of the best view of a texel; others add blur, not light


@dataclass(frozen=True, kw_only=True)
class Albedo:
    """A texture in the model's chart. Texels that no view sees: valid False, filled smoothly."""

    rgb: Floats32
    """(a, a, 3) linear; 0 outside the chart. Up to one gain a channel, unless a chart fixed it:
    then 1 is a white sheet facing the cameras."""
    lit: Floats32
    """(a, a, 3) linear: the texture before its light was divided out; `rgb` without."""
    valid: Bools
    """(a, a): a view sees the texel."""
    n_views: Bytes
    """(a, a) how many views it is blended of."""
    gains: Floats
    """(K, 3) by which each view's channels were multiplied."""
    light: Light | None
    """None where it was not divided out."""


def bake_albedo(
    vertices_world: AnyFloats, model: FaceModel, views: Sequence[View], config: AlbedoConfig, *,
    size: int, displacement: Floats32 | None = None, normals: Floats32 | None = None,
    colors: ColorCalibration | None = None,
) -> Albedo:  # fmt: skip
    """Bake the albedo of a registered surface.

    Parameters
    ----------
    vertices_world : (V, 3)
        The model's vertices on the subject, the rig's world frame and unit.
    views
        Undistorted photographs of the take.
    size : int
        Texels a side.
    displacement : (n, n) float32, optional
        In the world's unit, along the surface's smooth normal.
    normals : (n, n, 3) float32, optional
        Unit, world frame, of the detailed surface; their shading is divided out, too.
    colors : ColorCalibration, optional
        Of the session; cameras without a correction are taken as they are.

    Raises
    ------
    InputError
        No views, or vertices of another model.
    EstimationError
        No view sees any of the surface.
    """
    if not views:
        raise InputError("albedo: no photographs")
    if np.shape(vertices_world) != model.mean.shape:
        raise InputError(
            f"albedo: {np.shape(vertices_world)} vertices for {model.name}, which has "
            f"{model.mean.shape}"
        )
    bench = _Bench(vertices_world, model, views, config, size, displacement, colors)
    looks = bench.looks()
    if not (looks.weights > 0).any():
        raise EstimationError("albedo: no photograph shows the surface; is it in the rig's frame?")
    found = np.ones((len(views), 3))
    if config.equalise and len(views) > 1:
        found = gains(looks.colors, looks.weights)
        looks.colors[...] *= found[:, None, None].astype(np.float32)
    joined = join(
        looks, quantile=config.quantile, sharpness=config.sharpness,
        smooth_px=config.smooth_mm / bench.small_mm,
    )  # fmt: skip
    del looks
    lit, count = bench.blend(joined, found)
    rgb, light = lit, None
    if config.delight:
        light, rgb = bench.delit(lit, joined, normals)
    return Albedo(rgb=rgb, lit=lit, valid=count > 0, n_views=count, gains=found, light=light)


class _Bench:
    """What the steps share: the surface, its texels at both sizes, and the views' eyes."""

    def __init__(
        self, vertices: AnyFloats, model: FaceModel, views: Sequence[View], config: AlbedoConfig,
        size: int, displacement: Floats32 | None, colors: ColorCalibration | None,
    ) -> None:  # fmt: skip
        self.model, self.views, self.config, self.colors = model, views, config, colors
        self.vertices = np.ascontiguousarray(vertices, dtype=np.float32)
        self.normals = vertex_normals(vertices, model.faces).astype(np.float32)
        self.displacement = np.zeros((0, 0), np.float32) if displacement is None else displacement
        self.unit = _edge(self.vertices, model) / _edge(model.mean, model)
        self.small = chart(model, min(size, _SMALL))
        self.full = chart(model, size)
        side = self.small.texel_mm(self.vertices)[self.small.inside]
        self.small_mm = float(np.median(side)) / self.unit
        self.full_mm = self.small_mm * self.small.size / size
        self.eyes: list[Eye] = []

    def looks(self) -> Looks:
        """Return what each view shows at the small size."""
        n, m = len(self.views), self.small.size
        weights, fine, sharp = np.zeros((3, n, m, m), np.float32)
        looks = Looks(
            colors=np.zeros((n, m, m, 3), np.float32), weights=weights, fine=fine, sharp=sharp
        )
        for k, view in enumerate(self.views):
            self._look(view, looks, k)
        return looks

    def blend(self, joined: Joined, found: Floats) -> tuple[Floats32, Bytes]:
        """Return the sharp lit texture (a, a, 3), and of how many views (a, a) it is made."""
        n = self.full.size
        total = np.zeros((n, n, 3), np.float32)
        weight = np.zeros((n, n), np.float32)
        count = np.zeros((n, n), np.uint8)
        for k, view in enumerate(self.views):
            eye = self._sharp(view, self.eyes[k], found[k])
            self._add(eye, joined.shares[k], joined.offsets[k], total, weight, count)
        total /= np.maximum(weight, 1e-12)[..., None]
        np.maximum(total, 0, out=total)
        self._fill(total, count)
        return total, count

    def delit(
        self, lit: Floats32, joined: Joined, normals: Floats32 | None
    ) -> tuple[Light, Floats32]:
        """Return the light and the texture (a, a, 3) without it."""
        config, model = self.config, self.model
        received = transfer(
            self.vertices, self.normals, model.faces, n_rays=config.n_rays,
            offset=_START_MM * self.unit,
        )  # fmt: skip
        inside = self.small.inside & (joined.known > 0)
        skin = self.small.interpolated(_skin(model))[inside]
        at = self.small.interpolated(received)[inside]
        trust = np.minimum(joined.known[inside], 1.0) * skin
        trust *= self.small.texel_mm(self.vertices)[inside] ** 2
        light = estimate_light(joined.consensus[inside], at, trust, stiffness=config.stiffness)
        towards = np.mean(
            [_unit(v.camera.center - self.vertices.mean(axis=0)) for v in self.views], 0
        )
        level, coefficients = normalised_light(
            light, received, _unit(towards), darkest=1 / config.most_brightened
        )
        out = lit.copy()
        fine = np.zeros((0, 0, 3), np.float32) if normals is None else normals
        texels = self._texels(self.full)
        by_rows(
            lambda a, b: divide_light(
                a, b, texels, level, fine, convolved(coefficients), config.softness, 1.5,
                1 / config.most_brightened, out,
            ),
            self.full.size,
        )  # fmt: skip
        return light, out

    def _look(self, view: View, looks: Looks, k: int) -> None:
        """Fill what view `k` shows at the small size, and remember its eye."""
        factor = self._factor(view, self.small_mm)
        image, exposed, detail = _reduced(view.color, factor, self.config)
        seen = sight(
            view, self.vertices, self.model.faces, factor=factor, unit=self.unit,
            feather=self.config.feather_mm,
        )  # fmt: skip
        eye, texels = self._eye(view, image, factor, seen.depth), self._texels(self.small)
        by_rows(
            lambda a, b: look(
                a, b, texels, eye, seen.trust, exposed, detail, self.config.least_cosine,
                looks.colors[k], looks.weights[k], looks.fine[k], looks.sharp[k],
            ),
            self.small.size,
        )  # fmt: skip
        self.eyes.append(eye)

    def _add(
        self, eye: Eye, share: Floats32, offset: Floats32, total: Floats32, weight: Floats32,
        count: Bytes,
    ) -> None:  # fmt: skip
        """Add a view's sharp colours."""
        texels, config = self._texels(self.full), self.config
        by_rows(
            lambda a, b: add_view(
                a, b, texels, eye, share, offset, config.brightest_code, config.least_cosine,
                _LEAST_SHARE, total, weight, count,
            ),
            len(weight),
        )  # fmt: skip

    def _sharp(self, view: View, rough: Eye, gain: Floats) -> Eye:
        """Return the eye of the photograph as fine as the full texture can use it."""
        factor = self._factor(view, self.full_mm)
        image = view.color if factor == 1 else _reduced(view.color, factor, self.config)[0]
        return rough._replace(image=image, scale=float(factor), matrix=gain[:, None] * rough.matrix)

    def _fill(self, texture: Floats32, count: Bytes) -> None:
        """Fill texels inside the chart that no view shows, smoothly."""
        n = self.full.size
        step = max(1, n // self.small.size)
        hole = self.full.inside & (count == 0)
        if not hole.any() or not count.any():
            return
        known = (count[step // 2 :: step, step // 2 :: step] > 0).astype(np.float32)
        rough = filled(texture[step // 2 :: step, step // 2 :: step], known)
        row, col = np.nonzero(hole)
        last = len(rough) - 1
        texture[row, col] = rough[np.minimum(row // step, last), np.minimum(col // step, last)]

    def _factor(self, view: View, texel_mm: float) -> int:
        """By how much a photograph's pixels are finer than texels."""
        distance = float(np.linalg.norm(view.camera.center - self.vertices.mean(axis=0)))
        pixel_mm = distance / view.camera.K[0, 0] / self.unit
        return max(1, int(texel_mm / pixel_mm + 0.2))

    def _texels(self, of: Chart) -> Texels:
        return Texels(
            face=of.face, weights=of.weights, faces=self.model.faces, vertices=self.vertices,
            normals=self.normals, displacement=self.displacement,
        )  # fmt: skip

    def _eye(self, view: View, image: Bytes, scale: int, depth: Floats32) -> Eye:
        correction = _correction(self.colors, view.camera.name)
        matrix = correction.exposure * np.array(correction.matrix)
        return Eye(
            image=image, scale=float(scale), P=view.camera.P, center=view.camera.center,
            depth=depth, depth_scale=float(scale), bias=self.config.bias_mm * self.unit,
            focal=float(view.camera.K[0, 0]), table=_table(),
            black=np.array(correction.black), matrix=matrix,
            falloff=np.array([correction.vignette.k1, correction.vignette.k2]),
        )  # fmt: skip


def _reduced(image: Bytes, factor: int, config: AlbedoConfig) -> tuple[Bytes, Floats32, Floats32]:
    """Return the image at 1 / `factor`, its share of well exposed pixels, and its detail."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    color = np.zeros((height, width, 3), np.uint8)
    exposed, detail = np.zeros((2, height, width), np.float32)
    codes = np.rint(_CODES * 255).astype(np.uint8)
    by_rows(
        lambda a, b: reduce_image(
            a, b, image, factor, (_table(), codes), config.darkest_code, config.brightest_code,
            color, exposed, detail,
        ),
        height,
    )  # fmt: skip
    return color, exposed, detail


def _correction(colors: ColorCalibration | None, camera: str) -> ColorCorrection:
    none = ColorCorrection(camera=camera, matrix=((1, 0, 0), (0, 1, 0), (0, 0, 1)), exposure=1.0)
    return none if colors is None else colors.corrections.get(camera, none)


def _table() -> Floats32:
    return linear_from_srgb(np.arange(256, dtype=np.uint8))


def _skin(model: FaceModel) -> Floats:
    """Return (V,) how surely a vertex is plain skin, as far as the model says."""
    skin = np.array(model.weights.get("face", np.ones(model.n_vertices)), dtype=np.float64)
    for name in _NO_SKIN:
        if name in model.weights:
            skin = skin * (1 - model.weights[name])
    return np.asarray(skin)


def _edge(vertices: AnyFloats, model: FaceModel) -> float:
    edges = edges_of(model.faces)
    return float(np.median(np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))
