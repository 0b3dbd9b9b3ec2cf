"""Depth by pyrender itself, as the official evaluator has it: for the figures of this machine.

Depth of the lab depends on the graphics driver. Our own is that of Mesa's software rasterizer,
number by number; whoever wants to compare with figures of another driver renders by it here.
"""

import os
from functools import lru_cache
from typing import Any

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.errors import MissingDependencyError
from .depth import LAB_PLANES, ORTHO_PLANES, SIZE, undo_perspective_decoding

_HINT = (
    "pip install pyrender and PyOpenGL>=3.1.7 (pyrender pins 3.1.0, which fails without a "
    "screen), or leave strict_gl out"
)


def pyrender_orthographic(vertices: AnyFloats, faces: Ints, *, pupil_scale: float) -> Floats32:
    """Return what `depth.orthographic_depth` does, rendered by pyrender.

    Raises
    ------
    MissingDependencyError
        pyrender or OpenGL is absent.
    """
    pyrender = _pyrender()
    near, far = ORTHO_PLANES
    camera = pyrender.OrthographicCamera(xmag=pupil_scale, ymag=pupil_scale, znear=near, zfar=far)
    depth = _rendered(pyrender, camera, np.eye(4), vertices, faces)
    return undo_perspective_decoding(depth, pupil_scale=pupil_scale)


def pyrender_perspective(vertices: AnyFloats, faces: Ints, *, K: Floats) -> Floats32:
    """Return what `depth.perspective_depth` does, rendered by pyrender.

    Raises
    ------
    MissingDependencyError
        pyrender or OpenGL is absent.
    """
    pyrender = _pyrender()
    near, far = LAB_PLANES
    camera = pyrender.IntrinsicsCamera(K[0, 0], K[1, 1], K[0, 2], K[1, 2], znear=near, zfar=far)
    return _rendered(pyrender, camera, np.diag([1.0, -1.0, -1.0, 1.0]), vertices, faces)


@lru_cache(maxsize=1)
def _pyrender() -> Any:
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")  # without a screen
    try:
        import pyrender  # type: ignore[import-not-found]
    except Exception as error:  # PyOpenGL raises whatever its platform meets
        raise MissingDependencyError(
            f"strict_gl=true renders by pyrender, which cannot be loaded ({error}); {_HINT}"
        ) from error
    if not hasattr(np, "infty"):  # NumPy 2 dropped the name, which pyrender 0.1.45 still uses
        setattr(np, "infty", np.inf)  # noqa: B010 - numpy's stubs do not have it
    return pyrender


def _rendered(
    pyrender: Any, camera: Any, pose: Floats, vertices: AnyFloats, faces: Ints
) -> Floats32:
    import trimesh

    scene = pyrender.Scene()
    mesh = trimesh.Trimesh(vertices=vertices, faces=faces, process=False)
    scene.add(pyrender.Mesh.from_trimesh(mesh))
    scene.add(camera, pose=pose)
    try:
        renderer = pyrender.OffscreenRenderer(viewport_width=SIZE, viewport_height=SIZE)
    except Exception as error:  # no driver, no context
        raise MissingDependencyError(
            f"strict_gl=true: OpenGL cannot be started ({error}); {_HINT}"
        ) from error
    try:
        _, depth = renderer.render(scene)  # with colour, as officially: four samples a pixel
    finally:
        renderer.delete()
    return np.array(depth, np.float32)
