"""Who is photographed for training: people, what their faces do, and the light on them.

Everything is a function of a seed: `person_of(seed, number)` is the same person each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...capture.virtual.beyond import OffModelSubject, smooth_field
from ...capture.virtual.lights import N_LIGHTS, Lights, led_ring
from ...capture.virtual.skin import Skin, draw_skin
from ...capture.virtual.studio import rng_of
from ...capture.virtual.subject import Subject
from ...core.facemodel.model import FaceModel


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """The population that is drawn from."""

    strength: float = 0.8  # sd of the identity coefficients
    beyond_model_mm: float = 1.2  # most of the sd of smooth shape that the model does not span
    beyond_share: float = 0.5  # of people who have any
    neutral_share: float = 0.5  # of takes at rest
    most_modes: int = 4  # of an expression; both sides of a face count as one
    studio_share: float = 0.6  # of takes in the studio's ring of lights; else light from anywhere


def draw_person(model: FaceModel, config: PeopleConfig, *, seed: int, number: int) -> Subject:
    """Draw a person at rest."""
    rng = rng_of(seed, f"person {number}")
    identity = model.sample_identity(rng, strength=config.strength)
    skin = _skin(rng)
    if rng.uniform() >= config.beyond_share:
        return Subject(model=model, identity=identity, skin=skin)
    beyond = smooth_field(
        model.mean,
        sd_mm=float(rng.uniform(0.2, 1.0)) * config.beyond_model_mm,
        seed=int(rng.integers(1 << 30)),
    )
    return OffModelSubject(model=model, identity=identity, skin=skin, beyond=beyond)


def _skin(rng: np.random.Generator) -> Skin:
    skin = draw_skin(rng)
    moles = float(rng.uniform(0.0, 0.25)) if rng.uniform() < 0.5 else 0.0
    return replace(skin, age=float(rng.uniform(0.0, 1.0)), moles=moles)


def draw_expression(
    names: Sequence[str], config: PeopleConfig, rng: np.random.Generator
) -> dict[str, float] | None:
    """Draw what a face does: None at rest, else a few modes, mostly both sides alike."""
    if rng.uniform() < config.neutral_share or not names:
        return None
    pairs = sorted({_both_sides(name) for name in names})
    chosen = rng.choice(len(pairs), size=int(rng.integers(1, config.most_modes + 1)), replace=False)
    activations: dict[str, float] = {}
    for i in chosen:
        strength = float(rng.beta(1.5, 2.0))
        for name in names:
            if _both_sides(name) == pairs[i]:
                activations[name] = float(np.clip(strength + 0.12 * rng.standard_normal(), 0, 1))
    return activations


def _both_sides(mode: str) -> str:
    """Return what a mode's left and right have in common: its name without the side."""
    return mode.removesuffix("_L").removesuffix("_R")


def draw_lights(config: PeopleConfig, rng: np.random.Generator) -> Lights:
    """Draw the light: the studio's ring, or one from anywhere before the face."""
    if rng.uniform() < config.studio_share:
        return led_ring(rng)
    directions = rng.normal(size=(N_LIGHTS, 3))
    directions[:, 2] = np.abs(directions[:, 2]) - 0.3
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    powers = rng.gamma(0.5, size=N_LIGHTS)
    ambient = float(rng.uniform(0.1, 0.5))
    facing = float(powers @ np.maximum(directions[:, 2], 0.0))
    powers *= (1 - ambient) / max(facing, 0.1 * float(powers.sum()))
    return Lights(directions=directions, powers=powers, ambient=ambient)
