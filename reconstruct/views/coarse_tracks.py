"""Poses and coefficients refined by what the pictures show: tracks in the chart, then bundles.

Every round brings the pictures into the chart by the shape as it then is, finds points of one
view in the others and adjusts. A view whose skin is found in none of the views that should show
the same is doubted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ...core.arrays import Bools, Floats, Floats32
from ...core.facemodel.model import FaceModel
from ...dataset.bake.chart import chart
from ..fit_model import FitModel
from .bundle import Bundle, bundle
from .charted import charted_views
from .coarse_faults import Fit
from .coarse_landmarks import SeenLandmarks, add_landmarks, misfit
from .coarse_state import CoarseState, free, head_vertices, minimised
from .tracks import PairAgreement, TrackConfig, Tracks, find_tracks

_SURE = 0.45  # share found again of the best pair, from which on others are judged by it
_HALF = 0.5  # of the best pair's share: a pair that has less is of different skin
_BEYOND_DOUBT = 0.88  # of the usual share, that excuses landmarks which contradict the others
_VOTE = 0.25  # of a view that landmarks do not speak for
_NO_FACE = "no face was found in it"
_LEAST_TEXEL_PX = 0.8  # smaller texels show nothing more
_SMALLEST = 64  # texels a side
_LEAST_FOR_FOCAL = 3  # views; two show the same with any focal length, nearly
_FAR_SIGMAS = 3.0  # of the focal prior, beyond which the tracks are not believed
_WORSE, _MISFIT = 1.3, 0.5  # times and tolerances by which landmarks may fit worse


@dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """How tracks refine poses and coefficients."""

    sizes: tuple[int, ...] = (256, 512, 512)  # texels a side, round by round
    n_steps: int = 5  # a round, and half as many before its noise is judged
    focal_sigma: float = 0.15  # of the logarithm of the focal lengths' common factor
    off_model_mm: float = 0.5  # sd of faces from what face models can show
    same_skin: float = 0.38  # share of texels found again, from which on two views show one skin
    n_points: int = 3000  # a round, of all that are found
    tracks: TrackConfig = field(default_factory=TrackConfig)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is to be fitted, and how landmarks alone are."""

    seen: SeenLandmarks
    images: Sequence[Floats32]
    """J x (H, W, 3)."""
    model: FitModel
    face: FaceModel
    fit: Fit
    scales: bool
    """Whether the head's pose may scale."""


@dataclass(frozen=True, kw_only=True)
class Refined:
    """What tracks make of a fit."""

    state: CoarseState
    weight: Floats
    """(J,) as before, 0 for views that show other skin."""
    remarks: Mapping[str, str]
    support: Floats
    """(J,) the largest share of a view's texels that another shows; NaN where none could."""
    bundle: Bundle | None
    """Of the last round; None where no two views show the same skin."""


def refined(
    scene: Scene, start: CoarseState, weight: Floats, config: RefineConfig, *, focal: bool
) -> Refined:
    """Refine poses and coefficients.

    Where a view is left out for its skin, landmarks are fitted anew without it and the round is
    done again. A calibrated view in which no face was found counts once its skin is found in
    others; so does one whose landmarks the others contradict, if that is beyond doubt.

    Parameters
    ----------
    start : CoarseState
        As landmarks tell it.
    weight : (J,)
        Of the views, 0 for those that are left out.
    focal : bool
        Whether a common factor of the focal lengths is found, too.
    """
    sizes = _worthwhile(scene, start, weight, config.sizes)
    judged = _judged(scene, start, weight, config, sizes[0])
    state, last = judged.state, None
    for n, size in enumerate(sizes if judged.agree else ()):
        tracks = (
            judged.tracks
            if n == 0
            else _found(scene, state, judged.weight > 0, config.tracks, size)[0]
        )
        tracks = tracks.selected(_between(tracks, judged.weight, judged.apart))
        if len(tracks.faces) == 0:
            break
        told = bundle(
            scene.model,
            tracks.thinned(config.n_points),
            scene.seen.cameras,
            off_model_mm=config.off_model_mm,
        )
        marks = np.where(weight > 0, judged.weight, 0.0)
        moved = _adjusted(scene, state, marks, told, config, focal=focal)
        if moved is None:
            break
        state, last = moved
    return Refined(
        state=state,
        weight=judged.weight,
        remarks=judged.remarks,
        support=judged.support,
        bundle=last,
    )


def _worthwhile(
    scene: Scene, state: CoarseState, weight: Floats, sizes: Sequence[int]
) -> list[int]:
    """Return the sizes, halved until a texel is about a pixel of the usual view."""
    used = np.flatnonzero(weight > 0)
    px_per_mm = []
    for view in used:
        camera = state.view_camera(scene.seen.cameras[view], int(view))
        px_per_mm.append(camera.K[0, 0] / max(float(camera.project(np.zeros(3))[1]), 1.0))
    texels = chart(scene.face, sizes[0]).texel_mm(head_vertices(scene.model, state.coefficients(0)))
    texel_mm = float(np.median(texels[texels > 0])) * sizes[0]
    most = texel_mm * float(np.median(px_per_mm)) / _LEAST_TEXEL_PX
    return [_halved(size, most) for size in sizes]


def _halved(size: int, most: float) -> int:
    while size > max(most, _SMALLEST):
        size //= 2
    return size


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """Whose skin is the same, at the first round's size."""

    state: CoarseState
    weight: Floats
    tracks: Tracks
    support: Floats
    apart: frozenset[tuple[int, int]]
    """Pairs of views that do not show the same skin."""
    agree: bool
    """Whether any do."""
    remarks: Mapping[str, str]


def _judged(
    scene: Scene, state: CoarseState, weight: Floats, config: RefineConfig, size: int
) -> _Judged:
    """Leave out views of other skin, until all that are left show the same."""
    given = weight
    looked = (weight > 0) | scene.seen.one_pose
    remarks: dict[str, str] = {}
    while True:
        tracks, agreements = _found(scene, state, looked, config.tracks, size)
        support = _support(agreements, len(weight))
        same = _same_skin(agreements, looked, weight, config.same_skin)
        known = np.isfinite(support) & same & (given > 0)
        contradicted = (given == 0) & scene.seen.usable
        if known.any():
            same &= ~contradicted | (support >= _BEYOND_DOUBT * np.median(support[known]))
        left_out = (weight > 0) & ~same
        if not (same & (given > 0)).any():
            remarks |= _none_alike(scene.seen, agreements, weight)
            break
        remarks |= _remarks(scene.seen, left_out, same & (weight == 0), support)
        settled = (same == looked).all()
        weight, looked = same.astype(np.float64), same
        if settled:
            break
        if left_out.any():
            state = scene.fit(scene.seen, np.where(given > 0, weight, 0.0), None)
    return _Judged(
        state=state,
        weight=weight,
        tracks=tracks,
        support=support,
        apart=frozenset(pair.views for pair in agreements if pair.share < config.same_skin),
        agree=bool((same & (given > 0)).any()),
        remarks=remarks,
    )


def _between(tracks: Tracks, weight: Floats, apart: frozenset[tuple[int, int]]) -> Bools:
    """Return (N,) the points of pairs that are used and not apart."""
    alike = [tuple(sorted(pair)) not in apart for pair in tracks.views.tolist()]
    return np.asarray((weight[tracks.views] > 0).all(axis=1) & np.array(alike, bool))


def _adjusted(
    scene: Scene,
    start: CoarseState,
    weight: Floats,
    told: Bundle,
    config: RefineConfig,
    *,
    focal: bool,
) -> tuple[CoarseState, Bundle] | None:
    """Return the state that tracks and landmarks agree on; None where landmarks contradict.

    `weight` (J,) is that of the views' landmarks.
    """
    used = np.flatnonzero((weight > 0) & scene.seen.usable)
    before = np.median([misfit(scene.seen, start, int(view)) for view in used])
    focal = focal and len(used) >= _LEAST_FOR_FOCAL
    for free_focal in (True, False) if focal else (False,):
        state = start if free_focal else replace(start, log_focal=0.0)
        for n_steps in (config.n_steps // 2, config.n_steps):
            told = told.doubted(state) if n_steps == config.n_steps else told
            state = minimised(
                scene.model,
                state,
                [partial(add_landmarks, scene.seen, weight), told.term],
                moves=free(state, scales=scene.scales, coefficients=True, focal=free_focal),
                n_steps=n_steps,
                focal_sigma=config.focal_sigma,
            )
        after = np.median([misfit(scene.seen, state, int(view)) for view in used])
        likely = abs(state.log_focal) < _FAR_SIGMAS * config.focal_sigma
        if likely and after < _WORSE * before + _MISFIT:
            return state, told
    return None


def _found(
    scene: Scene, state: CoarseState, looked: Bools, config: TrackConfig, size: int
) -> tuple[Tracks, list[PairAgreement]]:
    """Find tracks between the views that are looked at, told by the rows of all views."""
    used = np.flatnonzero(looked).tolist()
    vertices = [head_vertices(scene.model, state.coefficients(int(view))) for view in used]
    cameras = [state.view_camera(scene.seen.cameras[view], view) for view in used]
    charted = charted_views(
        scene.face,
        scene.model.region,
        vertices,
        cameras,
        [scene.images[view] for view in used],
        size=size,
    )
    tracks, agreements = find_tracks(charted, cameras, vertices, config)
    named = [replace(pair, views=(used[pair.views[0]], used[pair.views[1]])) for pair in agreements]
    return replace(tracks, views=np.array(used)[tracks.views]), named


def _support(agreements: Sequence[PairAgreement], n_views: int) -> Floats:
    support = np.full(n_views, np.nan)
    for pair in agreements:
        for view in pair.views:
            support[view] = np.fmax(support[view], pair.share)
    return support


def _same_skin(
    agreements: Sequence[PairAgreement], looked: Bools, weight: Floats, least: float
) -> Bools:
    """Return (J,) the most views whose skin is the same, and trusted ones that nothing tells of.

    A view is left out only where others agree so well that it would be seen if it did, too.
    None, where no two views show the same skin though they should.
    """
    n = len(weight)
    if not agreements:
        return np.asarray(weight > 0)
    best = max(pair.share for pair in agreements)
    alike = np.zeros((n, n))
    told = np.zeros(n, bool)
    for pair in agreements:
        told[list(pair.views)] |= best >= _SURE
        alike[pair.views] = pair.share >= max(least, _HALF * best)
    _, group = connected_components(sparse.csr_array(alike), directed=False)
    if np.bincount(group).max() == 1:
        return np.zeros(n, bool)
    votes = np.bincount(group, np.where(weight > 0, 1.0, _VOTE))
    return np.asarray((group == votes.argmax()) | ((weight > 0) & ~told)) & looked


def _remarks(
    seen: SeenLandmarks, left_out: Bools, admitted: Bools, support: Floats
) -> dict[str, str]:
    remarks = {
        seen.names[view]: (
            f"its picture shows other skin than the other views: {support[view]:.0%} of what "
            "they share is found again; is it of another person, or out of focus?"
        )
        for view in np.flatnonzero(left_out)
    }
    return remarks | {
        seen.names[view]: (
            ("its landmarks contradict the other views" if seen.usable[view] else _NO_FACE)
            + ", but its skin agrees with theirs: it is used without landmarks"
        )
        for view in np.flatnonzero(admitted)
    }


def _none_alike(
    seen: SeenLandmarks, agreements: Sequence[PairAgreement], weight: Floats
) -> dict[str, str]:
    return {
        seen.names[view]: (
            "its skin is not found again in any other view: they may be of different people, or "
            "too small or unsharp to tell"
        )
        for pair in agreements
        if (weight[list(pair.views)] > 0).all()
        for view in pair.views
    }
