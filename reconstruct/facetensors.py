"""`FaceTensors`: a face model as HRN needs it, in tensors: shape, normals, albedo and UV maps.

Model frame: HRN's. Axes of the head frame (x to the image's right for a frontal face, y up, z
to the camera), unit 100 mm, unposed. Its origin is the mean of all vertices for BFM, as the
released weights have it. Any other head has more or less neck and back than BFM's front, so
that the mean of *its* vertices lies elsewhere against the face: its origin is put where the
five points that crops are aligned by (eyes, nose tip, corners of the mouth) have the mean that
HRN's reference points have. HRN's camera, ten units in front of the origin, then sees such a
face where and as large as it sees BFM's, and crops are centred on it.

Maps: (B, C, S, S), row 0 at v = 1, texel centres at halves; zero outside of the chart.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.arrays import Floats, Floats32
from ..core.facemodel.bfmalbedo import AlbedoMaps
from ..core.facemodel.model import FaceModel
from ..dataset.bake.chart import covered_faces
from .align import HRN_REFERENCE5, MODEL_UNIT_MM, five_points
from .coefficients import n_coefficients
from .skinalbedo import vertex_albedo
from .sparsemap import SparseMap
from .uvmatrices import (
    canonical_uv,
    edges_from_vertices,
    texels_from_vertices,
    vertices_from_faces,
    vertices_from_texels,
)
from .vectors import unit


class FaceTensors(nn.Module):
    """A face model on a device. Holds buffers only: nothing to be learnt, nothing to be saved."""

    centre_mm: Tensor
    """(3,): model frame = (head mm - centre_mm) / 100."""
    mean: Tensor
    """(V, 3) model units, like both bases."""
    identity: Tensor
    """(n_id, V, 3) per standard deviation."""
    expression: Tensor
    """(n_exp, V, 3)."""
    expression_sigma: Tensor
    """(n_exp,)."""
    faces: Tensor
    """(F, 3) int32."""
    uv: Tensor
    """(T, 2)."""
    faces_uv: Tensor
    """(F, 3) int32."""
    vertex_uv: Tensor
    """(V, 2): of each vertex; at a seam, the first among the chart's faces."""
    landmarks: Tensor
    """(68,) int64."""
    face_vertices: Tensor
    """(V,) bool: the face proper, as far as the model names it; else all."""
    chart_vertices: Tensor
    """(V,) bool: of the chart that maps cover."""
    chart_faces: Tensor
    """(F,) bool."""
    albedo_mean: Tensor
    """(V, 3), or (S², 3) where the albedo is given as maps; display-encoded RGB."""
    albedo_modes: Tensor
    """(n_alb, V or S², 3)."""

    def __init__(
        self, model: FaceModel, *, map_size: int = 256, albedo_maps: AlbedoMaps | None = None
    ) -> None:
        super().__init__()
        self.model, self.map_size = model, map_size
        self.n_identity, self.n_expression = model.n_identity, model.n_expression
        centre = model_centre(model)
        sigma = model.identity_sigma[:, None, None]
        vertex_uv, in_chart = canonical_uv(model)
        chart_faces = np.zeros(len(model.faces), bool)
        chart_faces[covered_faces(model)] = True
        every = np.ones(model.n_vertices, bool)
        self._keep("centre_mm", centre)
        self._keep("mean", (model.mean - centre) / MODEL_UNIT_MM)
        self._keep("identity", model.identity * (sigma / MODEL_UNIT_MM))
        self._keep("expression", model.expression / MODEL_UNIT_MM)
        self._keep("expression_sigma", model.expression_sigma)
        self._keep("faces", model.faces)
        self._keep("uv", model.uv)
        self._keep("faces_uv", model.faces_uv)
        self._keep("vertex_uv", vertex_uv)
        self._keep("landmarks", model.landmarks68.astype(np.int64))
        self._keep("face_vertices", model.regions.get("face", every))
        self._keep("chart_vertices", in_chart)
        self._keep("chart_faces", chart_faces)
        self._edges = SparseMap(edges_from_vertices(model.faces, model.n_vertices))
        self._round_vertex = SparseMap(vertices_from_faces(model.faces, model.n_vertices))
        self._maps = nn.ModuleDict()
        self._set_albedo(albedo_maps)

    def _set_albedo(self, maps: AlbedoMaps | None) -> None:
        self.albedo_is_map = maps is not None
        if maps is None:
            mean, modes, self.albedo_names = vertex_albedo(self.model)
        else:
            mean, modes = maps.mean.reshape(-1, 3), maps.modes.reshape(len(maps.modes), -1, 3)
            self.albedo_names = tuple(f"albedo{i:03d}" for i in range(len(modes)))
            self.map_size = len(maps.mean)
        self.n_albedo = len(modes)
        self.n_coefficients = n_coefficients(self)
        self._keep("albedo_mean", mean)
        self._keep("albedo_modes", modes)

    def _keep(self, name: str, values: NDArray[Any]) -> None:
        """Register a buffer: floats as float32, the rest as they are."""
        kept = values.astype(np.float32) if values.dtype.kind == "f" else np.array(values)
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(kept)), persistent=False)

    @property
    def n_vertices(self) -> int:
        """Number of vertices V."""
        return self.model.n_vertices

    def five_points(self) -> Floats:
        """Return (5, 3) the mean face's alignment points, model units: `align`'s reference."""
        return reference_points(self.model)

    def shape(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Return (B, V, 3) unposed, model units, of (B, n_id) and (B, n_exp)."""
        moved = identity @ self.identity.flatten(1) + expression @ self.expression.flatten(1)
        return self.mean + moved.reshape(-1, self.n_vertices, 3)

    def vertex_normals(self, shape: Tensor) -> Tensor:
        """Return (B, V, 3) unit outward normals of `shape` (B, V, 3), of whatever frame.

        The mean of the unit normals of the faces round a vertex, each counting alike.
        """
        first, second = self._edges(shape).split(len(self.faces), dim=1)
        of_faces = unit(torch.linalg.cross(first, second))
        return unit(self._round_vertex(of_faces))

    def albedo(self, coefficients: Tensor) -> Tensor:
        """Return (B, 3, S, S) display-encoded RGB, unclamped, of (B, n_alb); S: `map_size`."""
        flat = coefficients @ self.albedo_modes.flatten(1)
        colours = self.albedo_mean + flat.reshape(len(coefficients), *self.albedo_mean.shape)
        if not self.albedo_is_map:
            return self.to_uv(colours, self.map_size)
        size = self.map_size
        return colours.transpose(1, 2).reshape(-1, 3, size, size)

    def vertex_albedo(self, coefficients: Tensor) -> Tensor:
        """Return (B, V, 3): the albedo at the vertices."""
        if self.albedo_is_map:
            return self.at_vertices(self.albedo(coefficients))
        flat = coefficients @ self.albedo_modes.flatten(1)
        return self.albedo_mean + flat.reshape(len(coefficients), *self.albedo_mean.shape)

    def to_uv(self, attribute: Tensor, size: int) -> Tensor:
        """Return the map (B, C, size, size) of a vertex attribute (B, V, C); 0 outside."""
        texels: Tensor = self._map(f"texels{size}")(attribute)
        return texels.transpose(1, 2).reshape(len(attribute), -1, size, size)

    def at_vertices(self, maps: Tensor, *, compat: bool = False) -> Tensor:
        """Sample maps (B, C, s, s) at the vertices: (B, V, C).

        Vertices off the chart follow the nearest of the chart. With `compat` as HRN samples
        its deformation map: half a texel aside, every vertex at its own UV.
        """
        size = maps.shape[-1]
        name = f"{'compat' if compat else 'vertices'}{size}"
        sampled: Tensor = self._map(name)(maps.flatten(2).transpose(1, 2))
        return sampled

    def chart_mask(self, size: int) -> Tensor:
        """Return (1, 1, size, size), 1 where the chart has a texel."""
        ones = torch.ones(1, self.n_vertices, 1, dtype=self.mean.dtype, device=self.mean.device)
        return (self.to_uv(ones, size) > 0.5).to(ones.dtype)

    def head_mm(self, points: Tensor) -> Tensor:
        """Return unposed `points` (..., 3) in the head frame, mm."""
        return points * MODEL_UNIT_MM + self.centre_mm

    def _map(self, name: str) -> nn.Module:
        """Return a sparse map, made when it is first asked for."""
        if name not in self._maps:
            kind, size = name.rstrip("0123456789"), int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
            matrix = (
                texels_from_vertices(self.model, size)
                if kind == "texels"
                else vertices_from_texels(self.model, size, compat=kind == "compat")
            )
            with torch.inference_mode(mode=False):  # it is kept, and may be learnt through later
                self._maps[name] = SparseMap(matrix).to(self.mean.device)
        return self._maps[name]


def face_tensors(
    model: FaceModel,
    *,
    map_size: int = 256,
    albedo_maps: AlbedoMaps | None = None,
    device: str = "cpu",
) -> FaceTensors:
    """Put a face model on a device.

    Parameters
    ----------
    map_size : int
        Texels a side of the albedo map.
    albedo_maps : AlbedoMaps, optional
        BFM's albedo in HRN's chart, in place of the model's own; its size then holds.
    """
    return FaceTensors(model, map_size=map_size, albedo_maps=albedo_maps).to(device)


def model_centre(model: FaceModel) -> Floats:
    """Return the origin (3,) of the model frame in the head frame, mm."""
    if model.name == "bfm":
        return np.asarray(model.mean.mean(axis=0))
    mean = five_points(model.mean[model.landmarks68]).mean(axis=0)
    return np.asarray(mean - MODEL_UNIT_MM * HRN_REFERENCE5.mean(axis=0))


def reference_points(model: FaceModel) -> Floats:
    """Return (5, 3) the mean face's alignment points, model units: `align`'s reference."""
    return five_points((model.mean[model.landmarks68] - model_centre(model)) / MODEL_UNIT_MM)


def as_array(values: Tensor) -> Floats32:
    """Return a tensor of any device as float32, without its graph."""
    return np.asarray(values.detach().to("cpu", torch.float32).numpy())
