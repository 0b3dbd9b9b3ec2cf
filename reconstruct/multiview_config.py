"""The settings of a reconstruction of several views."""

from dataclasses import dataclass

from ..core.assets import find_asset
from ..core.errors import ConfigError
from .predict import ReconstructConfig
from .shippedweights import SHIPPED
from .views.loading import LoadConfig

EXPRESSIONS = ("auto", "shared", "per-view")


@dataclass(frozen=True, kw_only=True)
class MultiViewRunConfig(ReconstructConfig):
    """How faces are reconstructed of several views each.

    Raises
    ------
    ConfigError
        Settings that do not go together.
    """

    megapixels: float = 1.0  # of each view, spent on the head; never enlarged
    expressions: str = "auto"  # shared by all views, per-view, or auto: shared within one moment
    auto_mask: bool = True  # find a plain backdrop where a photograph has no mask
    compare: bool = False  # show in the report what the most frontal view alone would give
    picture_px: int = 320  # side of the pictures of views and surfaces

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.expressions not in EXPRESSIONS:
            raise ConfigError(f"expressions {self.expressions!r}: one of {', '.join(EXPRESSIONS)}")
        if not 16 <= self.picture_px <= 2048:
            raise ConfigError(f"picture_px = {self.picture_px}: give 16 to 2048")
        self.loading  # noqa: B018  checks megapixels

    def check_weights(self) -> None:
        """Refuse weights where nothing asks for them."""
        if SHIPPED in (self.checkpoint, self.deretouch):
            raise ConfigError("the shipped weights are for single photographs: give a file")
        given = self.checkpoint or self.deretouch
        if given and self.fit:
            raise ConfigError("a fit has no weights: leave out checkpoint and deretouch")
        if given and not self.compat:
            raise ConfigError(
                "several views need no weights, but for compat: add it, or leave them out"
            )

    @property
    def loading(self) -> LoadConfig:
        """How the photographs become views."""
        return LoadConfig(
            megapixels=self.megapixels,
            auto_mask=self.auto_mask,
            face=self.face,
            focal_px=self.focal_px,
        )

    @property
    def with_networks(self) -> bool:
        """Whether HRN's networks look at each view first: as released, where there are weights."""
        weights = self.checkpoint is not None or find_asset("hrn") is not None
        return self.compat and weights and not self.fit

    @property
    def method(self) -> str:
        """What records call it."""
        return ("hrn" if self.with_networks else "fit") + (" compat" if self.compat else "")
