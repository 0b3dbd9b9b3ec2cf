"""The face as several views know it so far: laid anew after each level, doubtful views left out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.arrays import Floats, Floats32
from ...core.facemodel.model import FaceModel
from ..fit_model import FitModel
from .coarse import CoarseHead
from .coarse_state import head_vertices
from .consistency import ConsistencyWeights, ViewMaps, consistency_terms
from .correlation import agreement_of_views
from .estimates import depth_by_view, offset_of_views
from .faceview import FaceViews
from .refit import refit_coefficients
from .sampling import Pictures, ViewSampler
from .surface import face_region, measured_vertices, moved, with_map
from .sweep import SweepLevel, SweepTerms, steps_of, swept
from .texels import TexelGrid, texel_grid

_OTHER_FACE = 0.5  # of the others' usual agreement, below which a picture shows something else
_LEAST_AGREEMENT = 0.35  # a view that agrees so well is never doubted
_TOLERABLE_VIEWS = 3  # below which no view can be told from the others
_OWN_MM, _OWN_STEP_MM, _OWN_WINDOW = 1.0, 0.2, 9
"""How each view's own depth is looked for."""
_LEAST_OFF_MM = 0.15  # by which a view's depths must be off, to be doubted
_FAR_OFF = 2.5  # and so many times what is usual among the others
_LEAST_WEIGHT = 0.05
_LOSSES = ConsistencyWeights(agreement=0.0)
"""Those that need nothing but the pictures."""


class Surfaces:
    """One surface, and one a view where their expressions differ.

    Parameters
    ----------
    head : CoarseHead
        Of the same views and model.
    """

    def __init__(
        self,
        views: FaceViews,
        model: FaceModel,
        laid_out: FitModel,
        head: CoarseHead,
        consistency: ConsistencyWeights,
        *,
        device: str = "cpu",
    ) -> None:
        self.model, self.laid_out, self.head = model, laid_out, head
        self.consistency, self.device = consistency, device
        self.region = face_region(model)
        self.pictures = Pictures(views.views, device=device)
        self.weight, self.remarks = head.weight.copy(), dict(head.remarks)
        n = laid_out.n_identity
        rows = [head.coefficients]
        if head.expressions is not None:
            rows += [np.concatenate([head.coefficients[:n], own]) for own in head.expressions]
        self.coefficients = np.stack(rows)
        self.vertices = np.stack([head_vertices(laid_out, row) for row in rows])
        """(1, V, 3) mm; or (1 + J, V, 3): the face of the mean expression, then the views'."""
        self._sampler: ViewSampler | None = None  # of vertices and weights as they are
        self.measured = np.zeros(model.n_vertices)
        """(V,) in [0, 1] how far a vertex was measured."""

    @property
    def seen(self) -> Floats:
        """(E, V, 3) the surfaces that the views show."""
        return self.vertices if len(self.vertices) == 1 else self.vertices[1:]

    def grid(self, size: int) -> TexelGrid:
        """Return the texels of the surfaces as they are."""
        return texel_grid(self.model, self.seen, self.region, size)

    def sampler(self, size: int) -> ViewSampler:
        """Return the views at the texels of the surfaces as they are; the last is kept.

        What each view sees is found by rays, the costly part.
        """
        if self._sampler is None or self._sampler.grid.size != size:
            self._sampler = ViewSampler(
                self.grid(size), self.pictures, self.head.cameras, self.seen, self.weight
            )
        return self._sampler

    def terms(self, window: int) -> SweepTerms:
        """Return the terms that score a depth."""
        return SweepTerms(ncc=self.consistency.ncc, photo=self.consistency.photo, window=window)

    def lay(self, level: SweepLevel) -> None:
        """Move the surfaces to where the views agree; without patches nothing tells where."""
        if not self.consistency.ncc:
            return
        sampler = self.sampler(level.size)
        start = torch.zeros(sampler.grid.inside.shape, device=self.device)
        terms = SweepTerms(ncc=self.consistency.ncc, photo=0.0, window=level.window)
        found = swept(sampler, start, level, terms)
        for _ in range(len(self.weight) - _TOLERABLE_VIEWS):
            if not self.doubt(sampler, found.depth):
                break
            sampler = self.sampler(level.size)
            found = swept(sampler, start, level, terms)
        depth, seen = found.depth.cpu().numpy(), sampler.seen.cpu().numpy()
        self.vertices = np.stack([moved(sampler.grid, v, depth, seen) for v in self.vertices])
        self._sampler = None
        share = sampler.seen_twice.float().cpu().numpy()
        self.measured = measured_vertices(sampler.grid, share)

    def losses(self, size: int) -> dict[str, float]:
        """Return what the consistency losses say of the surfaces, by name; less is better."""
        sampler = self.sampler(size)
        maps = ViewMaps(weight=sampler.weight, textures=sampler.sample(0.0))
        return {name: float(loss) for name, loss in consistency_terms(maps, _LOSSES).items()}

    def doubt(self, sampler: ViewSampler, depth: Tensor) -> bool:
        """Take weight from the view that differs most from the others, if it differs by much."""
        used = np.flatnonzero(self.weight > 0)
        if len(used) < _TOLERABLE_VIEWS:
            return False
        agreement = agreement_of_views(sampler.sample(depth), sampler.weight).cpu().numpy()[used]
        if not np.isfinite(agreement).any():  # no texture, or nothing that two views show
            return False
        usual, worst = float(np.nanmedian(agreement)), int(np.nanargmin(agreement))
        if agreement[worst] < min(_LEAST_AGREEMENT, _OTHER_FACE * usual):
            return self._distrust(
                int(used[worst]), 0.0,
                f"its picture agrees with the others' to {agreement[worst]:.2f} where {usual:.2f} "
                "is usual: another person, another moment, or something before the face; not used",
            )  # fmt: skip
        return bool(self.consistency.agreement) and self._doubt_depth(sampler, depth, used)

    def _doubt_depth(self, sampler: ViewSampler, depth: Tensor, used: NDArray[np.intp]) -> bool:
        """Likewise by the depth that each view sees against the others, (a)."""
        estimates = depth_by_view(sampler, depth, steps_of(_OWN_MM, _OWN_STEP_MM), _OWN_WINDOW)
        off = offset_of_views(estimates, depth).cpu().numpy()[used]
        if np.isfinite(off).sum() < _TOLERABLE_VIEWS:
            return False
        worst = int(np.nanargmax(off))
        usual = float(np.nanmedian(np.delete(off, worst)))
        if not off[worst] > max(_LEAST_OFF_MM, _FAR_OFF * usual):
            return False
        by = (max(usual, _LEAST_OFF_MM / _FAR_OFF) / off[worst]) ** 2
        return self._distrust(
            int(used[worst]), float(self.weight[used[worst]] * by),
            f"its depths are off by {off[worst]:.2f} mm from what the others agree on, where "
            f"{usual:.2f} mm is usual: has its camera moved since the calibration?",
        )  # fmt: skip

    def _distrust(self, view: int, weight: float, why: str) -> bool:
        self._sampler = None
        self.weight[view] = weight if weight > _LEAST_WEIGHT else 0.0
        self.remarks[self.pictures.views[view].name] = why
        return True

    def split(self, size: int) -> tuple[Floats, Floats32]:
        """Let the coefficients follow what was measured; return coarse (V, 3) and the map.

        The deformation map (size, size, 3), mm, leads from the coarse surface to the measured
        one, which becomes what the map can carry.
        """
        self.coefficients[0] = refit_coefficients(
            self.laid_out, self.vertices[0], self.measured, self.coefficients[0]
        )
        coarse = head_vertices(self.laid_out, self.coefficients[0])
        mid, deformation = with_map(self.model, coarse, self.vertices[0], size)
        self.vertices = self.vertices + (mid - self.vertices[0])
        self._sampler = None
        return coarse, deformation
