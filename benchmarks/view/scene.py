"""What a view shows: surfaces with their colourings, cameras with their photographs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from ...core.arrays import AnyFloats, Bytes, Floats32
from ...core.geometry.camera import Camera
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity
from ...core.rendering.colormap import AMOUNT, SIGNED, ColorMap
from ...core.rendering.preview import CLAY
from ...core.rendering.viewer import simplified

PHOTOGRAPHS = "photographs"
"""The colouring by what the cameras saw."""
_SIGNED_NAMES = ("error", "residual", "displacement")  # attributes whose sign says something
_SCALED = 95.0  # per cent of the values that lie within a scale of colours


@dataclass(frozen=True, kw_only=True)
class Coloring:
    """A colour for every vertex, and what the colours mean."""

    colors: Bytes
    """(V, 3) uint8, sRGB."""
    map: ColorMap | None = None
    """None where the colours are colours."""
    low: str = ""
    high: str = ""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A surface that can be switched on and off."""

    name: str
    mesh: Mesh
    """In the frame of the view; +y is up."""
    colorings: Mapping[str, Coloring] = field(default_factory=dict)
    """Name -> colours; without one it is clay."""
    visible: bool = True

    def colors(self, name: str) -> Bytes:
        """Return (V, 3) the colours of that name, clay where it has none of it."""
        found = self.colorings.get(name)
        if found is not None:
            return found.colors
        return np.tile(np.array(CLAY, np.uint8), (len(self.mesh.vertices), 1))


@dataclass(frozen=True, kw_only=True)
class Shown:
    """All that is shown at one time."""

    layers: tuple[Layer, ...] = ()
    cameras: tuple[Camera, ...] = ()
    """In the frame of the view."""
    photographs: Mapping[str, Path] = field(default_factory=dict)
    """Camera -> file, as the sensor saw it."""
    loose: Mapping[str, tuple[Path, int]] = field(default_factory=dict)
    """Camera whose place is not known -> file and its EXIF orientation."""
    remarks: tuple[str, ...] = ()
    """What is missing or odd, a sentence each."""

    @property
    def coloring_names(self) -> tuple[str, ...]:
        """Names of all layers' colourings, those of visible layers first."""
        layers = sorted(self.layers, key=lambda layer: not layer.visible)
        return tuple(dict.fromkeys(name for layer in layers for name in layer.colorings))


def scalar_coloring(name: str, values: AnyFloats) -> Coloring:
    """Return the colours of a scalar per vertex; grey where it is not finite.

    What has a sign by its name (`error`, `residual`, `displacement`) stands symmetrically about
    zero; the ends of the scale leave out five per cent of the values.
    """
    known = np.asarray(values[np.isfinite(values)], np.float64)
    unit = " mm" if name.endswith("_mm") or name in _SIGNED_NAMES or name == "sigma" else ""
    if name in _SIGNED_NAMES:
        high = float(np.percentile(np.abs(known), _SCALED)) if known.size else 1.0
        high = high or 1.0
        return Coloring(
            colors=SIGNED(values, -high, high), map=SIGNED, low=f"−{high:.3g}{unit}",
            high=f"+{high:.3g}{unit}",
        )  # fmt: skip
    low, high = (float(v) for v in np.percentile(known, [0, _SCALED])) if known.size else (0, 1)
    high = high if high > low else low + 1
    return Coloring(colors=AMOUNT(values, low, high), map=AMOUNT, low=f"{low:.3g}{unit}",
                    high=f"{high:.3g}{unit}")  # fmt: skip


def mesh_colorings(mesh: Mesh) -> dict[str, Coloring]:
    """Return the mesh's own colours and those of each scalar attribute."""
    found: dict[str, Coloring] = {}
    if mesh.colors is not None:
        found[PHOTOGRAPHS] = Coloring(colors=mesh.colors)
    for name, values in mesh.attributes.items():
        if values.ndim == 1:
            found[name] = scalar_coloring(name, np.asarray(values, np.float32))
    return found


def light_layer(layer: Layer, max_faces: int) -> Layer:
    """Return the layer with at most about `max_faces` triangles, colours of the nearest vertex."""
    if len(layer.mesh.faces) <= max_faces:
        return layer
    bare = Mesh(vertices=layer.mesh.vertices, faces=layer.mesh.faces)
    fewer = simplified(bare, max_faces)
    nearest = cKDTree(layer.mesh.vertices).query(fewer.vertices)[1]
    colorings = {
        name: replace(coloring, colors=coloring.colors[nearest])
        for name, coloring in layer.colorings.items()
    }
    return replace(layer, mesh=fewer, colorings=colorings)


def moved_mesh(mesh: Mesh, view_from_mesh: Similarity | None) -> Mesh:
    """Return the mesh in the frame of the view."""
    if view_from_mesh is None:
        return mesh
    return replace(mesh, vertices=view_from_mesh(np.asarray(mesh.vertices, np.float64)))


def length_coloring(vectors: AnyFloats) -> Coloring:
    """Return the colours of the lengths of (V, 3) vectors, mm."""
    lengths: Floats32 = np.linalg.norm(vectors, axis=1).astype(np.float32)
    high = float(np.percentile(lengths, _SCALED)) or 1.0
    return Coloring(colors=AMOUNT(lengths, 0.0, high), map=AMOUNT, low="0", high=f"{high:.3g} mm")
