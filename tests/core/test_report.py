"""The report page: one file, nothing fetched, every text escaped."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.rendering.colormap import SIGNED
from facekit.core.rendering.packedpage import packed, script_hashes
from facekit.core.report import (
    Badge,
    Block,
    ColorBar,
    Fold,
    Gallery,
    Grid,
    KeyFigure,
    KeyFigures,
    Missing,
    Page3D,
    Section,
    Status,
    Table,
    Text,
    new_plot,
    picture,
    plot,
    render_page,
    write_page,
)

NASTY = "<script>alert('x')</script> & \"cam\""


class Page(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, *names: str) -> list[str]:
        return [a[n] or "" for _, a in self.tags for n in names if n in a]


def gradient(width: int = 40, height: int = 60) -> np.ndarray:
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3)
    return ramp.astype(np.uint8)


def every_block() -> list[Section]:
    figure, axes = new_plot(3, 2)
    axes.plot([0, 1], [0, 1])
    small = picture(gradient(), NASTY, max_size=20)
    blocks = [
        KeyFigures(figures=[KeyFigure(label=NASTY, value=NASTY, note=NASTY, status=Status.GOOD)]),
        Text(text=NASTY, status=Status.BAD),
        Missing(what=NASTY, how=NASTY),
        Table(
            columns=[NASTY, "b"],
            rows=[[NASTY, Badge(text=NASTY, status=Status.NOTE)], [-1.5, None]],
            caption=NASTY,
        ),
        Gallery(
            pictures=[small, plot(figure), plot(figure, vector=False)],
            color_bar=ColorBar(colors=SIGNED, low=NASTY, high="1 mm"),
            caption=NASTY,
        ),
        Grid(columns=[NASTY], rows=[(NASTY, Status.BAD, [small], [NASTY]),
                                    ("gap", Status.BAD, [None], [])]),
        Page3D(html=f"<html><body title=\"a\">{NASTY}</body></html>", caption=NASTY),
        Fold(title=NASTY, blocks=[Text(text=NASTY)]),
    ]  # fmt: skip
    return [Section(title=NASTY, blocks=blocks, lead=NASTY), Section(title="Next", blocks=[])]


def test_page_fetches_nothing() -> None:
    page = Page(render_page(title="A session", sections=every_block()))
    sources = page.attributes("src", "href", "data", "poster", "action")
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    styles = " ".join(page.attributes("style"))
    assert "url(" not in styles


def test_images_are_data_uris_of_their_type() -> None:
    page = Page(render_page(title="A session", sections=every_block()))
    images = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    kinds = {source.split(";")[0] for source in images}
    assert kinds == {"data:image/jpeg", "data:image/svg+xml", "data:image/png"}


def test_text_is_escaped_everywhere() -> None:
    text = render_page(title=NASTY, sections=every_block(), subtitle=NASTY, footer=NASTY)
    page = Page(text)
    assert [tag for tag, _ in page.tags if tag == "script"] == []
    # title, heading, sections, every block: a reader sees the name as it is
    assert "".join(page.text).count("<script>alert('x')</script>") >= 15


def test_a_page_in_a_frame_arrives_unchanged() -> None:
    inner = '<html><body onload="f(1 && 2)">&amp; "quoted" it\'s</body></html>'
    section = Section(title="3D", blocks=[Page3D(html=inner)])
    page = Page(render_page(title="A", sections=[section]))
    (frame,) = [a for tag, a in page.tags if tag == "iframe"]
    assert frame["srcdoc"] == packed(inner)
    assert frame["sandbox"] == "allow-scripts"  # an origin of its own: it cannot reach the page


def test_the_page_forbids_what_it_does_not_need() -> None:
    def policy_of(*blocks: Block) -> str:
        page = Page(render_page(title="A", sections=[Section(title="B", blocks=blocks)]))
        (found,) = [a["content"] for _, a in page.tags if "http-equiv" in a]
        assert found is not None
        return found

    assert "default-src 'none'" in policy_of() and "script-src" not in policy_of()
    inner = "<script>view()</script>"
    shown = policy_of(Fold(title="more", blocks=[Page3D(html=inner)]))
    assert all(source in shown for source in script_hashes(inner))
    assert "script-src 'sha256-" in shown and "unsafe-eval" not in shown


def test_missing_parts_are_named_with_the_command() -> None:
    section = Section(title="Rig", blocks=[Missing(what="The rig", how="facekit calibrate")])
    text = "".join(Page(render_page(title="A", sections=[section])).text)
    assert "The rig: not made yet. Make it with facekit calibrate." in " ".join(text.split())


def test_sections_are_linked() -> None:
    sections = [Section(title=title, blocks=[]) for title in ("Key figures", "3D view")]
    page = Page(render_page(title="A", sections=sections))
    identifiers = {a["id"] for tag, a in page.tags if tag == "section"}
    targets = {source[1:] for source in page.attributes("href") if source.startswith("#")}
    assert targets == identifiers == {"key-figures", "3d-view"}


def test_the_same_plot_gives_the_same_picture() -> None:
    uris = set()
    for _ in range(2):
        figure, axes = new_plot(3, 2)
        axes.hist([1, 2, 2, 3])
        uris.add(plot(figure).uri)
    assert len(uris) == 1


def test_large_pictures_are_reduced() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (800, 600, 3), dtype=np.uint8)
    assert len(picture(noise, max_size=100).uri) < len(picture(noise).uri) / 30


def test_written_page_is_utf8_and_whole(tmp_path: Path) -> None:
    path = write_page(tmp_path / "deep" / "page.html", title="Größe × 2", sections=[])
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_ragged_table_is_refused() -> None:
    with pytest.raises(InputError, match="1 cells for 2 columns"):
        Table(columns=["a", "b"], rows=[["x"]])


def test_pictures_other_than_8_bit_are_refused() -> None:
    with pytest.raises(InputError, match="float64"):
        picture(np.zeros((4, 4, 3)))
