"""What moles and freckles do to the relief that is found, with the network for them and without.

A virtual person is photographed twice, with spots of known albedo and without any; all else, light
and noise too, is the same. Shape, pose and light are fitted to the photograph without spots. Then
the displacement is found from both photographs, with the network and without. What differs at the
spots is the error that they cause: their true relief is the same in both. Light is the studio's
ring on every other person, and comes from anywhere on the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..capture.virtual.lights import led_ring
from ..capture.virtual.skin import draw_skin, relief
from ..capture.virtual.studio import rng_of
from ..core.arrays import AnyFloats, Bools, Bytes, Floats, Floats32
from ..core.console import track
from ..core.errors import InputError
from ..core.facemodel.model import FaceModel
from ..core.facemodel.procedural import procedural_head
from ..core.imaging.imageio import write_image
from ..dataset.bake.chart import chart
from .heads.people import NOISE_PX
from .hrn_bench_fit import SingleView, single_view

if TYPE_CHECKING:
    from ..reconstruct.align import Crop
    from ..reconstruct.facetensors import FaceTensors
    from ..reconstruct.hrnmethod import HrnMethod
    from ..reconstruct.networks.deretouch import DeretouchNet

SHARE = 0.05
"""How much darker than without spots a texel's albedo is where it is a spot's."""
_CROP_PX = 448
_FRECKLES, _MOLES = (0.6, 1.2), (0.4, 0.9)
_SPREAD_MM = 0.4  # sd of the blur under which albedo is told
_MAP = 256  # texels a side
_BESIDE = 3  # texels a side of what a spot's edge reaches
_NEAR = 9  # texels a side round spots that are not skin without spots
_SHOWN_MM = 0.25
_SEEN = 0.5
_ALL_BELIEVED = 1e3  # of colours in [0, 1]: no gap is too large
OWN_LOSS, PLAIN_LOSS = "own", "plain"
"""Of the fit: with weights that let go of what fits too badly, and without."""


@dataclass(frozen=True, kw_only=True)
class SpottedPerson:
    """One person with and without spots, as photographed."""

    crops: Mapping[str, "Crop"]
    """`spots` and `plain`."""
    mask: Floats32
    """(S, S) 1 on the head, of the crops."""
    spots: Bools
    """(n, n) texels of spots, and what lies beside them."""
    near: Bools
    """(n, n) texels that spots may have an influence on."""
    relief: Floats32
    """(n, n) mm, the true one."""


def spots_gain(
    n_subjects: int,
    seed: int,
    *,
    deretoucher: "DeretouchNet | None" = None,
    hrn: "HrnMethod | None" = None,
    model: FaceModel | None = None,
    out: Path | None = None,
) -> dict[str, float]:
    """Measure what spots do to the displacement that is found.

    Parameters
    ----------
    deretoucher : DeretouchNet, optional
        The one that comes with facekit by default.
    hrn : HrnMethod, optional
        Trained networks that look at the same photographs.
    model : FaceModel, optional
        Of people and fit; the built-in head by default.
    out : Path, optional
        Folder for a picture of each person's displacement: truth, and without spots, with spots
        and the network off, with spots and the network on.

    Returns
    -------
    dict
        Root mean squares over the texels of all spots, and those beside them:

        `spots.error_off_mm`, `spots.error_on_mm`
            Displacement that the fit finds with spots, minus that without any and without the
            network; the network off, and on. `spots.gain`: by what share the second is smaller.
        `spots.plain_loss_error_off_mm`, `spots.plain_loss_error_on_mm`, `spots.plain_loss_gain`
            The same of a fit whose photometric loss believes all colours alike, as HRN's does,
            in place of the weights by which ours lets go of what is much too dark.
        `spots.truth_off_mm`, `spots.truth_on_mm`, `spots.truth_gain`
            As the first three, against the true relief, the mean difference taken out. Most of
            it is what shading does not tell, with spots or without: `spots.truth_plain_mm`.
        `spots.hrn_error_mm`
            As the first, of `hrn`; its displacement network does without the other one.

        Over the texels off the spots: `spots.harm_mm`, what the network changes of the
        photograph without any; beside `spots.relief_mm`, what is found there.
        `spots.n_texels`, `spots.subjects`

    Raises
    ------
    InputError
        This copy of facekit has no network.
    """
    from ..reconstruct.facetensors import face_tensors
    from ..reconstruct.fit import fit_model_of

    network = shipped_network() if deretoucher is None else deretoucher
    face = face_tensors(procedural_head() if model is None else model)
    laid_out = fit_model_of(face)
    rows, people = [], []
    for number in track(range(n_subjects), "spots"):
        person = spotted_person(
            face, seed=seed * 1000 + number, size=_MAP, anywhere=number % 2 == 1
        )
        found, valid = _displacements(person, face, laid_out, network)
        rows.append(_errors(person, found, valid))
        people.append(person)
        if out is not None:
            write_image(out / f"spots_{number:02d}.png", _picture(person, found[OWN_LOSS]))
    told = _summary(rows)
    return told if hrn is None else told | {"spots.hrn_error_mm": spot_error_mm(hrn, people)}


def spot_error_mm(method: "HrnMethod", people: Sequence[SpottedPerson]) -> float:
    """Return what spots of the skin do to the displacement of trained networks, mm.

    Root mean square, over texels of spots and those beside them, of the displacement found in a
    photograph with spots minus that found in the same photograph without.
    """
    total, n = 0.0, 0
    for person in people:
        maps, sure = zip(*(_by_networks(method, person.crops[name]) for name in ("spots", "plain")),
                         strict=True)  # fmt: skip
        at = person.spots & sure[0] & sure[1]
        total += float(((maps[0] - maps[1])[at] ** 2).sum())
        n += int(at.sum())
    return float(np.sqrt(total / max(n, 1)))


def shipped_network() -> "DeretouchNet":
    """Return the de-retouching network that comes with facekit.

    Raises
    ------
    InputError
        This copy has none.
    """
    from ..reconstruct.checkpoint import load_deretouch
    from ..reconstruct.shippedweights import DERETOUCH_FILE, shipped_file

    path = shipped_file(DERETOUCH_FILE)
    if path is None:
        raise InputError(f"{DERETOUCH_FILE}: this copy of facekit has none; install it again")
    return load_deretouch(path).network


def spotted_person(face: "FaceTensors", *, seed: int, size: int, anywhere: bool) -> SpottedPerson:
    """Draw a person with spots and photograph them twice.

    Parameters
    ----------
    size : int
        Texels a side of the maps.
    anywhere : bool
        Light from anywhere, in place of the studio's ring.
    """
    from ..reconstruct.samples.people import PeopleConfig, draw_lights
    from ..reconstruct.samples.retouch import spotless
    from ..reconstruct.samples.skintexels import albedo_texels, skin_texels, values_of

    model, rng = face.model, rng_of(seed, "spots")
    own = draw_skin(rng_of(seed, "skin"))  # as `single_view` draws it
    spotted = replace(
        own, freckles=float(rng.uniform(*_FRECKLES)), moles=float(rng.uniform(*_MOLES))
    )
    lights = draw_lights(PeopleConfig(studio_share=0.0), rng) if anywhere else led_ring(rng)
    views = {
        name: single_view(model, seed=seed, lights=lights, skin=skin)
        for name, skin in (("spots", spotted), ("plain", spotless(own)))
    }
    texels = skin_texels(model, size)
    values = [values_of(model, skin) for skin in (spotted, spotless(own))]
    bright = [albedo_texels(texels, v, spread_mm=_SPREAD_MM).mean(axis=1) for v in values]
    is_spot, height = np.zeros((size, size), np.uint8), np.zeros((size, size), np.float32)
    is_spot.ravel()[texels.rows] = bright[0] < (1 - SHARE) * bright[1]
    texel_mm = float(np.median(chart(model, size).texel_mm(model.mean).ravel()[texels.rows]))
    height.ravel()[texels.rows] = relief(
        texels.anchor, texels.paint, skin=values[1], edge_mm=texel_mm
    )
    return SpottedPerson(
        crops={name: _crop(view, view.image, face, seed) for name, view in views.items()},
        mask=_crop(views["plain"], views["plain"].mask, face, seed).image[..., 0],
        spots=_wider(is_spot, _BESIDE),
        near=_wider(is_spot, _NEAR),
        relief=height,
    )


def _crop(view: SingleView, image: AnyFloats | Bytes, face: "FaceTensors", seed: int) -> "Crop":
    from ..reconstruct.align import align, placement

    reference = face.five_points()
    scale, _ = placement(view.landmarks, size=224, reference5=reference)
    noise = rng_of(seed, "landmarks").normal(0.0, NOISE_PX / scale, (68, 2))
    return align(image, view.landmarks + noise, size=_CROP_PX, reference5=reference)


def _by_networks(method: "HrnMethod", crop: "Crop") -> tuple[Floats, Bools]:
    """Return the displacement (n, n), mm, of one photograph of a person, and where it is sure."""
    from ..reconstruct.hrnmethod import forward

    size = method.hrn.camera.size
    small = cv2.resize(crop.image, (size, size), interpolation=cv2.INTER_AREA)
    out = forward(method.hrn, np.asarray(small, np.float32), crop.image)
    return out.displacement_mm()[0].double().numpy(), out.valid[0, 0].numpy() > _SEEN


def _displacements(
    person: SpottedPerson, face: "FaceTensors", laid_out: Any, network: "DeretouchNet"
) -> tuple[dict[str, dict[str, Floats32]], Bools]:
    """Return the displacements (n, n), mm, that each loss finds, and where there are any."""
    from ..reconstruct.fit import fit
    from ..reconstruct.fit_again import displacement_in
    from ..reconstruct.fit_detail import DetailConfig
    from ..reconstruct.fitconfig import FitConfig

    found = fit(
        person.crops["plain"], face, FitConfig(detail=None), mask=person.mask, model=laid_out
    )
    size = len(person.spots)
    valid: Bools = np.ones(person.spots.shape, bool)
    losses: dict[str, dict[str, Floats32]] = {}
    for loss, config in (
        (OWN_LOSS, DetailConfig(map_size=size)),
        (PLAIN_LOSS, DetailConfig(map_size=size, robust=_ALL_BELIEVED)),
    ):
        maps = losses[loss] = {}
        for name, used in (("plain", None), ("plain on", network), ("spots", None),
                           ("spots on", network)):  # fmt: skip
            if loss == PLAIN_LOSS and name == "plain on":
                continue
            maps[name], told = displacement_in(
                person.crops[name.removesuffix(" on")], found, face, laid_out,
                mask=person.mask, config=config, deretoucher=used,
            )  # fmt: skip
            valid = valid & told
    return losses, valid


def _errors(
    person: SpottedPerson, found: Mapping[str, Mapping[str, Floats32]], valid: Bools
) -> dict[str, tuple[float, int]]:
    """Return sums of squares, mm², and over how many texels."""
    at, off = person.spots & valid, valid & ~person.near
    true = person.relief - person.relief[valid].mean()

    def squares(map_mm: Floats32, where: Bools) -> tuple[float, int]:
        return float((map_mm[where].astype(np.float64) ** 2).sum()), int(where.sum())

    own, loose = found[OWN_LOSS], found[PLAIN_LOSS]
    return {
        "error_off_mm": squares(own["spots"] - own["plain"], at),
        "error_on_mm": squares(own["spots on"] - own["plain"], at),
        "plain_loss_error_off_mm": squares(loose["spots"] - loose["plain"], at),
        "plain_loss_error_on_mm": squares(loose["spots on"] - loose["plain"], at),
        "truth_off_mm": squares(own["spots"] - true, at),
        "truth_on_mm": squares(own["spots on"] - true, at),
        "truth_plain_mm": squares(own["plain"] - true, at),
        "harm_mm": squares(own["plain on"] - own["plain"], off),
        "relief_mm": squares(own["plain"], off),
    }


def _summary(rows: Sequence[Mapping[str, tuple[float, int]]]) -> dict[str, float]:
    told: dict[str, float] = {}
    for name in rows[0]:
        total, n = (sum(row[name][k] for row in rows) for k in (0, 1))
        told[f"spots.{name}"] = float(np.sqrt(total / max(n, 1)))
    for gain, of in (("gain", "error"), ("plain_loss_gain", "plain_loss_error"),
                     ("truth_gain", "truth")):  # fmt: skip
        off, on = told[f"spots.{of}_off_mm"], told[f"spots.{of}_on_mm"]
        told[f"spots.{gain}"] = 1 - on / off if off > 0 else 0.0
    told["spots.n_texels"] = sum(row["error_off_mm"][1] for row in rows)
    told["spots.subjects"] = len(rows)
    return told


def _picture(person: SpottedPerson, found: Mapping[str, Floats32]) -> Bytes:
    """Return displacements beside each other, dark to light over the range that is fitted."""
    maps = [person.relief, found["plain"], found["spots"], found["spots on"]]
    maps += [3 * (found[name] - found["plain"]) for name in ("spots", "spots on")]
    levels = np.clip(np.concatenate(maps, axis=1) / (2 * _SHOWN_MM) + 0.5, 0, 1)
    return np.asarray(np.rint(255 * levels), np.uint8)


def _wider(texels: Bytes, side: int) -> Bools:
    return np.asarray(cv2.dilate(texels, np.ones((side, side), np.uint8)) > 0)
