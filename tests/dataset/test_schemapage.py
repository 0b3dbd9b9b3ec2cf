"""The page of the format is the one that its tables print."""

from pathlib import Path

import pytest

from facekit.dataset.schema import FIELDS, TOPOLOGY_FIELDS, field_of
from facekit.dataset.schemapage import schema_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats" / "hdf5.md"


@pytest.mark.skipif(not PAGE.parent.is_dir(), reason="not run from a checkout")
def test_page_is_up_to_date() -> None:
    said = "print it anew, as the head of dataset/schemapage.py says"
    assert PAGE.read_text(encoding="utf-8") == schema_page(), said


def test_every_field_is_told() -> None:
    for entry in (*FIELDS, *TOPOLOGY_FIELDS):
        assert f"`{entry.path}`" in schema_page()
        assert entry.meaning


def test_paths_lead_to_their_fields() -> None:
    for entry in FIELDS:
        path = entry.path.replace("*", "cam00")
        assert field_of(path) is entry
    for path in ("images", "images/", "images/a b", "images/*", "images/a/b", "maps", "", "odd/x"):
        assert field_of(path) is None
    assert field_of("regions/face", TOPOLOGY_FIELDS).shape == ("vertices",)
