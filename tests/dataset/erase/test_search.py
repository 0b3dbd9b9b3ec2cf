"""A probe is found wherever it lies, and what cannot be opened is told."""

import bz2
import lzma
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facekit.dataset.erase import search as searching
from facekit.dataset.erase.probes import probes_of
from facekit.dataset.erase.search import PROBE_BYTES, Probes, search


def test_a_probe_is_found_at_every_place_of_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_BLOCK", 256)
    rng = np.random.default_rng(2)
    others = {rng.bytes(PROBE_BYTES) for _ in range(500)}
    probe = rng.bytes(PROBE_BYTES)
    probes = Probes({probe, *others})
    for place in range(0, 600):
        content = bytearray(rng.bytes(700))
        content[place : place + PROBE_BYTES] = probe
        assert probes.found_in(bytes(content[: place + PROBE_BYTES])) == {probe}
        assert probes.found_in(bytes(content)) == {probe}
        assert probes.found_in(bytes(content[: place + PROBE_BYTES - 1])) == set()


def test_random_bytes_are_taken_for_no_probe() -> None:
    rng = np.random.default_rng(3)
    probes = Probes({rng.bytes(PROBE_BYTES) for _ in range(2000)})
    assert probes.found_in(rng.bytes(1 << 22)) == set()
    assert Probes(set()).found_in(b"0" * 100) == set()


def test_packed_within_packed_is_opened(tmp_path: Path) -> None:
    probe = np.random.default_rng(4).bytes(PROBE_BYTES)
    content = b"\0" * 5000 + probe + b"\0" * 5000
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", content)
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.xz").write_bytes(lzma.compress(inner.read_bytes()))
    (root / "b.bz2").write_bytes(bz2.compress(content))
    assert probe not in (root / "a.xz").read_bytes() + (root / "b.bz2").read_bytes()
    found = search([root], Probes({probe}))
    assert sorted(Path(path).name for path in found.found) == ["a.xz", "b.bz2"]
    assert found.shut == []


def test_what_stays_shut_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    whole = bz2.compress(np.random.default_rng(5).bytes(5000))
    (tmp_path / "b.bz2").write_bytes(whole[:2000])
    (tmp_path / "c.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    found = search([tmp_path], Probes({bytes(range(PROBE_BYTES))}))
    assert [line.split(": ")[0].rsplit("/", 1)[1] for line in found.shut] == [
        "a.zst", "b.bz2", "c.h5"
    ]  # fmt: skip


def test_words_are_whole_and_in_text_or_names_alone(tmp_path: Path) -> None:
    for name, content in {
        "yes.txt": b"of QF7M2TZ, too", "no.txt": b"of QF7M2TZZ and AQF7M2TZ", "empty.txt": b"",
        "QF7M2TZ-1.txt": b"", "no.bin": b"\0 QF7M2TZ ",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    found = search([tmp_path], Probes(set()), {"QF7M2TZ"})
    assert [Path(path).name for path in found.mentions] == ["QF7M2TZ-1.txt", "yes.txt"]


def test_probes_stand_in_the_file_they_are_drawn_from(first_lab: Path) -> None:
    kinds = {}
    for path in sorted(first_lab.rglob("*")):
        if path.suffix in (".jpg", ".npz", ".h5", ".obj", ".glb", ".npy") and (
            "topology" not in path.parts and path.suffix not in kinds
        ):
            drawn = probes_of(path, random.Random(6))
            if not drawn:
                continue
            kinds[path.suffix] = len(drawn)
            copy = first_lab.parent / "one-file"
            copy.mkdir(exist_ok=True)
            (copy / path.name).write_bytes(path.read_bytes())
            assert search([copy], Probes(drawn)).probes == drawn, path
            (copy / path.name).unlink()
    assert set(kinds) == {".jpg", ".npz", ".h5", ".obj", ".glb", ".npy"}
