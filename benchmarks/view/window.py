"""Puts what is shown onto a viser server: surfaces, cameras, photographs, and the controls."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from ...core.arrays import Bytes, Floats
from ...core.errors import FacekitError
from ...core.geometry.camera import Camera
from ...core.geometry.mesh import vertex_normals
from ...core.imaging.color import linear_from_srgb
from ..session_images import thumbnail
from .contents import Contents
from .scene import PHOTOGRAPHS, Layer, Shown, light_layer

MAX_FACES = 300_000
"""Triangles of a surface by default: about 6 MB to the browser."""
_UNITS_PER_MM = 0.01  # of the browser's scene, whose camera sees 0.01 to 1000 units far
_PHOTO_PX = 480  # longer side of a photograph as shown
_FRUSTUM_MM = 60.0
_CLAY = "clay"
_LEGEND = 256  # px of a scale of colours


class Window:
    """What a browser sees of some contents, and the controls that change it."""

    def __init__(self, server: Any, contents: Contents, *, max_faces: int = MAX_FACES) -> None:
        self._server, self._contents, self._max_faces = server, contents, max_faces
        self._lock = threading.RLock()  # the controls' calls come from viser's threads
        self._own: list[Any] = []  # nodes and controls of what is shown now
        self.shown = Shown()
        server.scene.set_up_direction("+y")
        server.scene.world_axes.visible = False
        server.gui.add_markdown(f"**{_plain(contents.title)}** ({contents.kind})")
        self._choice = server.gui.add_dropdown(
            "show", contents.choices, initial_value=contents.choices[0],
            visible=len(contents.choices) > 1,
        )  # fmt: skip
        self._choice.on_update(lambda _: self.choose(self._choice.value))
        self.choose(contents.choices[0], first=True)

    def choose(self, name: str, *, first: bool = False) -> None:
        """Show another take or prediction; one that cannot be read is told in its place.

        Raises
        ------
        FacekitError
            The first cannot be read: there is nothing to show at all.
        """
        with self._lock:
            try:
                shown = self._contents.show(name)
            except FacekitError as error:
                if first:
                    raise
                shown = Shown(remarks=(str(error),))
            layers = tuple(light_layer(layer, self._max_faces) for layer in shown.layers)
            self.shown = replace(shown, layers=layers)
            for one in self._own:
                one.remove()
            self._own = []
            self._look()
            self._controls()

    def _controls(self) -> None:
        """Add a switch for each layer, for the cameras, and the choice of colours."""
        gui, names = self._server.gui, (*self.shown.coloring_names, _CLAY)
        if self.shown.layers:
            color = gui.add_dropdown("colour", names, initial_value=names[0])
            legend = gui.add_image(_legend(self.shown, names[0]), label=_ends(self.shown, names[0]))
            self._own += [color, legend]
            nodes: dict[str, Any] = {}
            for layer in self.shown.layers:
                self._switch(layer.name, layer.visible, self._surface(layer, names[0], nodes))
            legend.visible = bool(_ends(self.shown, names[0]))
            color.on_update(lambda _: self._recolor(color.value, nodes, legend))
        frusta = [self._frustum(camera) for camera in self.shown.cameras]
        frusta += self._loose()
        if frusta:
            self._switch("cameras", True, _visibility(frusta))
        for remark in self.shown.remarks:
            self._own.append(gui.add_markdown(_plain(remark)))

    def _switch(self, label: str, value: bool, show: Callable[[bool], None]) -> None:
        box = self._server.gui.add_checkbox(label, value)
        box.on_update(lambda _: show(bool(box.value)))
        self._own.append(box)

    def _surface(
        self, layer: Layer, coloring: str, nodes: dict[str, Any]
    ) -> Callable[[bool], None]:
        node = self._add_surface(layer, coloring, visible=layer.visible)
        nodes[layer.name] = node

        def show(visible: bool) -> None:
            nodes[layer.name].visible = visible

        return show

    def _add_surface(self, layer: Layer, coloring: str, *, visible: bool) -> Any:
        node = self._server.scene.add_mesh_trimesh(
            f"/surfaces/{_plain(layer.name)}", _surface(layer, coloring), visible=visible,
            cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        self._own.append(node)
        return node

    def _recolor(self, coloring: str, nodes: dict[str, Any], legend: Any) -> None:
        with self._lock:
            for layer in self.shown.layers:
                old = nodes[layer.name]
                visible = bool(old.visible)
                self._own.remove(old)
                old.remove()
                nodes[layer.name] = self._add_surface(layer, coloring, visible=visible)
            legend.image = _legend(self.shown, coloring)
            legend.label = _ends(self.shown, coloring)
            legend.visible = bool(_ends(self.shown, coloring))

    def _frustum(self, camera: Camera) -> Any:
        world_from_cam = camera.cam_from_world[:, :3].T
        node = self._server.scene.add_camera_frustum(
            f"/cameras/{_plain(camera.name)}",
            fov=2 * float(np.arctan(camera.height / 2 / camera.K[1, 1])),
            aspect=camera.width / camera.height,
            scale=_UNITS_PER_MM * _FRUSTUM_MM,
            color=(40, 70, 110),
            image=_photograph(self.shown.photographs.get(camera.name), 1),
            wxyz=_quaternion(world_from_cam),
            position=_UNITS_PER_MM * camera.center,
            cast_shadow=False,
            receive_shadow=False,
        )
        self._own.append(node)
        return node

    def _loose(self) -> list[Any]:
        """Hang the photographs of cameras whose place is not known up in rows."""
        nodes = []
        n_across = max(1, round(np.sqrt(1.5 * len(self.shown.loose))))
        for i, (name, (path, orientation)) in enumerate(self.shown.loose.items()):
            image = _photograph(path, orientation)
            if image is None:
                continue
            row, column = divmod(i, n_across)
            height, width = image.shape[:2]
            node = self._server.scene.add_image(
                f"/photographs/{_plain(name)}", image, width / _PHOTO_PX, height / _PHOTO_PX,
                position=(1.08 * (column - (n_across - 1) / 2), -1.08 * row, 0.0),
                wxyz=(0.0, 1.0, 0.0, 0.0),  # viser's images have y down and are seen from -z
                cast_shadow=False, receive_shadow=False,
            )  # fmt: skip
            nodes.append(node)
        self._own += nodes
        return nodes

    def _look(self) -> None:
        """Place the browser's first look: at the surface from the front, else at all of it."""
        low, high = _extent(self.shown)
        middle, size = (low + high) / 2, float(np.linalg.norm(high - low))
        away = np.array([0.25, 0.12, 1.0])
        place = middle + 1.3 * max(size, 0.1) * away / np.linalg.norm(away)
        camera = self._server.initial_camera
        camera.position, camera.look_at = place, middle
        camera.fov = float(np.radians(45))


def _surface(layer: Layer, coloring: str) -> trimesh.Trimesh:
    """Return a layer as the browser takes it: matt, colours as linear light (glTF's rule)."""
    rgba = np.full((len(layer.mesh.vertices), 4), 255, np.uint8)
    rgba[:, :3] = np.rint(255 * linear_from_srgb(layer.colors(coloring)))
    surface = trimesh.Trimesh(
        vertices=_UNITS_PER_MM * np.asarray(layer.mesh.vertices, np.float64),
        vertex_normals=vertex_normals(layer.mesh.vertices, layer.mesh.faces),
        faces=layer.mesh.faces,
        process=False,
    )
    material = trimesh.visual.material.PBRMaterial(
        metallicFactor=0.0, roughnessFactor=0.9, doubleSided=True
    )
    surface.visual = trimesh.visual.TextureVisuals(material=material)
    surface.visual.vertex_attributes["color"] = rgba
    return surface


def _extent(shown: Shown) -> tuple[Floats, Floats]:
    """Return the lowest and highest corner of what the first look is at, in scene units."""
    visible = [layer.mesh.vertices for layer in shown.layers if layer.visible]
    points = [_UNITS_PER_MM * np.asarray(v, np.float64) for v in visible if len(v)]
    if not points and shown.cameras:
        points = [_UNITS_PER_MM * np.array([camera.center for camera in shown.cameras])]
    if not points and shown.loose:
        half = 0.55 * max(1, round(np.sqrt(1.5 * len(shown.loose))))
        points = [np.array([[-half, -2 * half, 0.0], [half, half, 0.0]])]
    every = np.concatenate(points) if points else np.array([[-1.0, -1, -1], [1, 1, 1]])
    return np.nanmin(every, axis=0), np.nanmax(every, axis=0)


def _visibility(nodes: list[Any]) -> Callable[[bool], None]:
    def show(visible: bool) -> None:
        for node in nodes:
            node.visible = visible

    return show


def _photograph(path: Path | None, orientation: int) -> Bytes | None:
    return None if path is None else thumbnail(path, orientation=orientation, max_size=_PHOTO_PX)


def _legend(shown: Shown, coloring: str) -> Bytes:
    """Return a strip of the scale of colours; grey where the colours are colours."""
    for layer in shown.layers:
        found = layer.colorings.get(coloring)
        if found is not None and found.map is not None:
            strip = found.map(np.linspace(0, 1, _LEGEND), 0.0, 1.0)
            return np.repeat(strip[None], 12, axis=0)
    return np.full((12, _LEGEND, 3), 235, np.uint8)


def _ends(shown: Shown, coloring: str) -> str:
    """Return what the ends of the scale stand for, of the first layer that has it."""
    for layer in shown.layers:
        found = layer.colorings.get(coloring)
        if found is not None and found.map is not None:
            return f"{found.low} to {found.high}"
    return ""


def _quaternion(R: Floats) -> tuple[float, float, float, float]:
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(R).as_quat()
    return float(w), float(x), float(y), float(z)


def _plain(text: str) -> str:
    """Return text that Markdown and a scene's tree take as it is: names come out of files."""
    return "".join(c if c.isalnum() or c in " .,:;()_=+-−" else " " for c in text)


__all__ = ["MAX_FACES", "PHOTOGRAPHS", "Window"]
