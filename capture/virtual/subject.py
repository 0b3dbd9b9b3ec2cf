"""Who is photographed: a head, a person's identity and skin, an expression."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Floats
from ...core.errors import ConfigError
from ...core.facemodel.model import FaceModel
from .skin import Skin, draw_skin

NEUTRAL = "neutral"
_STRONGEST = 1.5  # beyond it the modes' linear paths leave the face


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A person with an expression; one person's skin pattern stays through all expressions."""

    model: FaceModel
    identity: Floats
    """(n_identity,) coefficients of the model."""
    skin: Skin
    expression: Mapping[str, float] | None = None
    """Mode -> activation; None at rest."""

    def vertices(self) -> Floats:
        """Return (V, 3), mm, in the head frame."""
        return self.model.shape(self.identity, self.expression)

    def showing(self, expression: str) -> "Subject":
        """Return this person with another expression (see `parse_expression`)."""
        return replace(self, expression=parse_expression(self.model, expression))


def draw_subject(
    model: FaceModel,
    *,
    identity_rng: np.random.Generator,
    skin_rng: np.random.Generator,
    strength: float = 0.7,
) -> Subject:
    """Draw a person of the population at rest.

    Parameters
    ----------
    strength : float
        Standard deviation of the identity coefficients: 1 is the model's population, smaller
        is nearer to its mean.
    """
    return Subject(
        model=model,
        identity=model.sample_identity(identity_rng, strength=strength),
        skin=draw_skin(skin_rng),
    )


def parse_expression(model: FaceModel, expression: str) -> dict[str, float] | None:
    """Return the activations of an expression as a take is named.

    `neutral`, or modes of the model joined by `+`, each perhaps with an activation:
    `mouthSmile_L+mouthSmile_R`, `jawOpen=0.6`.

    Raises
    ------
    ConfigError
        The model has no such mode, or an activation is no number or too large.
    """
    if expression == NEUTRAL:
        return None
    activations: dict[str, float] = {}
    for part in expression.split("+"):
        mode, equals, number = part.partition("=")
        if mode not in model.expression_names:
            known = ", ".join(model.expression_names)
            raise ConfigError(
                f"studio: the head {model.name!r} has no expression {mode!r}; "
                f"give {NEUTRAL!r} or modes joined by '+': {known}"
            )
        try:
            activation = float(number) if equals else 1.0
        except ValueError:
            raise ConfigError(f"studio: expression {part!r}: {number!r} is no number") from None
        if not abs(activation) <= _STRONGEST:  # NaN, too
            raise ConfigError(
                f"studio: expression {part!r}: give an activation from -{_STRONGEST} to "
                f"{_STRONGEST}; 1 is full strength"
            )
        activations[mode] = activation
    return activations
