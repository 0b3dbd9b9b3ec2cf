"""Contact sheets: a row of pictures a photograph, with titles above and a name below."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from ..core.arrays import Bytes

_BACKGROUND = (247, 247, 245)
_INK = (60, 60, 60)
_TITLE_PX, _NAME_PX, _GAP_PX = 26, 22, 4


def contact_sheet(rows: Sequence[tuple[str, Mapping[str, Bytes]]]) -> Bytes:
    """Lay out rows of (name, {title: picture}); titles are those of the first row.

    Parameters
    ----------
    rows : sequence
        Pictures (h, w, 3) uint8, all of one size; at least one row of at least one.
    """
    titles = list(rows[0][1])
    height, width = next(iter(rows[0][1].values())).shape[:2]
    across = len(titles) * (width + _GAP_PX) - _GAP_PX
    sheet = np.full((_TITLE_PX + len(rows) * (height + _NAME_PX), across, 3), _BACKGROUND, np.uint8)
    for i, title in enumerate(titles):
        _write(sheet, title, x=i * (width + _GAP_PX) + 4, y=_TITLE_PX - 9)
    for k, (name, pictures) in enumerate(rows):
        top = _TITLE_PX + k * (height + _NAME_PX)
        for i, title in enumerate(titles):
            left = i * (width + _GAP_PX)
            if title in pictures:
                sheet[top : top + height, left : left + width] = pictures[title]
        _write(sheet, name, x=4, y=top + height + _NAME_PX - 7)
    return sheet


def _write(sheet: Bytes, text: str, *, x: int, y: int) -> None:
    plain = text.encode("ascii", errors="replace").decode()  # OpenCV has no other letters
    cv2.putText(sheet, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
