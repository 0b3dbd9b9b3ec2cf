"""`BakeConfig`: the settings of the map baker."""

from dataclasses import dataclass, field

from ...core.errors import ConfigError
from .albedoconfig import AlbedoConfig
from .chart import LARGEST
from .maps import Base

_WIDEST_MARGIN_MM = 20.0


@dataclass(frozen=True, kw_only=True)
class BakeConfig:
    """How the maps of a take are baked.

    Raises
    ------
    ConfigError
        A size or a distance that cannot be used.
    """

    deformation_size: int = 256
    """Texels a side of the deformation map; HRN's network has 64."""
    displacement_size: int = 4096
    """Texels a side of displacement and normals; HRN's network has 256."""
    albedo_size: int = 4096
    """Texels a side of the albedo."""
    reach_mm: float = 3.0
    """How far from the registered surface the scan is looked for, along the normal both ways."""
    oversampling: int = 4
    """Most rays along a texel's side. A map coarser than the scan is averaged, not picked from
    it: detail finer than its texels would come back as noise."""
    base: Base = Base.CURVED
    """What displacement is measured from; what it cuts off of a face, flat triangles would add
    to it as a pattern of the model's, at the wavelengths of skin."""
    most_turned_deg: float = 60.0
    """Angle between the two normals up to which a hit is the same surface."""
    margin_mm: float = 1.0
    """What lies this close to a place that the scan did not measure, or to its border, is not
    valid: the patches that stereo compares, and its smoothing, reach over the edge."""
    most_sigma_mm: float = 0.2
    """What the scan knows less well is not valid: skin has hardly more relief than that."""
    spike_mm: float = 0.3
    """What departs more from the median around it is no skin, but a spike of the scan."""
    smooth_mm: float = 3.0
    """FaceScape's definition: detail is what a Gaussian of this sigma takes from the scan."""
    albedo: AlbedoConfig = field(default_factory=AlbedoConfig)
    """How photographs become albedo."""

    def __post_init__(self) -> None:
        for name in ("deformation_size", "displacement_size", "albedo_size"):
            size = getattr(self, name)
            if not 8 <= size <= LARGEST:
                raise ConfigError(f"{name} = {size}: a map has 8 to {LARGEST} texels a side")
        for name in ("reach_mm", "spike_mm", "smooth_mm", "most_sigma_mm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be above zero")
        if not 0 <= self.margin_mm <= _WIDEST_MARGIN_MM:
            raise ConfigError(f"margin_mm = {self.margin_mm}: give 0 to {_WIDEST_MARGIN_MM:g}")
        if not 1 <= self.oversampling <= 16:
            raise ConfigError(f"oversampling = {self.oversampling}: give 1 to 16 rays a side")
        if self.reach_mm > 3.2:
            raise ConfigError(f"reach_mm = {self.reach_mm}: 16-bit maps hold up to 3.2 mm")
        if not 0 < self.most_turned_deg < 90:
            raise ConfigError(f"most_turned_deg = {self.most_turned_deg}: between 0 and 90")
