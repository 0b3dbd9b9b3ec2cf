"""Keep a page small enough to be sent: its pictures get smaller until it fits."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from .report import Block, Fold, Gallery, Grid, Picture, Section, render_page

_STEPS = (0.85, 0.7, 0.58, 0.48, 0.4, 0.33)  # of the pictures' width and height
_QUALITY = 76  # of pictures that are made smaller
_JPEG, _PNG = "data:image/jpeg;base64,", "data:image/png;base64,"
_LEAST_PX = 90  # of the longer side: below, a picture is left as it is
_AROUND = 4000  # bytes of title, footer and the like


def fitted(sections: Sequence[Section], most_bytes: int) -> tuple[list[Section], float]:
    """Return the sections with pictures small enough for a page of `most_bytes`.

    Returns
    -------
    list of Section
        As they came, where they fit.
    float
        What pictures kept of their width and height, 0-1; the smallest there is where even that
        is too large.
    """
    blocks = [block for section in sections for block in section.blocks]
    uris = [one.uri for one in _pictures(blocks)]
    bare = _with_pictures(sections, dict.fromkeys(uris, ""))
    room = most_bytes - _AROUND - len(render_page(title="", sections=bare).encode())
    scale, small = 1.0, {uri: uri for uri in uris}
    for step in _STEPS:
        if sum(len(small[uri]) for uri in uris) <= room:
            break
        scale, small = step, {uri: _smaller(uri, step) for uri in small}
    return _with_pictures(sections, small), scale


def _with_pictures(sections: Sequence[Section], small: dict[str, str]) -> list[Section]:
    return [
        replace(section, blocks=[_with(block, small) for block in section.blocks])
        for section in sections
    ]


def _pictures(blocks: Sequence[Block]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Gallery):
            yield from block.pictures
        elif isinstance(block, Grid):
            yield from (one for row in block.rows for one in row[2] if one is not None)
        elif isinstance(block, Fold):
            yield from _pictures(block.blocks)


def _with(block: Block, small: dict[str, str]) -> Block:
    """Return a block with smaller pictures in it."""

    def of(one: Picture) -> Picture:
        return replace(one, uri=small[one.uri])

    if isinstance(block, Gallery):
        return replace(block, pictures=[of(one) for one in block.pictures])
    if isinstance(block, Grid):
        rows = [
            (name, status, [None if one is None else of(one) for one in row], remarks)
            for name, status, row, remarks in block.rows
        ]
        return replace(block, rows=rows)
    if isinstance(block, Fold):
        return replace(block, blocks=[_with(inner, small) for inner in block.blocks])
    return block


def _smaller(uri: str, scale: float) -> str:
    """Return a picture reduced; drawings (SVG) and what would not get smaller as they are."""
    if uri.startswith(_JPEG):
        head, options, suffix = _JPEG, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY], ".jpg"
    elif uri.startswith(_PNG):
        head, options, suffix = _PNG, [], ".png"
    else:
        return uri
    content = np.frombuffer(base64.b64decode(uri[len(head) :]), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if image is None or max(image.shape[:2]) <= _LEAST_PX:
        return uri
    size = tuple(max(1, round(scale * side)) for side in image.shape[1::-1])
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    packed = base64.b64encode(cv2.imencode(suffix, reduced, options)[1].tobytes()).decode()
    return min(uri, head + packed, key=len)
