"""Which weights a reconstruction uses: those given, those registered, or those that facekit ships.

`reconstruct/weights/` is for a small HRN of the built-in face model and its de-retouching network.
Which of them this version has, how they were trained, and how far they can be trusted, is in
`MODEL_CARD.md` beside them.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from ..core.assets import find_asset
from ..core.errors import InputError
from ..core.facemodel.load import BUILT_IN
from ..core.files import sha256_file

SHIPPED = "shipped"
"""What is given in place of a file: facekit's own weights, whatever is registered."""
HRN_FILE, DERETOUCH_FILE = "builtin-hrn.safetensors", "builtin-deretouch.safetensors"
NONE: Final = "none"
"""What is given in place of a file to do without the de-retouching network."""
MODEL_CARD = "MODEL_CARD.md"
REMARK = (
    "by the small weights that come with facekit, trained on virtual people alone; "
    "real faces may come out worse (--fit is the other way)"
)
NO_WEIGHTS = (
    "no weights of HRN are registered; run: facekit assets add hrn FILE, or give --checkpoint "
    "FILE, or fit without any weights: --fit"
)
_OTHER_MODEL = "; the weights that come with facekit are for the built-in face model alone"


@dataclass(frozen=True, kw_only=True)
class ChosenWeights:
    """The files of a reconstruction by networks."""

    checkpoint: Path
    """Of HRN's networks."""
    deretouch: Path | None
    """Of the de-retouching network; None: there is none."""
    source: str
    """`given`, `registered` or `shipped`, of the first."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of every result, a sentence each."""
        return (REMARK,) if self.source == SHIPPED else ()

    def record(self) -> dict[str, Any]:
        """Return what a summary tells of them, JSON-able."""
        told: dict[str, Any] = {"source": self.source, "checkpoint": _told(self.checkpoint)}
        told["deretouch"] = None if self.deretouch is None else _told(self.deretouch)
        if self.source == SHIPPED:
            told["model_card"] = str(self.checkpoint.with_name(MODEL_CARD))
        return told


def shipped_file(name: str) -> Path | None:
    """Return a file of the weights that come with facekit; None where this copy has none."""
    path = Path(str(resources.files(__package__).joinpath("weights", name)))
    return path if path.is_file() else None


def chosen_weights(
    model: str, *, checkpoint: str | None = None, deretouch: str | None = None
) -> ChosenWeights:
    """Choose weights for a face model: given before registered before shipped.

    Parameters
    ----------
    model : str
        What the face model is loaded by; the shipped weights are for the built-in one.
    checkpoint, deretouch : str, optional
        Files, or `shipped`; the second may be `none`.

    Raises
    ------
    InputError
        There are none, or shipped ones are asked for that this copy or face model has not.
    """
    own = checkpoint == SHIPPED
    found = None if checkpoint is None or own else Path(checkpoint)
    source = "given"
    if found is None and not own:
        found, source = find_asset("hrn"), "registered"
    if found is None:
        found, source = _shipped_hrn(model, asked=own), SHIPPED
    return ChosenWeights(checkpoint=found, deretouch=_deretouch(deretouch, source), source=source)


def fit_deretouch(given: str | None) -> Path | None:
    """Choose the de-retouching network of a fit: none unless it is asked for.

    A fit is there to do without trained weights. With the shipped network moles and freckles
    disturb its relief much less, see docs/benchmarks.md.

    Parameters
    ----------
    given : str, optional
        A file, `shipped` or `none`.

    Raises
    ------
    InputError
        The shipped one is asked for, and this copy has none.
    """
    return None if given is None else _deretouch(given, SHIPPED)


def _shipped_hrn(model: str, *, asked: bool) -> Path:
    if model not in BUILT_IN:
        raise InputError(NO_WEIGHTS + _OTHER_MODEL)
    found = shipped_file(HRN_FILE)
    if found is None:
        raise InputError(_absent(HRN_FILE) if asked else NO_WEIGHTS)
    return found


def _deretouch(given: str | None, source: str) -> Path | None:
    """Return the de-retouching network; facekit's own comes with facekit's own HRN."""
    if given == NONE:
        return None
    if given not in (None, SHIPPED):
        return Path(str(given))
    registered = find_asset("deretouch") if given is None else None
    if registered is not None:
        return registered
    if given != SHIPPED and source != SHIPPED:
        return None
    found = shipped_file(DERETOUCH_FILE)
    if found is None and given == SHIPPED:
        raise InputError(_absent(DERETOUCH_FILE))
    return found


def _absent(name: str) -> str:
    return f"{name}: this copy of facekit has no such weights; install it again"


def _told(path: Path) -> dict[str, str]:
    return {"file": str(path), "sha256": sha256_file(path)}
