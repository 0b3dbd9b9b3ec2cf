"""Folders as FaceScape TU has them, for programs that read that dataset.

    <out>/models_reg/<subject>_<expression>.obj   with .mtl and .jpg beside it
    <out>/dpmap/<subject>_<expression>.png        16 bits, (value - 32768) * 0.914 / 32768 mm
    <out>/facekit.json                            what differs from FaceScape

The displacement is FaceScape's, not the one of `maps.npz`: the scan less the smoothed scan, see
`bake/displacement.py`. The topology, its chart and the millimetre are facekit's.
"""

from collections.abc import Sequence
from pathlib import Path

from ...core.arrays import AnyFloats
from ...core.errors import InputError
from ...core.files import read_json, write_bytes, write_json
from ...core.geometry.mesh import Mesh
from ..displacementcode import FACESCAPE_STEP_MM, OFFSET, coded_displacement
from .encoding import png
from .meshes import Textures, write_obj

ABOUT = "facekit.json"


def write_facescape(
    out: Path, subject: str, expression: str, mesh: Mesh, textures: Textures, relief: AnyFloats
) -> int:
    """Write one take; return how many texels of the displacement 16 bits cannot hold.

    Parameters
    ----------
    mesh : Mesh
        M1 in the head frame, with UVs.
    relief : (n, n), mm
        The displacement in FaceScape's sense.
    """
    name = f"{subject}_{expression}"
    write_obj(out / "models_reg" / f"{name}.obj", mesh, textures, texture_suffix=".jpg")
    coded = coded_displacement(relief, step_mm=FACESCAPE_STEP_MM)
    write_bytes(out / "dpmap" / f"{name}.png", png(coded.values))
    return coded.n_clipped


def write_about(out: Path, models: Sequence[str], *, smooth_mm: float) -> None:
    """Write what a reader of the folder has to know; it keeps one topology.

    Parameters
    ----------
    smooth_mm : float
        Sigma of the Gaussian that makes the smoothed scan.

    Raises
    ------
    InputError
        The folder was written with another face model.
    """
    path = out / ABOUT
    known = read_json(path).get("models", []) if path.is_file() else []
    together = sorted({*known, *models})
    if len(together) > 1:
        raise InputError(
            f"{out}: has meshes of the model {together[0]} and of {together[1]}, but a folder "
            "keeps one topology; give another folder"
        )
    write_json(
        path,
        {
            "models": together,
            "unit": "mm",
            "frame": "head: +x to the subject's left, +y up, +z out of the face",
            "displacement": "the scan less the smoothed scan, along the smoothed scan's normal, "
            "+ outward",
            "displacement_smooth_mm": smooth_mm,
            "displacement_scale_mm": FACESCAPE_STEP_MM,
            "displacement_offset": OFFSET,
        },
    )
