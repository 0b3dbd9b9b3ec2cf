"""Samples to batches of tensors, with the changes that make a network robust.

A stored crop is moved, turned, scaled and perhaps mirrored by one affine map; image, mask,
landmarks and true pixels go through the same map, so that what is true stays true. What happens
depends on the samples and the seed alone.

Pixels of a batch are HRN's: of the 224 px crop, y **up** from its bottom edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.arrays import AnyFloats, Bytes, Floats
from ...core.errors import InputError
from ...core.facemodel.landmark_schemes import MIRROR, Scheme
from ..align import AT_SIZE, MODEL_UNIT_MM
from ..facetensors import FaceTensors
from .degradation import DegradationConfig, degraded
from .mirror import FaceMirror, face_mirror
from .sample import DISPLACEMENT_SIZE, FIELD, Sample, Truth

_SMOOTH_RATIO = 1.05  # source pixels a pixel that need no blur before they are resampled


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far crops are changed; all of it random and uniform within these bounds."""

    shift_px: float = 6.0  # most in x and in y, px of 224
    scale: float = 0.04  # most relative change
    roll_deg: float = 5.0  # most turn
    flip_share: float = 0.5  # of crops that are mirrored, where the face model is symmetric
    warp_px: float = 0.0  # sd by which knots of a crop are bent, px of 224; resident samples only
    warp_share: float = 0.7  # of them that are bent
    degradation: DegradationConfig = field(default_factory=DegradationConfig)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples as tensors, float32 unless said. Where there is no truth its fields are zero."""

    crop: Tensor
    """(B, 3, 224, 224) in [0, 1]: what the coefficient network sees."""
    fine: Tensor
    """(B, 3, F, F) the same field for textures; (B, 3, 0, 0) where not asked for."""
    mask: Tensor
    """(B, 1, 224, 224) in [0, 1]: 1 on the head where nothing hides it."""
    landmarks: Tensor
    """(B, 68, 2) px of the 224 crop, y up; NaN unknown."""
    has_truth: Tensor
    """(B,) bool."""
    vertices: Tensor
    """(B, V, 3) model units, model frame, unposed."""
    support: Tensor
    """(B, V) in [0, 1]."""
    identity: Tensor
    """(B, n_id)."""
    expression: Tensor
    """(B, n_exp)."""
    pixels: Tensor
    """(B, V, 2) where the true vertices lie in the 224 crop, y up; beyond it, too."""
    displacement: Tensor
    """(B, 1, n, n) model units, + outward."""
    displacement_valid: Tensor
    """(B, 1, n, n) 0 or 1."""

    def __len__(self) -> int:
        return len(self.crop)

    def to(self, device: str | torch.device) -> "Batch":
        """Return the batch on a device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        return Batch(**moved)

    def pin_memory(self) -> "Batch":
        """Return the batch in pinned memory, as torch's DataLoader asks for."""
        return Batch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The affine map from px of the stored crop to px of the 224 crop, y down in both."""

    A: Floats
    """(2, 2)."""
    b: Floats
    """(2,): out = A @ stored + b."""

    def __call__(self, points: AnyFloats) -> Floats:
        """Take points (..., 2) of the stored crop to the 224 crop."""
        return np.asarray(points @ self.A.T + self.b, np.float64)

    def to_stored(self, size: int) -> Floats:
        """Return (2, 3): px of the crop at `size` px a side to px of the stored one."""
        inverse = np.linalg.inv(self.A)
        return np.column_stack([inverse * (AT_SIZE / size), -inverse @ self.b])


def make_batch(
    samples: Sequence[Sample],
    face: FaceTensors,
    *,
    seed: int | Sequence[int],
    augment: AugmentConfig | None,
    fine: int | None = None,
) -> Batch:
    """Cut samples as HRN cuts photographs, changed at random where `augment` is given.

    Parameters
    ----------
    seed : int, or one for each sample
        With the samples, all that the changes depend upon.
    fine : int, optional
        Pixels a side of the crop for textures; the stored crop's size over `FIELD` keeps all
        that it has.

    Raises
    ------
    InputError
        There is no sample, or a truth is of another topology than the face model.
    """
    if not samples or (not isinstance(seed, int) and len(seed) != len(samples)):
        raise InputError(f"a batch of {len(samples)} samples; give one and more, a seed for each")
    mirror = None
    if augment is not None and augment.flip_share > 0:
        mirror = face_mirror(face)
    others = [sample.image for sample in samples]
    arrays: dict[str, list[NDArray[Any]]] = {f.name: [] for f in fields(Batch)}
    for row, sample in enumerate(samples):
        rng = np.random.default_rng([seed, row] if isinstance(seed, int) else seed[row])
        flip = _flips(sample, mirror, augment, rng)
        place = placement_of(len(sample.image), augment, rng, flip=flip is not None)
        image, mask = sample.image, sample.mask
        if augment is not None:
            rest = others[:row] + others[row + 1 :]
            image, mask = degraded(image, mask, augment.degradation, rng, others=rest)
        arrays["crop"].append(cut(image, place, AT_SIZE))
        arrays["fine"].append(cut(image, place, fine) if fine else image[:0, :0])
        arrays["mask"].append(cut(mask, place, AT_SIZE))
        arrays["landmarks"].append(_landmarks(sample, place, flip))
        for name, values in _truth(sample.truth, face, place, flip).items():
            arrays[name].append(values)
    return Batch(**{name: _stacked(name, values) for name, values in arrays.items()})


def placement_of(
    size: int, augment: AugmentConfig | None, rng: np.random.Generator, *, flip: bool = False
) -> Placement:
    """Draw where a stored crop of `size` px a side comes to lie: its middle where none is asked."""
    scale, angle, shift = AT_SIZE * FIELD / size, 0.0, np.zeros(2)
    if augment is not None:
        scale *= 1 + augment.scale * float(rng.uniform(-1, 1))
        angle = np.radians(augment.roll_deg) * float(rng.uniform(-1, 1))
        shift = augment.shift_px * rng.uniform(-1, 1, 2)
    c, s = np.cos(angle), np.sin(angle)
    A = scale * np.array([[c, -s], [s, c]])
    if flip:
        A[:, 0] *= -1
    return Placement(A=A, b=AT_SIZE / 2 + shift - A @ np.full(2, size / 2))


def cut(image: Bytes, place: Placement, size: int) -> Bytes:
    """Resample a stored crop (S, S) or (S, S, 3) to `size` px a side; 0 beyond its edges.

    Where pixels shrink they are blurred first, as much as a pixel grows: nothing aliases.
    """
    stored = place.to_stored(size)
    ratio = float(np.sqrt(abs(np.linalg.det(stored[:, :2]))))
    if ratio > _SMOOTH_RATIO:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(ratio**2 - 1)), np.uint8)
    M = stored.copy()
    M[:, 2] += 0.5 * M[:, :2].sum(axis=1) - 0.5  # OpenCV counts centres from 0
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, M, (size, size), flags=how), np.uint8)


def _flips(
    sample: Sample,
    mirror: FaceMirror | None,
    augment: AugmentConfig | None,
    rng: np.random.Generator,
) -> FaceMirror | None:
    """Return what mirrors a sample, where chance wants it and its truth can be mirrored."""
    if augment is None or rng.uniform() >= augment.flip_share or mirror is None:
        return None
    if sample.truth is not None and mirror.of_maps(len(sample.truth.displacement)) is None:
        return None
    return mirror


def _landmarks(sample: Sample, place: Placement, flip: FaceMirror | None) -> Floats:
    points = sample.landmarks
    if flip is not None:
        points = points[MIRROR[Scheme.IBUG68]]
    return _upwards(place(points))


def _upwards(points: Floats) -> Floats:
    """Return px, y up, of px, y down."""
    return np.column_stack([points[:, 0], AT_SIZE - points[:, 1]])


def _truth(
    truth: Truth | None, face: FaceTensors, place: Placement, flip: FaceMirror | None
) -> dict[str, NDArray[Any]]:
    """Return what is true of a sample after the changes, an array a field of `Batch`."""
    v, n = face.n_vertices, DISPLACEMENT_SIZE
    if truth is None:
        return {
            "has_truth": np.array(False),
            "vertices": np.zeros((v, 3)), "support": np.zeros(v), "pixels": np.zeros((v, 2)),
            "identity": np.zeros(face.n_identity), "expression": np.zeros(face.n_expression),
            "displacement": np.zeros((1, n, n)), "displacement_valid": np.zeros((1, n, n)),
        }  # fmt: skip
    if truth.vertices.shape != (v, 3):
        raise InputError(
            f"a truth of {len(truth.vertices)} vertices, but the face model {face.model.name} has "
            f"{v}; give samples of that model"
        )
    pixels = place(projected(truth))
    vertices, support = truth.vertices, truth.support
    identity, expression = truth.identity, truth.expression
    displacement, valid = truth.displacement, truth.displacement_valid
    if flip is not None:
        pixels, support = pixels[flip.vertex], support[flip.vertex]
        vertices = flip.vertices(vertices)
        identity, expression = flip.identity @ identity, flip.expression @ expression
        texels = flip.of_maps(len(displacement))
        assert texels is not None
        displacement, valid = texels(displacement, valid)
    centre = face.centre_mm.cpu().numpy()
    return {
        "has_truth": np.array(True),
        "vertices": (vertices - centre) / np.float32(MODEL_UNIT_MM),
        "support": support,
        "pixels": _upwards(pixels),
        "identity": identity,
        "expression": expression,
        "displacement": displacement[None] / np.float32(MODEL_UNIT_MM),
        "displacement_valid": valid[None],
    }


def projected(truth: Truth) -> Floats:
    """Return px (V, 2) of the stored crop, y down, of the true vertices."""
    P = np.asarray(truth.K, np.float64) @ truth.cam_from_head
    x, y, w = (truth.vertices @ P[:, :3].T + P[:, 3]).T
    return np.column_stack([x / w, y / w])


def _stacked(name: str, values: list[NDArray[Any]]) -> Tensor:
    whole = np.stack(values)
    if name in ("crop", "fine"):
        images = torch.from_numpy(whole).permute(0, 3, 1, 2)
        return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    if name == "mask":
        return torch.from_numpy(whole[:, None]).to(torch.float32).div_(255)
    if name == "has_truth":
        return torch.from_numpy(whole)
    return torch.from_numpy(np.ascontiguousarray(whole, np.float32))
