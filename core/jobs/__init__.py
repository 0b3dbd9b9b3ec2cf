"""Work that runs beside this process: in processes of its own, or on other machines."""

from .processes import apart, each_apart

__all__ = ["apart", "each_apart"]
