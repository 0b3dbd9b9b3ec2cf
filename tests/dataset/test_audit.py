"""Files made to do harm are refused before any of their data are read, within a second."""

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from facekit.benchmarks.dataset_bench_store import drawn_capture, write_drawn
from facekit.benchmarks.faults import hostilehdf5 as hostile
from facekit.benchmarks.faults.hostilehdf5 import Fill
from facekit.core.errors import FacekitError, InputError, SchemaError
from facekit.dataset.audit import audited, audited_member, open_shard
from facekit.dataset.seal import seal
from facekit.dataset.shardcheck import verify_shard


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "S7F3A.h5"
    record = drawn_capture(np.random.default_rng(3), fine=64, coarse=32, n_views=2)
    write_drawn(path, [record])
    return path.read_bytes()


def made(path: Path, good: bytes, fill: Fill) -> Path:
    path.write_bytes(good)
    hostile.make_other(path.parent)
    with h5py.File(path, "r+") as file:
        fill(file, path.parent)
    seal(path)  # who made it can seal it, too
    return path


@pytest.mark.parametrize("fill", hostile.AUDITED, ids=lambda fill: fill.__name__)
@pytest.mark.parametrize("read_data", [False, True])
def test_hostile_file_is_refused(
    tmp_path: Path, good: bytes, fill: Fill, read_data: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "S7F3A.h5", good, fill)

    def read(*_: object) -> None:
        raise AssertionError("data were read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", read)
    start = time.process_time()
    with pytest.raises(SchemaError, match=r"S7F3A\.h5: /") as caught:
        verify_shard(path, read_data=read_data)
    assert time.process_time() - start < 1
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("fill", hostile.CROWDED, ids=lambda fill: fill.__name__)
def test_a_hundred_thousand_groups_are_refused(tmp_path: Path, good: bytes, fill: Fill) -> None:
    path = made(tmp_path / "S7F3A.h5", good, fill)
    start = time.process_time()
    with pytest.raises(SchemaError, match="more than 20000 objects"):
        verify_shard(path, read_data=True)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("fill", "name"),
    [
        (hostile.external_link, "captures/E01/masks/cam07"),
        (hostile.link_to_a_group_elsewhere, "captures/E01/secret"),
        (hostile.soft_link, "captures/E01/masks/cam07"),
        (hostile.raw_storage, "captures/E01/masks/cam00"),
        (hostile.virtual, "captures/E01/masks/cam00"),
        (hostile.huge_claim, "captures/E01/maps/sigma"),
        (hostile.chunk_that_unfolds, "captures/E01/masks/cam00"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_one_dataset_is_audited_by_itself(
    tmp_path: Path, good: bytes, fill: Fill, name: str
) -> None:
    path = made(tmp_path / "S7F3A.h5", good, fill)
    with open_shard(path) as file, pytest.raises(SchemaError):
        audited_member(file, path, name)


def test_what_is_not_there_is_said(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "S7F3A.h5"
    path.write_bytes(good)
    with open_shard(path) as file:
        for name in ("captures/E09/maps/valid", "captures/E01/maps/odd", "format/maps"):
            with pytest.raises(InputError, match="not there"):
                audited_member(file, path, name)
        with pytest.raises(SchemaError, match="no dataset"):
            audited_member(file, path, "captures/E01/maps")
        assert audited_member(file, path, "captures/E01/maps/valid").shape == (64, 64)
    with pytest.raises(InputError, match="no such file"), audited(tmp_path / "none.h5"):
        pass


def test_mutations_raise_no_other_errors(tmp_path: Path, good: bytes) -> None:
    # without a seal to tell: structure and checksums alone, errors of ours alone
    rng = np.random.default_rng(5)
    path = tmp_path / "S7F3A.h5"
    for _ in range(60):
        damaged = bytearray(good)
        for place in rng.integers(512, len(good), rng.integers(1, 20)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        seal(path)
        try:
            verify_shard(path, read_data=True)
        except FacekitError:
            continue
