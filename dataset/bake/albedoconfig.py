"""`AlbedoConfig`: how photographs become albedo."""

from dataclasses import dataclass

from ...core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AlbedoConfig:
    """How photographs become albedo.

    Raises
    ------
    ConfigError
        A setting that cannot be used.
    """

    least_cosine: float = 0.2
    """Of the viewing angle; flatter views are not looked at."""
    feather_mm: float = 5.0
    """Over which a view fades towards borders of its frame and mask, and jumps of depth."""
    bias_mm: float = 1.0
    """By which a texel may lie behind the nearest surface and still be seen."""
    quantile: float = 0.35
    """Of the views' colours: their consensus. Gloss only adds light, so it is below one half."""
    smooth_mm: float = 4.0
    """Sigma of the differences between views that are evened out; finer ones are detail."""
    sharpness: float = 4.0
    """Power of resolution in a view's weight: the larger, the fewer views blend."""
    darkest_code: int = 3
    """8-bit code below which a pixel is too dark to count fully."""
    brightest_code: int = 249
    """8-bit code above which a pixel counts as saturated."""
    equalise: bool = True
    """Find a gain of each view from overlaps."""
    delight: bool = True
    """Estimate the light and divide it out."""
    n_rays: int = 256
    """Directions in which each vertex looks for what hides the light."""
    stiffness: float = 0.02
    """How firmly light that the seen normals do not tell stays even."""
    most_brightened: float = 2.5
    """By how much a texel becomes brighter at most where light is divided out: what is darker
    than that is a crease, in which skin lights skin."""
    softness: float = 0.4
    """Part of the diffuse normal that is smooth: light under the skin blurs its shading."""

    def __post_init__(self) -> None:
        if not 0 < self.least_cosine < 0.9:
            raise ConfigError(f"albedo: least_cosine = {self.least_cosine}: between 0 and 0.9")
        if not 0 < self.quantile < 1:
            raise ConfigError(f"albedo: quantile = {self.quantile}: between 0 and 1")
        for name in ("feather_mm", "bias_mm", "smooth_mm", "stiffness"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"albedo: {name} = {getattr(self, name)}: must be above zero")
        if not 0 <= self.softness <= 1:
            raise ConfigError(f"albedo: softness = {self.softness}: between 0 and 1")
        if not 0 <= self.darkest_code < self.brightest_code <= 255:
            raise ConfigError("albedo: give 0 <= darkest_code < brightest_code <= 255")
        if not 1 <= self.most_brightened <= 100:
            raise ConfigError(f"albedo: most_brightened = {self.most_brightened}: from 1 to 100")
        if self.n_rays < 16:
            raise ConfigError(f"albedo: n_rays = {self.n_rays}: give 16 or more")
