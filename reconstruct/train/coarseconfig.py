"""Settings of the training of the coefficient network."""

from dataclasses import dataclass, field

from ...core.errors import ConfigError
from ...core.facemodel.checkpoint_tables import BACKBONE_NAMES, HrnLayout
from ..losses import LossWeights
from ..samples.augment import AugmentConfig
from .config import LoopConfig
from .samplefeed import DataConfig


@dataclass(frozen=True, kw_only=True)
class HeadRates:
    """Learning rates of the network's heads, times that of the rest.

    A head begins at zero and gives raw numbers, of which a step of one is much for some (radians,
    units of 100 mm) and little for others (standard deviations).
    """

    identity: float = 1.0
    expression: float = 0.3
    albedo: float = 1.0
    angles: float = 0.2
    light: float = 0.2
    translation: float = 0.1

    def of_heads(self) -> tuple[float, ...]:
        """Return the rates in the order of the network's seven heads."""
        return (self.identity, self.expression, self.albedo, self.angles, self.light,
                self.translation, self.translation)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CoarseConfig:
    """How the coefficient network is trained.

    Raises
    ------
    ConfigError
        A setting is out of its range.
    """

    loop: LoopConfig = field(default_factory=LoopConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    rates: HeadRates = field(default_factory=HeadRates)
    model: str = "builtin"  # face model, by name or file
    backbone: str = "resnet50"  # the paper's
    init: str | None = None  # weights of facekit's to begin with
    backbone_init: str | None = None  # a backbone's state (ImageNet's) as safetensors
    recognition: str | None = None  # TorchScript of a recognition network: code that is run
    standardise: bool = False  # features for the heads while they learn: quicker from scratch
    weight_decay: float = 0.0
    points: int = 3000  # vertices that shapes are compared at
    pictures: int = 32  # of a batch that are drawn for the terms of colours
    picture_px: int = 224  # a side of what is drawn
    landmark_width: int = 0  # of the network that corrects coefficients by landmarks; 0: none
    landmark_px: float = 2.0  # most sd of noise on top of the samples' landmarks, px of 224
    landmark_share: float = 0.9  # of landmarks that it is told
    mid_width: int = 64  # of the networks of detail in the exported file: untrained, silent
    high_width: int = 64
    mid_blocks: int = 9
    high_blocks: int = 9

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONE_NAMES:
            known = ", ".join(BACKBONE_NAMES)
            raise ConfigError(f"backbone = {self.backbone!r}: one of {known}")
        if not 0 <= self.landmark_share <= 1 or self.landmark_px < 0:
            raise ConfigError(
                f"landmark_share = {self.landmark_share}, landmark_px = {self.landmark_px}: from 0 "
                "to 1, and not below 0"
            )
        for name, least in (
            ("points", 100), ("pictures", 0), ("picture_px", 16), ("landmark_width", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}: at least {least}")

    def layout(self, counts: tuple[int, int, int]) -> HrnLayout:
        """Return the layout of the exported checkpoint, for a face model's modes."""
        return HrnLayout(
            counts=counts,
            backbone=self.backbone,
            mid_width=self.mid_width,
            high_width=self.high_width,
            mid_blocks=self.mid_blocks,
            high_blocks=self.high_blocks,
            landmark_width=self.landmark_width,
        )
