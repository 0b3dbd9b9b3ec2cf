"""Pages that would be too large get smaller pictures, wherever those stand."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from facekit.core.arrays import Bytes
from facekit.core.pagesize import fitted
from facekit.core.report import (
    Fold,
    Gallery,
    Grid,
    Page3D,
    Picture,
    Section,
    Status,
    picture,
    render_page,
)


def noise(rng: np.random.Generator, side: int) -> Bytes:
    """Return a picture that no format can pack."""
    return rng.integers(0, 256, (side, side, 3), dtype=np.uint8)


def size_of(one: Picture) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(one.uri.partition(",")[2]))) as image:
        return image.size


@pytest.fixture
def sections(rng: np.random.Generator) -> list[Section]:
    """Give pictures in a gallery, in a grid with a gap, folded away, and a small one."""
    jpeg, png = picture(noise(rng, 600)), picture(noise(rng, 300), lossless=True)
    small = picture(noise(rng, 60), caption="small")
    gallery = Gallery(pictures=[jpeg, small], caption="gallery")
    grid = Grid(columns=["a", "b"], rows=[("row", Status.GOOD, [png, None], ["said"])])
    drawing = Picture(uri="data:image/svg+xml;base64,PHN2Zy8+")
    folded = Fold(title="more", blocks=[Gallery(pictures=[jpeg, drawing])])
    page = Page3D(html="<p>view</p>")
    return [
        Section(title="one", blocks=[gallery, page]),
        Section(title="two", blocks=[grid, folded]),
    ]


def page_bytes(sections: list[Section]) -> int:
    return len(render_page(title="a", sections=sections).encode())


def test_what_fits_is_left_alone(sections: list[Section]) -> None:
    kept, scale = fitted(sections, 8_000_000)
    assert scale == 1 and kept == sections


def test_a_page_that_is_too_large_gets_below_its_limit(sections: list[Section]) -> None:
    most = page_bytes(sections) // 3
    reduced, scale = fitted(sections, most)
    assert 0.3 < scale < 0.8
    assert page_bytes(reduced) < most
    gallery, _ = reduced[0].blocks
    assert isinstance(gallery, Gallery) and gallery.caption == "gallery"
    large, small = gallery.pictures
    assert size_of(large) == (round(600 * scale),) * 2
    assert size_of(small) == (60, 60)  # already no more than a thumbnail
    grid, fold = reduced[1].blocks
    assert isinstance(grid, Grid) and isinstance(fold, Fold)
    (first, gap) = grid.rows[0][2]
    assert first is not None and gap is None
    assert size_of(first) == (round(300 * scale),) * 2
    (inner,) = fold.blocks
    assert isinstance(inner, Gallery)
    assert inner.pictures[0].uri == large.uri and inner.pictures[1].uri.endswith("PHN2Zy8+")


def test_the_smallest_is_the_end(sections: list[Section]) -> None:
    _, scale = fitted(sections, 1)
    assert scale == pytest.approx(0.33)
