"""Pictures of the training of the generators, for people to look at."""

import torch
from torch import Tensor
from torch.nn import functional

from ..align import MODEL_UNIT_MM
from ..hrn import Hrn, resized
from ..maprender import coloured, drawn_places
from ..pose import posed
from .detailconfig import Parts
from .detailgiven import Given
from .detailpasses import high_pass, mid_pass
from .detailrenders import at_size

_ROWS = 6
_LIGHT = (-0.48, 0.48, 0.73)  # of unit length: from above, and from the image's left
_RELIEF_MM = 0.3  # from grey to white, and to black


def panels(hrn: Hrn, given: Given, *, parts: Parts) -> dict[str, Tensor]:
    """Return `faces`, rows of photograph, M1 and M1 with relief, and `relief`, made over true."""
    own = given.rows(slice(0, _ROWS))
    mid = mid_pass(hrn, own, deformed=parts.deformation)
    high = high_pass(hrn, own, mid)
    displacement = high.displacement * float(parts.displacement)
    points = posed(mid.mid, mid.found.angles, mid.found.translation)
    places = drawn_places(hrn.face, points, hrn.camera, rasterizer=hrn.rasterizer)
    towards = torch.tensor(_LIGHT, device=points.device)[:, None, None]
    shown = []
    for normals in (
        hrn.smooth_normals(high.texels),
        hrn.bent_normals(high.texels, displacement),
    ):
        colours = (normals * towards).sum(dim=1, keepdim=True).clamp(min=0).expand(-1, 3, -1, -1)
        shown.append(coloured(hrn.face, colours, places, rasterizer=hrn.rasterizer).image)
    photo = at_size(own.fine, hrn.camera.size)
    size = hrn.camera.size
    maps = [
        resized((0.5 + 0.5 * d * (MODEL_UNIT_MM / _RELIEF_MM)).clamp(0, 1), size).expand(
            -1, 3, -1, -1
        )
        for d in (displacement, own.relief * high.valid)
    ]
    return {"faces": _sheet([photo, *shown]), "relief": _sheet(maps)}


def _sheet(rows: list[Tensor]) -> Tensor:
    """Return one picture (3, H, W) of rows of pictures (B, 3, h, w)."""
    lines = [functional.pad(row.clamp(0, 1), (1, 1, 1, 1)) for row in rows]
    return torch.cat([line.permute(1, 2, 0, 3).flatten(2) for line in lines], dim=1)
