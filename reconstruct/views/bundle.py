"""What tracks tell of poses and coefficients: bundle adjustment with points beside the model.

Every point has its own offset from the model's surface, free along it and doubted across it by
what a face model cannot show. For given poses and coefficients the offsets are found point by
point; what is left are normal equations of poses and coefficients alone (Schur complement).
"""

from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Floats
from ...core.geometry.camera import Camera
from ..fit_landmarks import robust_weights
from ..fit_model import FitModel
from .coarse_state import CoarseState, PointBasis, basis_at, pixel_slope, view_rows
from .tracks import Tracks

_N_OFFSET_STEPS = 4
_ALONG_MM = 20.0  # how far points may slip along the surface: as far as they must
_MEDIAN_OF_NORMAL = 0.6745  # of its size, in standard deviations
_N_INDEPENDENT = 60  # patches of a face, of a few centimetres, that miss the model each alone


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Tracks, ready to be weighed against poses and coefficients."""

    tracks: Tracks
    basis: PointBasis
    cameras: tuple[Camera, ...]
    """Of posed points."""
    prior: Floats
    """(N, 3, 3) inverse covariance of the offsets, mm."""

    def term(self, state: CoarseState, H: Floats, g: Floats) -> None:
        """Add the normal equations of the state's unknowns, offsets eliminated, in place."""
        if len(self.tracks.faces):
            offsets = self.offsets(state)
            self._add(state, offsets, H, g)

    def offsets(self, state: CoarseState) -> Floats:
        """Return (N, 3) mm: where the points lie, off the model's surface."""
        offsets = np.zeros((len(self.tracks.faces), 3))
        surface = self._surfaces(state)
        for _ in range(_N_OFFSET_STEPS):
            normal = self.prior.copy()
            pull = -np.einsum("nij,nj->ni", self.prior, offsets)
            for slot, view in self._groups():
                at = self._rows(slot, view)
                xy, J = _seen(state, view, self.cameras[view], surface[slot][at] + offsets[at])
                gap = self.tracks.xy[at, slot] - xy
                weight = robust_weights(gap, self.tracks.sigma[at, slot])
                normal[at] += np.einsum("nia,n,nib->nab", J, weight, J)
                pull[at] += np.einsum("nia,n,ni->na", J, weight, gap)
            offsets += np.linalg.solve(normal, pull[..., None])[..., 0]
        return offsets

    def residuals(self, state: CoarseState) -> Floats:
        """Return (N, 2) distances between found and explained places, in standard deviations."""
        surface, offsets = self._surfaces(state), self.offsets(state)
        out = np.zeros(self.tracks.sigma.shape)
        for slot, view in self._groups():
            at = self._rows(slot, view)
            xy, _ = _seen(state, view, self.cameras[view], surface[slot][at] + offsets[at])
            off = np.linalg.norm(self.tracks.xy[at, slot] - xy, axis=1)
            out[at, slot] = off / self.tracks.sigma[at, slot]
        return out

    def doubted(self, state: CoarseState) -> "Bundle":
        """Return the same with as much noise as its points disagree by, where that is more.

        Two views of a point leave one residual, across the epipolar line. What it has beyond
        noise is motion of the face between the views, which is alike over a patch of skin: many
        points of it are no better witnesses than one, neither across the line nor along it.
        """
        excess2 = (self.disagreement(state) ** 2 - 1.0) * per_patch(len(self.tracks.faces))
        if excess2 <= 0:
            return self
        sigma = self.tracks.sigma * np.sqrt(1.0 + excess2)
        return replace(self, tracks=replace(self.tracks, sigma=sigma))

    def disagreement(self, state: CoarseState) -> float:
        """Return the usual residual of points over what noise alone would leave."""
        both = np.sqrt((self.residuals(state) ** 2).sum(axis=1))
        return float(np.median(both)) / _MEDIAN_OF_NORMAL

    def _add(self, state: CoarseState, offsets: Floats, H: Floats, g: Floats) -> None:
        n = len(offsets)
        surface = self._surfaces(state)
        normal = self.prior.copy()
        pull = -np.einsum("nij,nj->ni", self.prior, offsets)
        across = np.zeros((n, 3, len(g)))
        for slot, view in self._groups():
            at, columns = self._rows(slot, view), state.columns(view)
            points = surface[slot][at] + offsets[at]
            camera = self.cameras[view]
            xy, J = view_rows(state, view, camera, points, self.basis.modes[:, at])
            _, by_point = _seen(state, view, camera, points)
            gap = self.tracks.xy[at, slot] - xy
            weight = robust_weights(gap, self.tracks.sigma[at, slot])
            weighted = J * weight[:, None, None]
            flat = J.reshape(-1, len(columns))
            H[np.ix_(columns, columns)] += flat.T @ weighted.reshape(flat.shape)
            g[columns] += weighted.reshape(flat.shape).T @ gap.ravel()
            normal[at] += np.einsum("nia,n,nib->nab", by_point, weight, by_point)
            pull[at] += np.einsum("nia,n,ni->na", by_point, weight, gap)
            across[at[:, None], :, columns] += np.einsum("nia,nic->nca", by_point, weighted)
        root = np.linalg.cholesky(np.linalg.inv(normal))
        eliminated = (np.swapaxes(root, 1, 2) @ across).reshape(3 * n, -1)
        H -= eliminated.T @ eliminated
        g -= eliminated.T @ (np.swapaxes(root, 1, 2) @ pull[..., None]).ravel()

    def _groups(self) -> list[tuple[int, int]]:
        """Return every (slot, view): points that are first or second seen by a view."""
        views = self.tracks.views
        return [(slot, int(view)) for slot in (0, 1) for view in np.unique(views[:, slot])]

    def _rows(self, slot: int, view: int) -> np.ndarray:
        return np.flatnonzero(self.tracks.views[:, slot] == view)

    def _surfaces(self, state: CoarseState) -> list[Floats]:
        """Return for both slots (N, 3): the model where the point's view shows it."""
        if len(state.expressions) == 1:
            return [self.basis.at(state.coefficients(0))] * 2
        out = [np.zeros((len(self.tracks.faces), 3)) for _ in range(2)]
        for slot, view in self._groups():
            at = self._rows(slot, view)
            coefficients = state.coefficients(view)
            out[slot][at] = PointBasis(mean=self.basis.mean[at], modes=self.basis.modes[:, at]).at(
                coefficients
            )
        return out


def bundle(
    model: FitModel, tracks: Tracks, cameras: tuple[Camera, ...], *, off_model_mm: float
) -> Bundle:
    """Weigh tracks.

    Parameters
    ----------
    off_model_mm : float
        Standard deviation of the face from what the model can show, across the surface.
    """
    basis = basis_at(model, model.faces[tracks.faces], tracks.weights)
    # misses of the model are alike within a patch: n points of it are no n witnesses
    across = off_model_mm * np.sqrt(per_patch(len(tracks.faces)))
    outward = np.einsum("ni,nj->nij", tracks.normals, tracks.normals)
    along = np.eye(3) / _ALONG_MM**2
    return Bundle(tracks=tracks, basis=basis, cameras=cameras, prior=outward / across**2 + along)


def per_patch(n_points: int) -> float:
    """Return how many of n points of a face miss the model alike: no more than one witness."""
    return max(1.0, n_points / _N_INDEPENDENT)


def _seen(state: CoarseState, view: int, camera: Camera, points: Floats) -> tuple[Floats, Floats]:
    """Return where points (N, 3) of the head are seen, and (N, 2, 3) how that moves with them."""
    pose, camera = state.pose(view), state.camera(camera)
    posed = pose(points)
    R, t = camera.cam_from_world[:, :3], camera.cam_from_world[:, 3]
    slope = pixel_slope(camera, posed @ R.T + t) @ R
    return camera.project(posed)[0], np.asarray(pose.scale * slope @ pose.R)
