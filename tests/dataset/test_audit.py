"""Files made to do harm are refused before any of their data are read, within a second."""

import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from facekit.benchmarks.dataset_bench_store import drawn_capture, write_drawn
from facekit.core.errors import FacekitError, InputError, SchemaError
from facekit.dataset.audit import audited, audited_member, open_shard
from facekit.dataset.seal import seal
from facekit.dataset.shardcheck import verify_shard

Fill = Callable[[h5py.File, Path], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "S7F3A.h5"
    record = drawn_capture(np.random.default_rng(3), fine=64, coarse=32, n_views=2)
    write_drawn(path, [record])
    return path.read_bytes()


def external_link(file: h5py.File, folder: Path) -> None:
    file["captures/E01/masks/cam07"] = h5py.ExternalLink(str(folder / "other.h5"), "/secret")


def link_to_a_group_elsewhere(file: h5py.File, folder: Path) -> None:
    del file["captures/E01"]
    file["captures/E01"] = h5py.ExternalLink(str(folder / "other.h5"), "/")


def soft_link(file: h5py.File, folder: Path) -> None:
    file["captures/E01/masks/cam07"] = h5py.SoftLink("/captures/E01/masks/cam00")


def dangling_link(file: h5py.File, folder: Path) -> None:
    file["captures/E02"] = h5py.SoftLink("/nowhere")


def cycle(file: h5py.File, folder: Path) -> None:
    file["captures/E01/maps/again"] = file["captures"]


def soft_cycle(file: h5py.File, folder: Path) -> None:
    file["captures/E01/maps/again"] = h5py.SoftLink("/captures/E01/maps/again")


def twice(file: h5py.File, folder: Path) -> None:
    file["captures/E01/masks/cam01b"] = file["captures/E01/masks/cam01"]


def raw_storage(file: h5py.File, folder: Path) -> None:
    secret = folder / "secret.txt"
    secret.write_bytes(b"s" * 64)
    put(file, "masks/cam00", shape=(64,), dtype="u1", external=[(str(secret), 0, 64)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout(shape=(64,), dtype="u1")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", shape=(64,))
    del file["captures/E01/masks/cam00"]
    file.create_virtual_dataset("captures/E01/masks/cam00", layout)


def huge_claim(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(1 << 26, 1 << 26), dtype="f2", chunks=(64, 64))


def overflowing_claim(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(1 << 40, 1 << 40, 1 << 20), dtype="f2", chunks=(4, 4, 4))


def huge_chunk(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(4, 4), maxshape=(None, None), dtype="f8", chunks=(1 << 14,) * 2)


def unstored(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(8192, 8192), dtype="f2", chunks=(64, 64))


def gzip_bomb(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", data=np.zeros((12000, 12000), np.float16), chunks=(12000, 12000),
        compression="gzip", compression_opts=9)  # fmt: skip


def chunk_that_unfolds(file: h5py.File, folder: Path) -> None:
    # a chunk of 64 bytes whose stream is of 64 MB: HDF5 would make room for all of it
    data = put(file, "masks/cam00", shape=(64,), dtype="u1", chunks=(64,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(64 << 20), 9))


def objects(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(4,), dtype=h5py.special_dtype(ref=h5py.Reference))


def variable_length(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(4,), dtype=h5py.vlen_dtype(np.uint8))


def texts(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(4,), dtype=h5py.string_dtype())


def compound(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(4,), dtype=np.dtype([("a", "f4"), ("b", "i4")]))


def foreign_filter(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", shape=(64, 64), dtype="f2", chunks=(64, 64), compression="lzf")


def named_type(file: h5py.File, folder: Path) -> None:
    file["captures/E01/maps/type"] = np.dtype("f4")


def no_shape(file: h5py.File, folder: Path) -> None:
    put(file, "maps/sigma", data=h5py.Empty("f2"))


def long_attribute(file: h5py.File, folder: Path) -> None:
    file["captures/E01"].attrs["stages_json"] = "x" * 100_000


def reference_attribute(file: h5py.File, folder: Path) -> None:
    file.attrs["other"] = file["captures"].ref


def many_attributes(file: h5py.File, folder: Path) -> None:
    for i in range(200):
        file.attrs[f"a{i}"] = i


def deep(file: h5py.File, folder: Path) -> None:
    file.create_group("captures/" + "/".join("g" * 3000))


def put(file: h5py.File, name: str, **how: object) -> h5py.Dataset:
    del file[f"captures/E01/{name}"]
    return file.create_dataset(f"captures/E01/{name}", **how)


HOSTILE = [
    external_link, link_to_a_group_elsewhere, soft_link, dangling_link, cycle, soft_cycle, twice,
    raw_storage, virtual, huge_claim, overflowing_claim, huge_chunk, unstored, gzip_bomb,
    chunk_that_unfolds, objects, variable_length, texts, compound, foreign_filter, named_type,
    no_shape, long_attribute, reference_attribute, many_attributes, deep,
]  # fmt: skip


def made(path: Path, good: bytes, fill: Fill) -> Path:
    path.write_bytes(good)
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["secret"] = np.zeros(64, np.uint8)
    with h5py.File(path, "r+") as file:
        fill(file, path.parent)
    seal(path)  # who made it can seal it, too
    return path


@pytest.mark.parametrize("fill", HOSTILE, ids=lambda fill: fill.__name__)
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


@pytest.mark.parametrize("where", ["captures", "captures/E01/maps"])
def test_hundred_thousand_groups_are_refused(tmp_path: Path, good: bytes, where: str) -> None:
    def fill(file: h5py.File, _: Path) -> None:
        group = file[where].id
        for i in range(100_000):
            h5py.h5g.create(group, f"g{i}".encode())

    path = made(tmp_path / "S7F3A.h5", good, fill)
    start = time.process_time()
    with pytest.raises(SchemaError, match="more than 20000 objects"):
        verify_shard(path, read_data=True)
    assert time.process_time() - start < 1


def test_objects_spread_over_groups_are_refused(tmp_path: Path, good: bytes) -> None:
    def fill(file: h5py.File, _: Path) -> None:
        for i in range(250):
            group = h5py.h5g.create(file["captures"].id, f"c{i:03d}".encode())
            for j in range(100):
                h5py.h5g.create(group, f"g{j}".encode())

    path = made(tmp_path / "S7F3A.h5", good, fill)
    start = time.process_time()
    with pytest.raises(SchemaError, match="more than 20000 objects"):
        verify_shard(path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("fill", "name"),
    [
        (external_link, "captures/E01/masks/cam07"),
        (link_to_a_group_elsewhere, "captures/E01/secret"),
        (soft_link, "captures/E01/masks/cam07"),
        (raw_storage, "captures/E01/masks/cam00"),
        (virtual, "captures/E01/masks/cam00"),
        (huge_claim, "captures/E01/maps/sigma"),
        (chunk_that_unfolds, "captures/E01/masks/cam00"),
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
