"""How true a found displacement map is: against the true surface, from the same found surface.

What the map should hold is how far the true surface lies from the found middle surface, along
its normals: the true surface is brought to where the found one is (`face_distance`), and its
displacement baked as a scan's would be. Shape that is wrong over centimetres is no matter of
detail: maps are compared at wavelengths of 2 to 8 mm.
"""

from dataclasses import dataclass

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats32
from ..core.errors import EstimationError
from ..core.facemodel.model import FaceModel
from ..core.geometry.mesh import Mesh
from ..core.geometry.transform import Similarity
from ..dataset.bake.chart import chart
from ..dataset.bake.config import BakeConfig
from ..dataset.bake.curved import sagitta
from ..dataset.bake.displacement import Measured, measure
from ..dataset.bake.scansurface import ScanSurface
from ..dataset.register.registered import Registered, Scan
from .dataset_bench_band import LARGEST, BandAgreement, band_agreement
from .dataset_bench_maps import face_texels

_KNOWN = 0.5  # of a texel's validity
_IDENTITY = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


@dataclass(frozen=True, kw_only=True)
class DetailError:
    """A found displacement map beside the true one."""

    true: Floats32
    """(n, n) mm, along the found surface's normals."""
    true_valid: Bools
    """(n, n)."""
    texel_mm: Floats32
    """(n, n): side of a texel on the found surface."""
    on_face: Bools
    """(n, n): texels of the region that is scored."""
    known: Bools
    """(n, n): what the method vouches for."""
    band: BandAgreement | None
    """Where both are known; None where that is too little."""
    band_of_face: BandAgreement | None
    """Over all of the face, whatever the method vouches for."""

    @property
    def valid_percent(self) -> float:
        """Share of the region that the method vouches for."""
        return 100 * float(self.known[self.on_face].mean())

    @property
    def compared_percent(self) -> float:
        """Share that `band` compares: known, with all about it that the longest waves need."""
        n = 0 if self.band is None else self.band.n_texels
        return 100 * n * self.band_step**2 / max(int(self.on_face.sum()), 1)

    @property
    def band_step(self) -> int:
        """Texels a side that `band` averages first."""
        return -(-len(self.true) // LARGEST)


def detail_error(
    skin: Mesh,
    model: FaceModel,
    *,
    found_from_true: Similarity,
    mid: AnyFloats,
    displacement: Floats32,
    valid: AnyFloats,
) -> DetailError:
    """Compare a displacement map with the truth.

    Parameters
    ----------
    skin : Mesh
        The true surface about the face.
    found_from_true : Similarity
        Where the found surface lies, as it was aligned.
    mid : (V, 3) mm
        The surface that is displaced.
    displacement, valid : (n, n)
        mm along the smooth normals of `mid`, from the curved surface through it; in [0, 1].
    """
    vertices = np.asarray(mid, np.float64)
    texels = chart(model, len(displacement))
    measured = true_displacement(skin, model, found_from_true=found_from_true, mid=vertices,
                                 size=texels.size)  # fmt: skip
    on_face = face_texels(texels, model.regions["frontal_face"])
    known = np.asarray(valid > _KNOWN)
    texel_mm = texels.texel_mm(vertices)

    def band(usable: Bools) -> BandAgreement | None:
        found = np.asarray(displacement, np.float32)
        try:
            return band_agreement(found, measured.displacement, usable=usable, texel_mm=texel_mm)
        except EstimationError:
            return None

    known_truth = on_face & measured.valid
    return DetailError(
        true=measured.displacement,
        true_valid=measured.valid,
        texel_mm=texel_mm,
        on_face=on_face,
        known=known,
        band=band(known_truth & known),
        band_of_face=band(known_truth),
    )


def true_displacement(
    skin: Mesh, model: FaceModel, *, found_from_true: Similarity, mid: AnyFloats, size: int
) -> Measured:
    """Return what displaces a middle surface (V, 3) to the true one, from its curved surface."""
    vertices = np.asarray(mid, np.float64)
    moved = Mesh(vertices=found_from_true(skin.vertices), faces=skin.faces)
    config = BakeConfig(displacement_size=size)
    surface = ScanSurface.of(Scan(mesh=moved), _resting(model), margin_mm=config.margin_mm)
    texels = chart(model, size)
    measured = measure(texels, vertices, surface, config)
    return measured._replace(displacement=measured.displacement - sagitta(texels, vertices))


def _resting(model: FaceModel) -> Registered:
    """Return a registration of which only the frame counts: the scan lies in it already."""
    n = model.n_vertices
    return Registered(
        model=model,
        world_from_head=_IDENTITY,
        identity=np.zeros(model.n_identity),
        expression=np.zeros(model.n_expression),
        offset=np.zeros((n, 3)),
        support=np.ones(n, np.float32),
        residual=np.zeros(n, np.float32),
    )
