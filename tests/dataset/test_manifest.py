"""A dataset's manifest and hashes tell what is missing, too much, or changed."""

import errno
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from facekit.benchmarks.dataset_bench_store import drawn_capture, drawn_topology, write_drawn
from facekit.core.errors import InputError, SchemaError
from facekit.core.files import sha256_file
from facekit.dataset.manifest import read_manifest, read_sums, split_of, write_manifest
from facekit.dataset.topologyfile import write_topology
from facekit.dataset.verify import verify_dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_topology(folder / "topology" / "drawn.h5", drawn_topology())
    rng = np.random.default_rng(2)
    for subject, n in (("S7F3A", 2), ("QW2X4", 1)):
        names = [f"E{i:02d}" for i in range(n)]
        records = [drawn_capture(rng, fine=48, coarse=16, n_views=2, name=name) for name in names]
        write_drawn(folder / "subjects" / f"{subject}.h5", records)
    original = folder / "originals" / "sha256"
    content = b"a photograph"
    (folder / "photo").write_bytes(content)
    digest = sha256_file(folder / "photo")
    (original / digest[:2]).mkdir(parents=True)
    (folder / "photo").rename(original / digest[:2] / f"{digest[2:]}.jpg")
    write_manifest(folder, name="drawn", licence="CC0-1.0", splits={"QW2X4": "test"})
    return folder


@pytest.fixture
def dataset(tmp_path: Path, whole: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "dataset")


@pytest.mark.parametrize("read_data", [False, True])
def test_whole_dataset(dataset: Path, read_data: bool) -> None:
    figures = verify_dataset(dataset, read_data=read_data)
    assert (figures.subjects, figures.captures, figures.images) == (2, 3, 6)
    assert figures.files == 4
    assert figures.originals == 1
    assert figures.splits == {"test": 1, split_of("S7F3A"): 1}
    assert (figures.bytes_read > 100_000) == read_data
    assert figures.unfinished == ()


def test_hashes_are_those_of_sha256sum(dataset: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    words = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(words, cwd=dataset, check=True)


def test_manifest_comes_back(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    assert [subject.id for subject in manifest.subjects] == ["QW2X4", "S7F3A"]
    assert manifest.subjects[1].captures[0].views == ("cam00", "cam01")
    assert manifest.topologies == ("drawn",)
    assert json.loads((dataset / "dataset.json").read_text())["counts"]["captures"] == 3


def test_each_kind_of_damage_is_named(dataset: Path) -> None:
    shard = dataset / "subjects" / "S7F3A.h5"
    content = shard.read_bytes()
    shard.unlink()
    with pytest.raises(InputError, match=r"S7F3A\.h5: missing"):
        verify_dataset(dataset)
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    shard.write_bytes(damaged)
    for read_data in (False, True):  # by its seal, before HDF5 sees it
        with pytest.raises(InputError, match=r"S7F3A\.h5: changed"):
            verify_dataset(dataset, read_data=read_data)
    shard.write_bytes(content)
    (dataset / "subjects" / "XXXXX.h5").write_bytes(content)
    with pytest.raises(InputError, match=r"XXXXX\.h5: not in SHA256SUMS"):
        verify_dataset(dataset)
    with pytest.raises(SchemaError, match="holds subject 'S7F3A'"):
        write_manifest(dataset, name="drawn", licence="CC0-1.0")
    (dataset / "subjects" / "XXXXX.h5").unlink()
    original = next((dataset / "originals").rglob("*.jpg"))
    original.write_bytes(b"another photograph")
    verify_dataset(dataset)
    with pytest.raises(InputError, match="changed"):
        verify_dataset(dataset, read_data=True)


def test_a_changed_split_is_found_without_reading_data(dataset: Path) -> None:
    path = dataset / "dataset.json"
    path.write_text(path.read_text().replace('"train"', '"test"', 1))
    with pytest.raises(InputError, match=r"dataset\.json: changed since it was written"):
        verify_dataset(dataset)


def test_shards_must_be_what_the_manifest_says(dataset: Path) -> None:
    path = dataset / "dataset.json"
    before = sha256_file(path)
    value = json.loads((dataset / "dataset.json").read_text())
    value["subjects"][1]["captures"].pop()
    path.write_text(json.dumps(value))
    sums = dataset / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(before, sha256_file(path)))
    with pytest.raises(SchemaError, match=r"does not hold the captures"):
        verify_dataset(dataset)


def test_a_topology_must_be_there(dataset: Path) -> None:
    write_topology(dataset / "topology" / "drawn.h5", drawn_topology(side=50))
    with pytest.raises(SchemaError, match="topology"):
        verify_dataset(dataset)
    with pytest.raises(SchemaError, match="export it too"):
        write_manifest(dataset, name="drawn", licence="CC0-1.0")


def test_unfinished_files_are_told_and_not_listed(dataset: Path) -> None:
    part = dataset / "subjects" / "S7F3A.0a1b2c3d.part.h5"
    part.write_bytes(b"half")
    assert verify_dataset(dataset).unfinished == ("subjects/S7F3A.0a1b2c3d.part.h5",)
    write_manifest(dataset, name="drawn", licence="CC0-1.0")
    assert verify_dataset(dataset).files == 4


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../secret", "subjects/../../secret", "subjects/./a", "C:\\secret",
        "a\\..\\b", "subjects/\x00a", "subjects/\x7fa", "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "..",
    ],
)  # fmt: skip
def test_paths_that_lead_out_are_refused(dataset: Path, name: str) -> None:
    (dataset / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"no plain path|no hash and path|not readable"):
        read_sums(dataset)


def test_full_disk_is_one_sentence(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (dataset / "dataset.json").read_bytes()
    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(InputError, match=r"dataset\.json: could not be written: no space left"):
        write_manifest(dataset, name="drawn", licence="CC0-1.0")
    assert (dataset / "dataset.json").read_bytes() == before


def test_links_in_a_dataset_are_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (dataset / "subjects" / "A.h5").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="symbolic link"):
        verify_dataset(dataset)
    (dataset / "subjects" / "A.h5").unlink()
    (dataset / "more").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(InputError, match="symbolic link"):
        verify_dataset(dataset)


@pytest.mark.parametrize(
    "change",
    [
        {"subjects": [{"id": "../../x", "split": "train", "captures": []}]},
        {"subjects": [{"id": "A", "split": "train and test", "captures": []}]},
        {"subjects": [{"id": "A", "split": "train", "captures": []}] * 2},
        {"subjects": [{"id": "A", "split": "train", "captures": [{"name": "E"}]}]},
        {"subjects": 3},
        {"topologies": ["../x"]},
        {"licence": None},
    ],
)
def test_odd_manifests_are_refused(dataset: Path, change: dict) -> None:
    value = json.loads((dataset / "dataset.json").read_text()) | change
    (dataset / "dataset.json").write_text(json.dumps(value))
    with pytest.raises(SchemaError, match=r"dataset\.json"):
        read_manifest(dataset)


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shard"):
        write_manifest(tmp_path, name="drawn", licence="CC0-1.0")
    with pytest.raises(InputError, match="no such folder"):
        verify_dataset(tmp_path / "none")


def test_a_foreign_shard_is_refused(dataset: Path) -> None:
    with h5py.File(dataset / "subjects" / "OTHER.h5", "w") as file:
        file["x"] = 3
    with pytest.raises(SchemaError, match="not a facekit-hdf5 file"):
        write_manifest(dataset, name="drawn", licence="CC0-1.0")


def test_splits_by_hash_keep_their_shares() -> None:
    counts = Counter(split_of(f"S{i:05d}") for i in range(4000))
    # binomial: three standard deviations of 4000 draws are 76, 57 and 57
    assert abs(counts["train"] - 3200) < 76
    assert abs(counts["val"] - 400) < 57
    assert abs(counts["test"] - 400) < 57
    assert split_of("S7F3A") == split_of("S7F3A")
