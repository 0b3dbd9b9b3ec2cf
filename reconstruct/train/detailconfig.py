"""Settings of the training of the mid and high generators."""

from dataclasses import dataclass, field

from ...core.errors import ConfigError
from ...core.facemodel.checkpoint_tables import HrnLayout
from ..samples.augment import AugmentConfig
from .config import LoopConfig
from .samplefeed import DataConfig


@dataclass(frozen=True, kw_only=True)
class DetailWeights:
    """What each term counts for. Those of HRN's release, where it has them."""

    photo: float = 1.92  # colours of the mid and of the high render, 0..1
    landmark: float = 1.6e-3  # px^2 of 224
    contour: float = 20.0  # image widths
    smooth: float = 5e3  # TV of the deformation map, model units
    smooth_std: float = 1e4  # how uneven its steps are
    displacement: float = 10.0  # mean |d|, model units
    displacement_smooth: float = 1e4  # TV of the displacement map, model units
    displacement_smooth_std: float = 1e4
    vertices: float = 1.0  # mm between M1 and the truth
    deformation: float = 0.3  # mm between the deformation map and the truth's
    relief: float = 20.0  # mm between the displacement map and the truth's
    slope: float = 20.0  # mm a texel between their steps: what the shading shows
    adversarial: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Parts of the method, to be left out one at a time to see what each is worth."""

    deformation: bool = True  # M1; without it M1 is M0
    displacement: bool = True
    contour: bool = True
    priors: bool = True  # all that is learnt from true maps: supervised and adversarial
    deretouch: bool = True  # where a network is given


@dataclass(frozen=True, kw_only=True)
class NetworkSizes:
    """The generators and their discriminators; the defaults are HRN's."""

    mid_width: int = 64
    mid_blocks: int = 9
    high_width: int = 64
    high_blocks: int = 9
    deformation_size: int = 64  # texels a side
    displacement_size: int = 256
    dropout: float = 0.5  # inside the blocks while they learn; slows small networks down
    judge_width: int = 64  # channels of the discriminators' first layer
    judge_normed: bool = True  # instance norm in them
    alpha: float = 0.01  # gain of the deformation map: at most 100 mm times it
    beta: float = 0.01  # of the displacement map
    start_at_zero: bool = False  # maps that begin as 0, whatever the gains


@dataclass(frozen=True, kw_only=True)
class DetailSteps:
    """How many of a batch each part of a step looks at, and from which step on."""

    high_from: int = 0  # step from which the high network learns, too: coarse to fine
    n_high: int = 32  # of a batch that it learns from
    n_rendered: int = 32  # of those that photo, landmark and contour terms look at
    adversarial_from: int = 0  # step

    def __post_init__(self) -> None:
        for name in ("high_from", "n_high", "n_rendered", "adversarial_from"):
            if getattr(self, name) < 0:
                raise ConfigError(f"steps.{name} = {getattr(self, name)}: not below 0")


@dataclass(frozen=True, kw_only=True)
class DetailRates:
    """Learning rates beside that of the loop, which is the generators'.

    A step of Adam moves all weights of the last layer at once, and with them a map by its rate
    times the layer's 49 inputs a channel times the gain: with gains as large as the maps need
    from the start, that layer wants a smaller rate than the others.
    """

    gains: float = 1.0  # of alpha and beta, times the loop's
    high: float = 1.0  # of the high generator, times the loop's
    last: float = 1.0  # of the generators' last layers, times theirs
    judges: float = 1e-4  # of the discriminators


@dataclass(frozen=True, kw_only=True)
class DetailConfig:
    """How the mid and high generators are trained, round a frozen coefficient network."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    weights: DetailWeights = field(default_factory=DetailWeights)
    parts: Parts = field(default_factory=Parts)
    sizes: NetworkSizes = field(default_factory=NetworkSizes)
    steps: DetailSteps = field(default_factory=DetailSteps)
    rates: DetailRates = field(default_factory=DetailRates)
    model: str = "builtin"  # face model, by name or file
    coarse: str = ""  # file with the coefficient network, such as an export of its training
    untrained: bool = False  # without `coarse`: round the mean face in the middle of the crop
    backbone: str = "resnet50"  # of that network, which is exported all the same
    deretouch: str | None = None  # file of the de-retouching network; None: A' is A0
    init: str | None = None  # file whose generators are begun with
    fine: int = 512  # px a side of the crops that textures are taken from; the paper's
    jitter: float = 0.0  # by which coefficients are put off, see `detailgiven.missed`
    prepared: str | None = None  # folder of what is worked out once; None: in each step
    n_prepared: int | None = None  # photographs in it, evenly spread over all; None: all
    copies: int = 1  # differently augmented versions of each

    def __post_init__(self) -> None:
        if self.n_prepared is not None and self.n_prepared < 1:
            raise ConfigError(f"n_prepared = {self.n_prepared}: at least 1")
        if self.copies < 1 or self.fine < 16:
            raise ConfigError(f"copies = {self.copies}, fine = {self.fine}: at least 1 and 16")

    def layout(
        self, counts: tuple[int, int, int], backbone: str, *, landmark_width: int = 0
    ) -> HrnLayout:
        """Return the layout of the checkpoint, for the coefficient network's numbers."""
        s = self.sizes
        return HrnLayout(
            counts=counts,
            backbone=backbone,
            mid_width=s.mid_width,
            mid_blocks=s.mid_blocks,
            high_width=s.high_width,
            high_blocks=s.high_blocks,
            deformation_size=s.deformation_size,
            displacement_size=s.displacement_size,
            landmark_width=landmark_width,
        )
