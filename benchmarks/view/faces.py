"""Surfaces of faces with a model's topology: registered takes with maps, and predictions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...core.arrays import AnyFloats, Bools, Bytes, Floats32
from ...core.errors import FacekitError
from ...core.facemodel.load import load_face_model
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import load_mesh
from ...core.imaging.color import srgb_from_linear
from ...core.rendering.preview import CLAY
from ...dataset.bake.mapfile import MAPS_FILE, load_maps
from ...dataset.bake.scansurface import to_head
from ...dataset.register.registered import Registered
from ...dataset.register.registeredfile import MESH_FILE, load_fit, load_registered
from ...reconstruct.detailedsurface import at_vertices, detailed_surface, on_chart
from ...reconstruct.predictionfile import RECORD_FILE as PREDICTION_RECORD
from ...reconstruct.predictionfile import load_prediction
from ...reconstruct.surfaces import FaceSurfaces
from ...reconstruct.views.result import MultiViewPrediction
from ...reconstruct.views.resultfile import RECORD_FILE as MULTIVIEW_RECORD
from ...reconstruct.views.resultfile import load_multiview
from .scene import PHOTOGRAPHS, Coloring, Layer, Shown, length_coloring, scalar_coloring

__all__ = ["MULTIVIEW_RECORD", "PREDICTION_RECORD", "prediction_shown", "registered_layers"]

REGISTERED = "registered (M1)"
COARSE = "morphable fit (M0)"
DETAILED = "M1 + displacement (M2)"


def registered_layers(folder: Path, model_name: str | None) -> tuple[list[Layer], list[str]]:
    """Return the surfaces of a registered take in the head frame, and what could not be shown.

    Without its face model only the registered mesh is there, coloured by its distance to the
    scan; with it also the morphable fit and, where maps are baked, the detailed surface in
    their colours.

    Parameters
    ----------
    model_name : str, optional
        What `load_face_model` reads the model by.
    """
    try:
        if model_name is None:
            raise FacekitError(f"{folder}: nothing tells its face model, M0 and maps are left out")
        registered = load_registered(folder, load_face_model(model_name))
    except FacekitError as error:
        return _without_model(folder), [str(error)]
    model, remarks = registered.model, []
    colorings = {"residual": scalar_coloring("residual", registered.residual),
                 "support": scalar_coloring("support", registered.support),
                 "offset": length_coloring(registered.offset)}  # fmt: skip
    layers = [
        _layer(REGISTERED, model, registered.shape(), colorings),
        _layer(COARSE, model, registered.coarse(), {}, visible=False),
    ]
    if (folder / MAPS_FILE).is_file():
        try:
            layers.append(_detailed_by_maps(folder, registered))
        except FacekitError as error:
            remarks.append(str(error))
    return layers, remarks


def prediction_shown(folder: Path) -> Shown:
    """Return the three surfaces of a prediction, the detailed one in view, and its cameras.

    Raises
    ------
    InputError
        The prediction cannot be read, or its face model not be found.
    """
    single = (folder / PREDICTION_RECORD).is_file()
    found: FaceSurfaces = load_prediction(folder) if single else load_multiview(folder)
    cameras = found.rig.cameras if isinstance(found, MultiViewPrediction) else ()
    remarks = found.notes if isinstance(found, MultiViewPrediction) else ()
    model = found.model
    moved = {"deformation": length_coloring(found.mid - found.coarse)}
    return Shown(
        layers=(
            _layer(COARSE, model, found.coarse, {}, visible=False),
            _layer("with deformation (M1)", model, found.mid, moved, visible=False),
            _detailed_prediction(found),
        ),
        cameras=cameras,
        remarks=tuple(remarks),
    )


def _detailed_prediction(found: FaceSurfaces) -> Layer:
    mesh = found.detailed_mesh()
    covered = on_chart(found.model, mesh)
    colorings = {
        PHOTOGRAPHS: Coloring(colors=_colors(found.texture.astype(np.float32), mesh, covered)),
        "albedo": Coloring(colors=_colors(255 * found.albedo, mesh, covered)),
        "displacement": _of_map("displacement", found.displacement, mesh, covered),
        "valid": _of_map("valid", found.valid, mesh, covered),
    }
    if isinstance(found, MultiViewPrediction):
        known = np.isfinite(found.sigma)
        sigma = np.where(known, found.sigma, np.float32(np.nan))
        colorings["sigma"] = _of_map("sigma", sigma, mesh, covered)
        colorings["n_views"] = _of_map("n_views", found.n_views.astype(np.float32), mesh, covered)
    return Layer(name=DETAILED, mesh=mesh, colorings=colorings)


def _detailed_by_maps(folder: Path, registered: Registered) -> Layer:
    maps, model = load_maps(folder), registered.model
    mesh = detailed_surface(model, registered.shape(), maps.displacement)
    covered = on_chart(model, mesh)
    unknown = np.float32(np.nan)
    colorings = {
        "displacement": _of_map(
            "displacement", np.where(maps.valid, maps.displacement, unknown), mesh, covered
        ),
        "sigma": _of_map("sigma", np.where(maps.valid, maps.sigma, unknown), mesh, covered),
        "valid": _of_map("valid", maps.valid.astype(np.float32), mesh, covered),
    }
    if len(maps.albedo):
        encoded = 255 * srgb_from_linear(np.clip(maps.albedo, 0, 1))
        colorings["albedo"] = Coloring(colors=_colors(encoded, mesh, covered))
    return Layer(name=DETAILED, mesh=mesh, colorings=colorings, visible=False)


def _without_model(folder: Path) -> list[Layer]:
    found = load_mesh(folder / MESH_FILE)
    world_from_head, residual = load_fit(folder, len(found.vertices))
    mesh = Mesh(vertices=to_head(world_from_head, found.vertices), faces=found.faces)
    colorings = {"residual": scalar_coloring("residual", residual)}
    return [Layer(name=REGISTERED, mesh=mesh, colorings=colorings)]


def _layer(
    name: str,
    model: FaceModel,
    vertices: AnyFloats,
    colorings: Mapping[str, Coloring],
    *,
    visible: bool = True,
) -> Layer:
    mesh = Mesh(vertices=np.asarray(vertices, np.float64), faces=model.faces)
    return Layer(name=name, mesh=mesh, colorings=colorings, visible=visible)


def _of_map(name: str, values: Floats32, mesh: Mesh, covered: Bools) -> Coloring:
    at = at_vertices(values, mesh, covered)
    return scalar_coloring(name, np.where(_outside(mesh, covered), np.nan, at).astype(np.float32))


def _colors(image: AnyFloats, mesh: Mesh, covered: Bools) -> Bytes:
    """Return an image's colours at the vertices; eyes, teeth and all else off the map are clay."""
    at = np.clip(np.rint(at_vertices(image, mesh, covered)), 0, 255)
    return np.where(_outside(mesh, covered)[:, None], CLAY, at).astype(np.uint8)


def _outside(mesh: Mesh, covered: Bools) -> Bools:
    outside = np.ones(len(mesh.vertices), bool)
    outside[mesh.faces[covered]] = False
    return outside
