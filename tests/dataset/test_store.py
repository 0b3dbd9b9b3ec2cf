"""A shard is whole or not there: round trips, flipped bits, full disks, killed writers."""

import errno
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from facekit.benchmarks.dataset_bench_store import drawn_capture, flips_found, write_drawn
from facekit.core.errors import FacekitError, InputError, SchemaError
from facekit.core.facemodel.procedural import procedural_head
from facekit.dataset import schema
from facekit.dataset.diskfile import DiskFile, remove_leftovers
from facekit.dataset.displacementcode import decoded_displacement
from facekit.dataset.seal import SEAL_BYTES, check_seal, seal
from facekit.dataset.shardcheck import datasets, verify_shard, verify_topology
from facekit.dataset.store import (
    CaptureRecord,
    encode_displacement,
)
from facekit.dataset.topologyfile import read_topology, topology_of, write_topology


@pytest.fixture(scope="module")
def record() -> CaptureRecord:
    return drawn_capture(np.random.default_rng(1), fine=96, coarse=32, n_views=2)


@pytest.fixture
def shard(tmp_path: Path, record: CaptureRecord) -> Path:
    path = tmp_path / "subjects" / "S7F3A.h5"
    write_drawn(path, [record])
    return path


def changed(record: CaptureRecord, **data: Any) -> CaptureRecord:
    return replace(
        record, data={**record.data, **{k.replace("__", "/"): v for k, v in data.items()}}
    )


def test_every_field_comes_back(shard: Path, record: CaptureRecord) -> None:
    present = {schema.field_of(path).path for path in record.data}
    assert present == set(schema.by_path(schema.FIELDS))  # the drawn capture leaves none untested
    with h5py.File(shard) as file:
        found = datasets(file["captures/E01"])
        assert set(found) == set(record.data)
        for key, values in record.data.items():
            entry = schema.field_of(key)
            stored = found[key][()]
            assert stored.dtype == np.dtype(entry.dtype)
            wanted = np.char.encode(values, "ascii") if values.dtype.kind == "U" else values
            np.testing.assert_array_equal(stored, wanted.astype(entry.dtype))
            for name, value in record.data_attributes.get(key, {}).items():
                assert found[key].attrs[name] == value
        assert found["maps/displacement"].chunks == (96, 96)
        assert found["maps/displacement"].attrs["scale_mm"] == 1e-4
        assert file["captures/E01"].attrs["take"] == "take01"
        assert file.attrs["units_length"] == "mm"
    figures = verify_shard(shard, read_data=True)
    assert figures.n_images == 2
    assert figures.bytes_read == sum(found.nbytes for found in stored_arrays(record))


def stored_arrays(record: CaptureRecord) -> Iterator[np.ndarray]:
    for key, values in record.data.items():
        yield np.empty(values.shape, schema.field_of(key).dtype)


def test_equal_data_make_equal_files(shard: Path, record: CaptureRecord) -> None:
    before = shard.read_bytes()
    write_drawn(shard, [record])
    assert shard.read_bytes() == before


def test_displacement_is_kept_to_half_a_step() -> None:
    given = np.linspace(-3.2767, 3.2767, 4001)
    values, fits = encode_displacement(given)
    assert fits.all()
    # half of 0.1 um, and the rounding of float32 at 3.3 mm (2.4e-7)
    assert np.abs(decoded_displacement(values) - given).max() <= 0.5e-4 + 3e-7


def test_displacement_that_does_not_fit_is_told() -> None:
    values, fits = encode_displacement(np.array([0.0, 3.3, -3.3, np.nan, np.inf]))
    assert fits.tolist() == [True, False, False, False, False]
    assert (decoded_displacement(values) == 0).all()


def test_flipped_bits_are_found(shard: Path) -> None:
    rng = np.random.default_rng(7)
    assert flips_found(shard, n=300, rng=rng) == 300


def test_flips_of_seal_and_superblock_are_found(shard: Path) -> None:
    content = shard.read_bytes()
    for place in [*range(0, 96, 5), 300, SEAL_BYTES, SEAL_BYTES + 9, SEAL_BYTES + 40]:
        damaged = bytearray(content)
        damaged[place] ^= 4
        shard.write_bytes(damaged)
        with pytest.raises(FacekitError):
            verify_shard(shard, read_data=True)


def test_truncated_shards_are_found(shard: Path) -> None:
    content = shard.read_bytes()
    for length in (0, 100, 512, 700, len(content) // 2, len(content) - 1):
        shard.write_bytes(content[:length])
        with pytest.raises(FacekitError):
            verify_shard(shard, read_data=True)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"maps__sigma": np.full((96, 96), np.nan)}, "NaN"),
        ({"maps__displacement": np.zeros((96, 96), np.float32)}, "float32"),
        ({"maps__displacement": np.full((96, 96), -1)}, "beyond"),
        ({"maps__valid": np.full((96, 96), 2, np.uint8)}, "beyond 0 to 1"),
        ({"maps__valid": np.ones((48, 48), np.uint8)}, "fine"),
        ({"mesh__vertices": np.zeros((10, 3))}, "vertices"),
        ({"mesh__odd": np.zeros(3)}, "no field"),
        ({"images__no camera": np.zeros(3, np.uint8)}, "no field"),
        ({"images__cam77": np.zeros(3, np.uint8)}, "no readable image"),
        ({"maps__albedo": np.zeros(30, np.uint8)}, "no readable image"),
        ({"landmarks__points": np.zeros((60, 3))}, "shape"),
    ],
)
def test_what_does_not_fit_the_schema_is_not_written(
    shard: Path, record: CaptureRecord, data: dict[str, Any], says: str
) -> None:
    before = shard.read_bytes()
    with pytest.raises(InputError, match=says):
        write_drawn(shard, [changed(record, **data)])
    assert shard.read_bytes() == before
    assert [p.name for p in shard.parent.iterdir()] == [shard.name]


def test_a_missing_field_and_a_double_name_are_not_written(
    tmp_path: Path, record: CaptureRecord
) -> None:
    less = {key: values for key, values in record.data.items() if key != "mesh/pose"}
    with pytest.raises(SchemaError, match="mesh/pose is missing"):
        write_drawn(tmp_path / "A.h5", [replace(record, data=less)])
    with pytest.raises(InputError, match="two captures"):
        write_drawn(tmp_path / "A.h5", [record, record])
    with pytest.raises(InputError, match="'take' is not given"):
        write_drawn(tmp_path / "A.h5", [replace(record, attributes={})])
    assert not list(tmp_path.iterdir())


def reversioned(path: Path, version: str) -> Path:
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = version
    seal(path)
    return path


def test_versions(shard: Path, record: CaptureRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(shard, "r+") as file:
        del file.attrs["schema_version"]
        file.attrs["schema_version"] = "1.4.0"
        file["captures/E01/maps"].create_dataset("later", data=np.zeros(3))
    seal(shard)
    assert verify_shard(shard, read_data=True).captures[0].name == "E01"  # a later minor version
    with pytest.raises(SchemaError, match="no field"):
        verify_shard(reversioned(shard, "1.0.0"))
    with pytest.raises(SchemaError, match=r"version 2\.0\.0, but this facekit reads"):
        verify_shard(reversioned(shard, "2.0.0"))
    with pytest.raises(SchemaError, match="is none"):
        verify_shard(reversioned(shard, "new"))
    write_drawn(shard, [record])
    later = schema.Field(path="maps/later", dtype="<f4", shape=(3,), unit="", meaning="", since=1)
    monkeypatch.setattr(schema, "FIELDS", (*schema.FIELDS, later))
    monkeypatch.setattr(schema, "VERSION", "1.1.0")
    verify_shard(shard, read_data=True)  # an old file, without the field that 1.1 brought
    with pytest.raises(SchemaError, match="maps/later is missing"):
        verify_shard(reversioned(shard, "1.1.0"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.attrs.__setitem__("age", 33), "/: its attribute 'age' is none of the format"),
        (lambda f: f["captures/E01/maps"].attrs.__setitem__("x", 1), "'x' is none of the format"),
        (
            lambda f: f["captures/E01/maps/valid"].attrs.__setitem__("x", 1),
            "maps/valid: its attribute 'x' is none of the format",
        ),
        (lambda f: f.create_group("notes"), "/notes: nothing of the format"),
        (lambda f: f.create_group("captures/E01/notes"), "notes: a group of no field"),
        (
            lambda f: f["captures/E01/maps/displacement"].attrs.__setitem__("base", "M7"),
            "its attribute 'base' is 'M7', but the format has curved, flat, M1",
        ),
    ],
)
def test_what_is_not_of_the_format_is_refused(shard: Path, change: Any, says: str) -> None:
    """An attribute may describe a person as well as a field may; a later version may have it."""
    with h5py.File(shard, "r+") as file:
        change(file)
    with pytest.raises(SchemaError, match=re.escape(says)):
        verify_shard(shard)
    if "base" not in says:
        verify_shard(reversioned(shard, "1.7.0"))


def test_topology_round_trip(tmp_path: Path) -> None:
    model = procedural_head()
    path = tmp_path / "topology" / "procedural.h5"
    write_topology(path, topology_of(model))
    check_seal(path)
    assert verify_topology(path, read_data=True)["n_vert"] == model.n_vertices
    found = read_topology(path)
    for name in ("faces", "uv", "faces_uv", "landmarks68"):
        np.testing.assert_array_equal(getattr(found, name), getattr(model, name))
    assert set(found.regions) == set(model.regions)
    for name, mask in model.regions.items():
        np.testing.assert_array_equal(found.regions[name], mask)
    assert found.attributes() == topology_of(model).attributes()
    with pytest.raises(SchemaError, match="not a facekit-hdf5 file"):
        verify_shard(path)
    with h5py.File(path, "r+") as file:
        file["faces"][0] = file["faces"][1]
    with pytest.raises(InputError, match="changed since it was written"):
        read_topology(path)  # before HDF5 sees it
    seal(path)
    with pytest.raises(SchemaError, match="not those"):
        read_topology(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


FILL = """
import sys
from pathlib import Path
import numpy as np
from facekit.benchmarks.dataset_bench_store import drawn_capture, write_drawn
from facekit.core.errors import InputError
rng = np.random.default_rng(0)
record = drawn_capture(rng, fine=64, coarse=32, n_views=2)
sides = [int(n) for n in sys.argv[3:]]
for side in sides:
    more = [drawn_capture(rng, fine=side, coarse=32, n_views=2, name=f"E{i:02d}") for i in range(4)]
    try:
        write_drawn(Path(sys.argv[1]), more)
    except InputError as error:
        print(error)
    else:
        print("written")
if sys.argv[2] == "again":
    write_drawn(Path(sys.argv[1]), [record])
"""


def filled(path: Path, *sides: int, again: bool = True) -> list[str]:
    words = [sys.executable, "-c", FILL, str(path), "again" if again else "-", *map(str, sides)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=safe_env())
    # neither a crash at closing nor a traceback
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stderr == ""
    return done.stdout.splitlines()


def safe_env() -> dict[str, str]:
    return {**os.environ, "PYTHONSAFEPATH": "1"}


def test_full_disk_is_one_sentence_and_no_half_file(small_disk: Path) -> None:
    path = small_disk / "subjects" / "S7F3A.h5"
    said = filled(path, 600, 330, 700, 400)
    for line in said:
        assert line == f"{path}: could not be written: no space left on the disk; free some " \
            "and export again"  # fmt: skip
    # the same process can still write what fits, and nothing else is left behind
    assert [p.name for p in path.parent.iterdir()] == ["S7F3A.h5"]
    verify_shard(path, read_data=True)


def test_full_disk_keeps_the_older_file(small_disk: Path, record: CaptureRecord) -> None:
    path = small_disk / "S7F3A.h5"
    write_drawn(path, [record])
    before = path.read_bytes()
    assert "no space left" in filled(path, 700, again=False)[0]
    assert path.read_bytes() == before


def test_full_at_any_byte(tmp_path: Path, record: CaptureRecord) -> None:
    # in one process: a file may only grow to a limit that moves through the shard
    path = tmp_path / "S7F3A.h5"
    write_drawn(path, [record])
    size = path.stat().st_size
    path.unlink()
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for limit in np.linspace(0, size - 1, 30).astype(int):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), old[1]))
            with pytest.raises(InputError, match="no space left"):
                write_drawn(path, [record])
            assert not list(tmp_path.iterdir())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)
    write_drawn(path, [record])
    verify_shard(path, read_data=True)


@pytest.mark.parametrize("failure", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("nth", [1, 9, 40])
def test_failure_of_one_write_is_not_lost(
    shard: Path, record: CaptureRecord, monkeypatch: pytest.MonkeyPatch, failure: Exception,
    nth: int,
) -> None:  # fmt: skip
    before, write, count = shard.read_bytes(), os.pwrite, 0

    def failing(*words: Any) -> int:
        nonlocal count
        count += 1
        if count == nth:
            raise failure
        return write(*words)

    monkeypatch.setattr(os, "pwrite", failing)
    wanted = InputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(wanted, match="Input/output" if wanted is InputError else None):
        write_drawn(shard, [record])
    assert shard.read_bytes() == before
    assert [p.name for p in shard.parent.iterdir()] == [shard.name]


def test_failure_to_reach_the_disk_keeps_the_older_file(
    shard: Path, record: CaptureRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shard.read_bytes()

    def failing(_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(InputError, match="no space left"):
        write_drawn(shard, [changed(record, mesh__pose=np.ones((3, 4)))])
    assert shard.read_bytes() == before


def test_folder_that_cannot_be_written(tmp_path: Path, record: CaptureRecord) -> None:
    (tmp_path / "subjects").write_text("a file")
    with pytest.raises(InputError, match="could not be written"):
        write_drawn(tmp_path / "subjects" / "A.h5", [record])


LOOP = """
import sys
from pathlib import Path
import numpy as np
from facekit.benchmarks.dataset_bench_store import drawn_capture, write_drawn
records = [
    drawn_capture(np.random.default_rng(i), fine=300, coarse=32, n_views=2) for i in range(2)
]
print("ready", flush=True)
i = 0
while True:
    write_drawn(Path(sys.argv[1]), [records[i % 2]])
    i += 1
    print(i, flush=True)
"""


def kill_writers(path: Path, n: int, seed: int) -> int:
    """Kill `n` writers at random moments; return how many had published by then."""
    draw = random.Random(seed)
    published = 0
    for _ in range(n):
        with subprocess.Popen(
            [sys.executable, "-c", LOOP, str(path)], stdout=subprocess.PIPE, text=True,
            env=safe_env(),
        ) as writer:  # fmt: skip
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            before = path.read_bytes() if path.exists() else None
            time.sleep(draw.uniform(0, 0.25))
            writer.kill()
            acknowledged = writer.stdout.read().splitlines()
        if acknowledged:
            published += 1
            assert path.exists()
        if path.exists():
            verify_shard(path, read_data=True)
        else:
            assert before is None
    return published


def test_killed_writers_leave_whole_files(tmp_path: Path) -> None:
    kill_writers(tmp_path / "S7F3A.h5", 2, seed=0)


@pytest.mark.slow
def test_twenty_five_killed_writers_leave_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "S7F3A.h5"
    assert kill_writers(path, 25, seed=1) > 5
    others = [p for p in tmp_path.iterdir() if p != path]
    assert others  # the trial has hit writers at work
    for other in others:
        os.utime(other, (0, 0))
    remove_leftovers(path)
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_living_writers_stay(tmp_path: Path) -> None:
    path = tmp_path / "S7F3A.h5"
    alive = tmp_path / "S7F3A.0123abcd.part.h5"
    with DiskFile(alive):
        os.utime(alive, (0, 0))
        remove_leftovers(path)
        assert alive.exists()
    remove_leftovers(path)
    assert not alive.exists()
