"""A prediction as files for other programs: OBJ, GLB, 16-bit PNG.

    coarse.obj                     M0
    mid.obj, .mtl, .jpg; mid.glb   M1 with texture; in the GLB its normal map, too
    detail.obj, .mtl, .jpg, .glb   M1 + displacement, dense, with UVs and texture
    displacement.png, .json        16 bits, mm by the JSON
    normal.png, tangent_normal.png 16 bits
    valid.png                      where the displacement rests on the photograph
    albedo.png                     sRGB

All meshes are in the head frame; OBJ is millimetres, GLB shows metres.
"""

from dataclasses import replace
from pathlib import Path

from ..core.files import write_bytes, write_json
from ..core.imaging.color import as_bytes
from ..dataset.displacementcode import OFFSET, STEP_MM, coded_displacement
from ..dataset.export.encoding import coded_normals, png, tangent_bytes
from ..dataset.export.meshes import Textures, write_glb, write_obj
from .detailedsurface import on_chart
from .prediction import off_chart
from .surfaces import FaceSurfaces

EXPORTED = (
    "coarse.obj", "mid.obj", "mid.mtl", "mid.jpg", "mid.glb", "detail.obj", "detail.mtl",
    "detail.jpg", "detail.glb", "displacement.png", "displacement.json", "normal.png",
    "tangent_normal.png", "valid.png", "albedo.png",
)  # fmt: skip
"""All the files' names."""


def export_prediction(folder: Path, prediction: FaceSurfaces) -> list[str]:
    """Write meshes and maps of a prediction into `folder`; return the files' names, sorted."""
    written = [
        *export_meshes(folder, prediction),
        *export_maps(folder, prediction),
    ]
    return sorted(path.name for path in written)


def export_meshes(folder: Path, prediction: FaceSurfaces) -> list[Path]:
    """Write the three surfaces; return the files."""
    covered = ~off_chart(prediction.model)
    textures = Textures(color=prediction.texture, covered=covered)
    tangent = tangent_bytes(prediction.tangent_normal)
    mid, detail = prediction.mesh("mid"), prediction.detailed_mesh()
    of_detail = Textures(color=prediction.texture, covered=on_chart(prediction.model, detail))
    return [
        *write_obj(folder / "coarse.obj", prediction.mesh("coarse")),
        *write_obj(folder / "mid.obj", mid, textures, texture_suffix=".jpg"),
        write_glb(folder / "mid.glb", mid, replace(textures, tangent_normal=tangent)),
        *write_obj(folder / "detail.obj", detail, of_detail, texture_suffix=".jpg"),
        write_glb(folder / "detail.glb", detail, of_detail),
    ]


def export_maps(folder: Path, prediction: FaceSurfaces) -> list[Path]:
    """Write displacement, normals and albedo as PNG; return the files."""
    coded = coded_displacement(prediction.displacement)
    files = {
        "displacement.png": png(coded.values),
        "normal.png": png(coded_normals(prediction.normal)),
        "tangent_normal.png": png(coded_normals(prediction.tangent_normal)),
        "valid.png": png(as_bytes(prediction.valid)),
        "albedo.png": png(as_bytes(prediction.albedo)),
    }
    for name, content in files.items():
        write_bytes(folder / name, content)
    about = {
        "mm": f"(value - {OFFSET}) * {STEP_MM!r}",
        "scale_mm": STEP_MM,
        "offset": OFFSET,
        "clipped": coded.n_clipped,
        "base": "M1, the mid mesh",
        "direction": "smooth vertex normal, + outward",
        "row_0": "v = 1",
    }
    write_json(folder / "displacement.json", about)
    return [folder / name for name in (*files, "displacement.json")]
