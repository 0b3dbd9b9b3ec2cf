"""Samples packed on disk are the samples; what is there is kept."""

from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.reconstruct.samples.packed import PackedSource, pack
from facekit.reconstruct.samples.sample import Sample, Truth

N_VERTICES, SIZE, MAP = 7, 16, 8


class Toy:
    """Three people, two views each; the last without truth."""

    def __init__(self) -> None:
        self._truths = [_truth(k) for k in range(2)]

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        person = index // 2
        truth = self._truths[person] if person < 2 else None
        return Sample(
            image=rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
            mask=np.full((SIZE, SIZE), 255, np.uint8),
            landmarks=rng.normal(size=(68, 2)).astype(np.float32),
            person=f"p{person}",
            truth=truth,
        )


def _truth(seed: int) -> Truth:
    rng = np.random.default_rng(seed)
    return Truth(
        vertices=rng.normal(size=(N_VERTICES, 3)).astype(np.float32),
        support=np.ones(N_VERTICES, np.float32),
        identity=rng.normal(size=4).astype(np.float32),
        expression=rng.normal(size=2).astype(np.float32),
        K=np.diag([100.0, 100, 1]),
        cam_from_head=rng.normal(size=(3, 4)),
        displacement=rng.uniform(-0.3, 0.3, (MAP, MAP)).astype(np.float32),
        displacement_valid=rng.uniform(size=(MAP, MAP)) > 0.5,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "set"
    pack(Toy(), path, record={"toy": 1}, part=4, jobs=2)
    return path


def test_packed_samples_are_the_samples(folder: Path) -> None:
    source, packed = Toy(), PackedSource(folder, n_vertices=N_VERTICES)
    assert len(packed) == len(source)
    assert packed.people == ["p0", "p0", "p1", "p1", "p2", "p2"]
    for i in range(len(source)):
        want, got = source[i], packed[i]
        np.testing.assert_array_equal(got.image, want.image)
        np.testing.assert_array_equal(got.mask, want.mask)
        np.testing.assert_array_equal(got.landmarks, want.landmarks)
        assert (got.truth is None) == (want.truth is None)
        if got.truth is not None and want.truth is not None:
            np.testing.assert_array_equal(got.truth.vertices, want.truth.vertices)
            np.testing.assert_array_equal(got.truth.cam_from_head, want.truth.cam_from_head)
            np.testing.assert_array_equal(
                got.truth.displacement_valid, want.truth.displacement_valid
            )
            # half precision keeps eleven bits: 0.3 mm to a tenth of a micrometre
            np.testing.assert_allclose(got.truth.displacement, want.truth.displacement, atol=1.3e-4)


def test_what_is_packed_is_kept_and_what_lacks_is_made(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "set"
    pack(Toy(), path, record={"toy": 1}, part=4, jobs=1)
    parts = sorted(path.glob("part-*"))
    before = parts[0].stat().st_mtime_ns
    for file in parts[1].iterdir():
        file.unlink()
    parts[1].rmdir()
    assert len(PackedSource(path, n_vertices=N_VERTICES)) == 4
    pack(Toy(), path, record={"toy": 1}, part=4, jobs=1)
    assert parts[0].stat().st_mtime_ns == before
    assert len(PackedSource(path, n_vertices=N_VERTICES)) == 6


def test_samples_of_another_source_or_model_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="another source"):
        pack(Toy(), folder, record={"toy": 2}, part=4, jobs=1)
    with pytest.raises(InputError, match="7 vertices, the face model 9"):
        PackedSource(folder, n_vertices=9)
    with pytest.raises(InputError, match="no such file"):
        PackedSource(folder / "nowhere", n_vertices=N_VERTICES)


def test_a_damaged_part_is_told(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "set"
    pack(Toy(), path, record={"toy": 1}, part=6, jobs=1)
    (path / "part-0000000" / "image.npy").write_bytes(b"no array")
    packed = PackedSource(path, n_vertices=N_VERTICES)
    with pytest.raises(InputError, match=r"image\.npy: not readable"):
        packed[0]
