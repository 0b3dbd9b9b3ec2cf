"""Samples held on a GPU, whose batches are made there: no processor keeps up with it.

The same batches as `augment.make_batch` makes, with the same changes but for the marks of JPEG;
chance is drawn otherwise, so that a seed gives other changes than there. A face of 320 px with its
truth takes about 0.7 MB of the device's memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import cho_solve
from torch import Tensor
from torch.nn import functional

from ...core.arrays import Bools, Ints
from ...core.errors import InputError
from ...core.facemodel.landmark_schemes import MIRROR, Scheme
from ..align import AT_SIZE, MODEL_UNIT_MM
from ..facetensors import FaceTensors
from .augment import AugmentConfig, Batch
from .degradation_device import degraded_together
from .mirror import FaceMirror, TexelMirror, face_mirror
from .modes import nearest_modes
from .sample import DISPLACEMENT_SIZE, FIELD, Sample, Source, Truth
from .warp import Warp, draw_warp

_OVER = 2  # samples a side of a pixel, where pixels shrink
_LINES = 57  # of the grid on which bends are worked out: one in 4 px of 224


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Affine maps from px of stored crops to px of 224 crops, y down in both."""

    A: Tensor
    """(B, 2, 2)."""
    b: Tensor
    """(B, 2)."""
    warp: Warp | None
    """Comes first."""

    def __call__(self, points: Tensor) -> Tensor:
        """Take points (B, n, 2) of the stored crops to the 224 crops."""
        points = points if self.warp is None else self.warp.moved(points)
        return points @ self.A.transpose(1, 2) + self.b[:, None]

    def cut(self, images: Tensor, stored: int, size: int) -> Tensor:
        """Resample (B, C, s, s), which show stored crops of `stored` px, to `size` px a side."""
        over = _OVER if stored / FIELD > size else 1
        grid = (2 / stored) * self._shown(size * over, stored) - 1
        how = "bilinear" if over > 1 else "bicubic"
        cut = functional.grid_sample(images, grid, mode=how, align_corners=False)
        return functional.avg_pool2d(cut, over).clamp(0, 1) if over > 1 else cut.clamp(0, 1)

    def _shown(self, n: int, stored: int) -> Tensor:
        """Return (B, n, n, 2) which px of the stored crops the pixels of a crop of `n` px show.

        Worked out on a coarse grid: bends are smooth, and between its lines all is linear.
        """
        at = torch.linspace(0, AT_SIZE, _LINES, device=self.A.device)
        y, x = torch.meshgrid(at, at, indexing="ij")
        points = torch.stack([x, y], dim=-1).reshape(1, -1, 2) - self.b[:, None]
        back = points @ torch.linalg.inv(self.A).transpose(1, 2)
        back = back if self.warp is None else back + self.warp.flow(back)
        lines = back.reshape(-1, _LINES, _LINES, 2)
        centres = (torch.arange(n, device=self.A.device) + 0.5) * ((_LINES - 1) / n)
        between = (1 - (centres[:, None] - torch.arange(_LINES, device=at.device)).abs()).clamp(0)
        return torch.einsum("ik,bklc,jl->bijc", between, lines, between)


class ResidentSamples:
    """All samples of a source, on the device of a face model.

    Parameters
    ----------
    relief : bool
        Are displacement maps wanted; else those of the batches are of 0 texels.

    Raises
    ------
    InputError
        The crops differ in size, or a truth is of another topology than the face model.
    """

    def __init__(
        self,
        source: Source,
        rows: Sequence[int] | Ints,
        face: FaceTensors,
        *,
        relief: bool = True,
    ) -> None:
        self.face, self.device = face, face.mean.device
        self._relief = relief
        kept = self._kept(source, rows)
        (
            self._image,
            self._mask,
            self._landmarks,
            self._has_truth,
            self._camera,
            self._K,
            self._R,
        ) = (kept.pop(name) for name in _OF_SAMPLES)
        self._truth = kept
        self.size = self._image.shape[1]
        modes = nearest_modes(self.face.model, np.ones(self.face.n_vertices))
        self._rows = torch.from_numpy(modes.rows).to(self.device)
        nearest = cho_solve(modes.factor, modes.basis.T).astype(np.float32)
        self._nearest = torch.from_numpy(nearest).to(self.device)
        mirror = face_mirror(face)
        self._mirror = None if mirror is None else _Mirror(mirror, self.device)

    def _kept(self, source: Source, rows: Sequence[int] | Ints) -> dict[str, Tensor]:
        """Return everything as one tensor a name on the device; one sample at a time is read."""
        blank, kept = _no_truth(self.face), dict[str, Tensor]()
        for at, row in enumerate(rows):
            arrays = self._arrays(source[int(row)], blank)
            if not kept:
                kept = {
                    name: torch.empty(
                        (len(rows), *array.shape), dtype=_KEPT_AS.get(name, torch.float32),
                        device=self.device,
                    )
                    for name, array in arrays.items()
                }  # fmt: skip
            sizes = kept["image"].shape[1], len(arrays["image"])
            if len(set(sizes)) != 1:
                raise InputError(
                    f"the samples' crops are of {sorted(sizes)} px; data.resident wants one size: "
                    "pack them alike"
                )
            for name, array in arrays.items():
                kept[name][at] = torch.from_numpy(np.ascontiguousarray(array))
        return kept

    def _arrays(self, sample: Sample, blank: Truth) -> dict[str, np.ndarray]:
        """Return what is kept of a sample; `blank` stands for a truth that it has not."""
        truth = blank if sample.truth is None else sample.truth
        shaped = (*_SHAPED, *(_RELIEF if self._relief else ()))
        for name in shaped:
            if np.shape(getattr(truth, name)) != getattr(blank, name).shape:
                raise InputError(
                    f"the samples' {name} are not those of the face model {self.face.model.name}; "
                    "give samples of that model"
                )
        of_sample: tuple[np.ndarray, ...] = (
            sample.image, sample.mask, sample.landmarks, np.array(sample.truth is not None),
            truth.K @ truth.cam_from_head, truth.K[:2, :2], truth.cam_from_head[:, :3],
        )  # fmt: skip
        return dict(zip(_OF_SAMPLES, of_sample, strict=True)) | {
            name: np.asarray(getattr(truth, name)) for name in shaped
        }

    def __len__(self) -> int:
        return len(self._image)

    @torch.no_grad()
    def batch(
        self,
        rows: Ints,
        hidden: Bools,
        *,
        seed: int,
        augment: AugmentConfig | None,
        fine: int | None = None,
    ) -> Batch:
        """Return some of the samples as `augment.make_batch` does.

        Parameters
        ----------
        hidden : (B,)
            Whose truth is withheld.
        """
        chance = torch.Generator().manual_seed(seed)
        at = torch.from_numpy(np.asarray(rows, np.int64)).to(self.device)
        known = self._has_truth[at] & torch.from_numpy(~hidden).to(self.device)
        flip = self._flipped(len(rows), augment, chance).to(self.device)
        places = self._places(len(rows), augment, chance, flip)
        image = self._image[at].permute(0, 3, 1, 2).float() / 255
        mask = self._mask[at][:, None].float() / 255
        if augment is not None:
            image, mask = degraded_together(image, mask, augment.degradation, chance)
        marks = self._landmarks[at]
        marks = torch.where(flip[:, None, None], marks[:, list(MIRROR[Scheme.IBUG68])], marks)
        empty = image[:, :, :0, :0]
        cut = places.cut(torch.cat([image, mask], dim=1), self.size, AT_SIZE)
        return Batch(
            crop=cut[:, :3],
            fine=places.cut(image, self.size, fine) if fine else empty,
            mask=cut[:, 3:],
            landmarks=_upwards(places(marks)),
            has_truth=known,
            **self._true(at, known, places, flip),
        )

    def _flipped(self, n: int, augment: AugmentConfig | None, chance: torch.Generator) -> Tensor:
        drawn = torch.rand(n, generator=chance)
        if augment is None or self._mirror is None:
            return torch.zeros(n, dtype=torch.bool)
        return drawn < augment.flip_share

    def _places(
        self, n: int, augment: AugmentConfig | None, chance: torch.Generator, flip: Tensor
    ) -> _Places:
        """Draw where stored crops come to lie, as `augment.placement_of` does."""
        scale, angle, shift = _uniform(n, 4, chance).split([1, 1, 2], dim=1)
        if augment is None:
            scale, angle, shift = 0 * scale, 0 * angle, 0 * shift
        else:
            scale, angle = augment.scale * scale, np.radians(augment.roll_deg) * angle
            shift = augment.shift_px * shift
        c, s = torch.cos(angle[:, 0]), torch.sin(angle[:, 0])
        turn = torch.stack([torch.stack([c, -s], dim=1), torch.stack([s, c], dim=1)], dim=1)
        A = (AT_SIZE * FIELD / self.size) * (1 + scale[:, :, None]) * turn
        A = A.to(self.device)
        A = torch.cat([torch.where(flip[:, None, None], -A[:, :, :1], A[:, :, :1]), A[:, :, 1:]], 2)
        b = AT_SIZE / 2 + shift.to(self.device) - A.sum(dim=2) * (self.size / 2)
        warp = None
        if augment is not None and augment.warp_px > 0:
            where = torch.rand(n, generator=chance) < augment.warp_share
            warp = draw_warp(n, self.size, augment.warp_px, chance, where=where)
            warp = replace(
                warp, knots=warp.knots.to(self.device), linear=warp.linear.to(self.device)
            )
        return _Places(A=A, b=b, warp=warp)

    def _true(self, at: Tensor, known: Tensor, places: _Places, flip: Tensor) -> dict[str, Tensor]:
        """Return what is true of samples after the changes, a tensor a field of `Batch`."""
        fields = {name: values[at].float() for name, values in self._truth.items()}
        camera = self._camera[at]
        rays = fields["vertices"] @ camera[:, :, :3].transpose(1, 2) + camera[:, None, :, 3]
        stored = rays[..., :2] / rays[..., 2:].clamp(min=1e-6)
        fields["pixels"] = _upwards(places(stored))
        if places.warp is not None:
            apart = places.warp.moved(stored) - stored
            self._bend(fields, apart * rays[..., 2:], at)
        if self._relief:
            fields["displacement"] = fields["displacement"][:, None] / MODEL_UNIT_MM
            fields["displacement_valid"] = fields["displacement_valid"][:, None]
        else:
            fields |= {name: stored.new_zeros(len(at), 1, 0, 0) for name in _RELIEF}
        if self._mirror is not None:
            mirrored = self._mirror.of(fields)
            for name, other in mirrored.items():
                fields[name] = torch.where(_each(flip, other), other, fields[name])
        fields["vertices"] = (fields["vertices"] - self.face.centre_mm) / MODEL_UNIT_MM
        keep = known.float()
        return {name: values * _each(keep, values) for name, values in fields.items()}

    def _bend(self, fields: dict[str, Tensor], apart: Tensor, at: Tensor) -> None:
        """Move true vertices parallel to the picture by `apart` (B, V, 2), px times mm of depth.

        Coefficients follow as far as modes tell; the relief stays on the skin that it is on.
        """
        sideways = apart @ torch.linalg.inv(self._K[at]).transpose(1, 2)
        moved = sideways @ self._R[at][:, :2]
        fields["vertices"] = fields["vertices"] + moved
        change = moved[:, self._rows].flatten(1) @ self._nearest.T
        n = self.face.n_identity
        fields["identity"] = fields["identity"] + change[:, :n]
        fields["expression"] = fields["expression"] + change[:, n:]


_OF_SAMPLES = ("image", "mask", "landmarks", "has_truth", "camera", "K", "R")
_SHAPED = ("vertices", "support", "identity", "expression")
_RELIEF = ("displacement", "displacement_valid")
"""Fields of a truth whose shape is the face model's."""
_KEPT_AS = {
    "image": torch.uint8, "mask": torch.uint8, "has_truth": torch.bool,
    "displacement": torch.float16, "displacement_valid": torch.bool,
}  # fmt: skip
"""Types of what is not kept as float32."""


def _no_truth(face: FaceTensors) -> Truth:
    """Return what stands for the truth of a photograph from somewhere."""
    n = DISPLACEMENT_SIZE
    return Truth(
        vertices=np.zeros((face.n_vertices, 3), np.float32),
        support=np.zeros(face.n_vertices, np.float32),
        identity=np.zeros(face.n_identity, np.float32),
        expression=np.zeros(face.n_expression, np.float32),
        K=np.eye(3),
        cam_from_head=np.zeros((3, 4)),
        displacement=np.zeros((n, n), np.float32),
        displacement_valid=np.zeros((n, n), bool),
    )


class _Mirror:
    """`FaceMirror` in tensors."""

    def __init__(self, mirror: FaceMirror, device: torch.device) -> None:
        self.vertex = torch.from_numpy(np.asarray(mirror.vertex, np.int64)).to(device)
        self.identity = torch.from_numpy(mirror.identity).to(device)
        self.expression = torch.from_numpy(mirror.expression).to(device)
        self.across = torch.tensor([-1.0, 1.0, 1.0], device=device)
        texels = mirror.of_maps(DISPLACEMENT_SIZE)
        self.texels = None if texels is None else _Texels(texels, device)

    def of(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the fields of the mirrored faces; relief is unknown where maps have no mirror."""
        relief, valid = fields["displacement"], fields["displacement_valid"]
        if self.texels is not None and relief.numel():
            relief, valid = self.texels(relief, valid)
        else:
            relief, valid = 0 * relief, 0 * valid
        return {
            "vertices": fields["vertices"][:, self.vertex] * self.across,
            "support": fields["support"][:, self.vertex],
            "pixels": fields["pixels"][:, self.vertex],
            "identity": fields["identity"] @ self.identity.T,
            "expression": fields["expression"] @ self.expression.T,
            "displacement": relief,
            "displacement_valid": valid,
        }


class _Texels:
    """`TexelMirror` in tensors."""

    def __init__(self, mirror: TexelMirror, device: torch.device) -> None:
        def kept(values: Ints) -> Tensor:
            return torch.from_numpy(np.asarray(values, np.int64)).to(device)

        self.source, self.between = kept(mirror.source), kept(mirror.between)
        self.taps, self.weights = kept(mirror.taps), torch.from_numpy(mirror.weights).to(device)

    def __call__(self, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps (B, 1, n, n) and their valid texels, 0 or 1, of the mirrored faces."""
        flat, sound = values.flatten(1), valid.flatten(1)
        source = self.source.clamp(min=0)
        known = sound[:, source] * (self.source >= 0)
        taps = torch.where(self.weights == 0, 1.0, sound[:, self.taps])
        known[:, self.between] = taps.amin(dim=2)
        mirrored = flat[:, source]
        mirrored[:, self.between] = (flat[:, self.taps] * self.weights).sum(dim=2)
        return (mirrored * known).reshape_as(values), known.reshape_as(valid)


def _each(values: Tensor, like: Tensor) -> Tensor:
    """Return values (B,), one a sample, as they go with (B, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _upwards(points: Tensor) -> Tensor:
    """Return px, y up, of px, y down."""
    return torch.stack([points[..., 0], AT_SIZE - points[..., 1]], dim=-1)


def _uniform(n: int, k: int, chance: torch.Generator) -> Tensor:
    """Draw (n, k) numbers between -1 and 1."""
    return 2 * torch.rand(n, k, generator=chance) - 1
