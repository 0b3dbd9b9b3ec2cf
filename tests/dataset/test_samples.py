"""Samples are what was stored, in every kind of worker, with handles that do not pile up."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from facekit.benchmarks.dataset_bench_store import drawn_capture, drawn_topology, write_drawn
from facekit.core.errors import InputError, SchemaError
from facekit.dataset.displacementcode import decoded_displacement
from facekit.dataset.manifest import split_of, write_manifest
from facekit.dataset.samples import MOST_OPEN, FaceDataset
from facekit.dataset.schema import FIELDS
from facekit.dataset.store import CaptureRecord
from facekit.dataset.topologyfile import write_topology

N_SUBJECTS = 11
KEYS = ("maps/displacement", "maps/valid", "maps/deformation", "images/cam01")

Stored = tuple[Path, dict[str, CaptureRecord]]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("dataset")
    write_topology(folder / "topology" / "drawn.h5", drawn_topology())
    records = {}
    for i in range(N_SUBJECTS):
        rng = np.random.default_rng(i)
        record = drawn_capture(rng, fine=48, coarse=16, n_views=2)
        records[f"S{i:04d}"] = record
        write_drawn(folder / "subjects" / f"S{i:04d}.h5", [record])
    write_manifest(folder, name="drawn", licence="CC0-1.0")
    return folder, records


def check(sample: dict, record: CaptureRecord) -> None:
    displacement = np.asarray(sample["maps/displacement"])
    assert displacement.dtype == np.float32
    np.testing.assert_array_equal(
        displacement, decoded_displacement(record.data["maps/displacement"])
    )
    np.testing.assert_array_equal(
        np.asarray(sample["maps/deformation"]), record.data["maps/deformation"]
    )


def test_samples_are_what_was_stored(stored: Stored) -> None:
    folder, records = stored
    data = FaceDataset(folder, keys=KEYS)
    assert len(data) == N_SUBJECTS
    for sample in data:  # ends by IndexError
        check(sample, records[sample["subject"]])
        assert sample["images/cam01"].shape == (16, 16, 3)
        assert sample["images/cam01"].dtype == np.uint8
        assert sample["maps/valid"].dtype == bool
    with pytest.raises(IndexError):
        data[N_SUBJECTS]


def test_all_fields_can_be_read(stored: Stored) -> None:
    folder, records = stored
    data = FaceDataset(folder, keys=[entry.path for entry in FIELDS])
    sample = data[0]
    record = records[sample["subject"]]
    assert set(sample) == {"subject", "capture", *record.data}
    assert sample["cameras/id"] == ("cam00", "cam01")
    assert sample["maps/sigma"].dtype == np.float32
    assert sample["masks/cam00"].dtype == bool
    # 16 bits a component: half a step is 1.5e-5
    length = np.linalg.norm(sample["maps/normal"], axis=-1)
    np.testing.assert_allclose(length, 1, atol=3e-5)
    assert sample["maps/normal"][..., 2].mean() > 0.9  # z is the third: channels are in order
    assert sample["maps/albedo"].dtype == np.uint8


def test_manifest_alone_is_read_at_first(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a shard was opened")

    monkeypatch.setattr(h5py, "File", opened)
    assert len(FaceDataset(stored[0])) == N_SUBJECTS


def test_splits_hold_subjects_apart(stored: Stored) -> None:
    splits = {s: FaceDataset(stored[0], split=s).subjects for s in ("train", "val", "test")}
    assert sorted(sum(splits.values(), ())) == sorted(stored[1])
    for split, subjects in splits.items():
        assert all(split_of(subject) == split for subject in subjects)


def test_handles_do_not_pile_up(stored: Stored) -> None:
    data = FaceDataset(stored[0], verify="off")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        for i in range(len(data)):
            data[i]
    assert len(os.listdir("/proc/self/fd")) - before <= MOST_OPEN  # noqa: PTH208
    data.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert data[0]["subject"] == "S0000"


def test_pickles_without_handles(stored: Stored) -> None:
    data = FaceDataset(stored[0], keys=KEYS)
    data[3]
    content = pickle.dumps(data)
    assert len(content) < 20_000
    check(pickle.loads(content)[3], stored[1]["S0003"])


@pytest.mark.parametrize("verify", ["off", "first", "always"])
def test_damage_is_found_or_said(stored: Stored, tmp_path: Path, verify: str) -> None:
    folder = shutil.copytree(stored[0], tmp_path / "dataset")
    path = folder / "subjects" / "S0000.h5"
    with h5py.File(path) as file:
        chunk = file["captures/E01/maps/displacement"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[512 + chunk.byte_offset + chunk.size // 2] ^= 16
    path.write_bytes(content)
    data = FaceDataset(folder, keys=["maps/displacement"], verify=verify)
    says = "checksum" if verify == "off" else "changed since"
    with pytest.raises(InputError, match=says):
        data[0]
    assert data[1]["subject"] == "S0001"
    path.unlink()
    with pytest.raises(InputError, match="S0000"):
        data[0]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"keys": ["maps/odd"]}, "no field"),
        ({"keys": ["images/cam77"]}, "has no images/cam77"),
        ({"split": "dev"}, "known are train"),
        ({"verify": "sometimes"}, "known are off"),
    ],
)
def test_wrong_wishes_are_refused(stored: Stored, how: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        FaceDataset(stored[0], **how)
    if says.startswith("has no"):
        assert len(FaceDataset(stored[0], skip_incomplete=True, **how)) == 0


def test_a_shard_that_took_anothers_name_is_not_read(stored: Stored, tmp_path: Path) -> None:
    """The second reading is of a file that was never verified, and holds another person."""
    root = tmp_path / "dataset"
    shutil.copytree(stored[0], root)
    data = FaceDataset(root, keys=["maps/valid"])
    data[0]
    first, second = sorted((root / "subjects").glob("*.h5"))[:2]
    shutil.copy(second, tmp_path / "other.h5")
    os.replace(tmp_path / "other.h5", first)
    data[0]  # what is open stays the file that it was
    data.close()
    for again in (data, FaceDataset(root, keys=["maps/valid"], verify="off")):
        with pytest.raises(SchemaError, match="holds subject"):
            again[0]


@pytest.mark.parametrize("locking", [True, False])
def test_a_shard_may_be_open_elsewhere(stored: Stored, locking: bool) -> None:
    """In the same process HDF5 asks for one way of locking; a notebook has h5py's."""
    data = FaceDataset(stored[0], keys=["maps/valid"])
    path = min((stored[0] / "subjects").glob("*.h5"))
    with h5py.File(path, locking=locking):
        data[0]
    data.close()
    data[0]
    with h5py.File(path):
        data[0]
    data.close()


def loaded(stored: Stored, *, start: str, workers: int, epochs: int) -> None:
    from torch.utils.data import DataLoader

    folder, records = stored
    data = FaceDataset(folder, keys=KEYS)
    data[0]  # the parent has a handle open when it forks
    loader = DataLoader(
        data, batch_size=2, shuffle=True, num_workers=workers,
        multiprocessing_context=start if workers else None,
        persistent_workers=workers > 0,
    )  # fmt: skip
    for _ in range(epochs):
        seen = []
        for batch in loader:
            for i, subject in enumerate(batch["subject"]):
                check({key: batch[key][i] for key in KEYS}, records[subject])
                seen.append(subject)
        assert sorted(seen) == sorted(records)


def test_loader_without_workers(stored: Stored) -> None:
    loaded(stored, start="", workers=0, epochs=2)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_loader_with_workers(stored: Stored, start: str) -> None:
    loaded(stored, start=start, workers=2, epochs=2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker")
@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("workers", [2, 8])
def test_loader_with_many_workers(stored: Stored, start: str, workers: int) -> None:
    loaded(stored, start=start, workers=workers, epochs=10)


def test_package_needs_no_torch(stored: Stored) -> None:
    code = (
        "import sys; from facekit.dataset.samples import FaceDataset; "
        f"FaceDataset({str(stored[0])!r})[0]; print('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "False"
