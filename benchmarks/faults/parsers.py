"""All readers under test."""

import importlib.util

from .parser import Parser


def all_parsers() -> tuple[Parser, ...]:
    """Return every parser that can be tried here, in order."""
    # late: these bring every library that reads a file
    from .parserscameras import camera_parsers
    from .parsersimages import image_parsers
    from .parsersmeshes import mesh_parsers
    from .parsersmodels import model_parsers
    from .parsersrecords import record_parsers
    from .parsersresults import result_parsers
    from .parsersstores import store_parsers

    found = (
        *image_parsers(),
        *mesh_parsers(),
        *camera_parsers(),
        *record_parsers(),
        *model_parsers(),
        *store_parsers(),
        *result_parsers(),
    )
    return tuple(p for p in found if p.needs is None or importlib.util.find_spec(p.needs))
