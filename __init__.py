"""facekit: multi-view face capture, ground truth, reconstruction and benchmarks."""

# pycolmap ships its own zlib; loaded first it makes every later PNG write abort ("double free").
import zlib as _zlib  # noqa: F401

__version__ = "0.1.0"
