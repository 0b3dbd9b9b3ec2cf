"""How fast shards are written and read, and whether a flipped bit is found.

The maps are drawn: octaves of smooth noise from 16 mm down to 0.12 mm, each with an amplitude
in proportion to its wavelength as on skin, 0.2 mm rms in all, and over it measuring noise of
5 um at every 0.15 mm, as far apart as the vertices of a scan are, which is 3 texels. No texel
is empty, although half of a baked chart is: such maps are written and read faster than these.
"""

import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ..core.arrays import Floats32
from ..core.errors import FacekitError
from ..dataset.audit import audited
from ..dataset.manifest import write_manifest
from ..dataset.schema import FIELDS, NAME, by_path
from ..dataset.seal import check_seal
from ..dataset.shardcheck import read_values, verify_shard
from ..dataset.store import (
    CaptureRecord,
    Written,
    encode_displacement,
    publish,
    put_field,
    write_shard,
)  # fmt: skip
from ..dataset.topologyfile import Topology, write_topology

_MM_WIDE = 200.0  # what a chart spans
_RMS_MM = 0.2
_NOISE_MM = 0.005
_NOISE_STEP_MM = 0.15
_N_FLIPS = 300
_REPEATS = 4  # the least of them counts: others share the machine

DISPLACEMENT = {"direction": "smooth vertex normal of M1, + outward", "base": "M1"}
"""Attributes of a displacement map."""


def store_figures(folder: Path, seed: int = 0, *, size: int = 4096) -> dict[str, float]:
    """Measure the store on a displacement map, one thread.

    Parameters
    ----------
    folder : Path
        Where to write; nothing stays.
    size : int
        Side of the map, texels.

    Returns
    -------
    dict
        `write_mb_s`, `read_mb_s`: uncompressed megabytes of the map alone over CPU seconds.
        Writing goes from the array to the sealed file; `verify_mb_s` is the reading back of the
        whole file, seal and checks included, that `write_shard` adds before it publishes.
        `ratio` of uncompressed to stored, `flips_found_of_300` of single flipped bits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    values, _ = encode_displacement(drawn_relief(rng, size))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "map.h5"
        trials = [_write_map(path, values) for _ in range(_REPEATS)]
        read_s = min(_read_seconds(path, values) for _ in range(2 * _REPEATS))
        shard = Path(place) / "subjects" / "BENCH2A.h5"
        written = write_drawn(
            shard, [drawn_capture(rng, fine=size // 2, coarse=min(256, size // 4), n_views=9)]
        )
        target = Path(place) / "flips" / "BENCH2B.h5"
        write_drawn(target, [drawn_capture(rng, fine=256, coarse=64, n_views=3)])
        found = flips_found(target, n=_N_FLIPS, rng=rng)
    return {
        "write_mb_s": round(values.nbytes / 1e6 / min(t.write_cpu_s for t in trials), 1),
        "read_mb_s": round(values.nbytes / 1e6 / read_s, 1),
        "verify_mb_s": round(written.data_bytes / 1e6 / written.verify_cpu_s, 1),
        "ratio": round(values.nbytes / trials[0].file_bytes, 3),
        f"flips_found_of_{_N_FLIPS}": found,
    }


def _write_map(path: Path, values: NDArray[np.uint16]) -> Written:
    """Write one displacement map the way a shard's are written."""
    entry = by_path(FIELDS)["maps/displacement"]

    def fill(file: h5py.File, check: Callable[[], None]) -> int:
        n_bytes = put_field(file, entry.path, entry, values, given=DISPLACEMENT, where="")
        check()
        return n_bytes

    return publish(path, fill, check_seal)


def _read_seconds(path: Path, values: NDArray[np.uint16]) -> float:
    with audited(path) as file:
        start = time.process_time()
        found = read_values(file["maps/displacement"], path, "maps/displacement")
        seconds = time.process_time() - start
    if not np.array_equal(found, values):
        raise AssertionError("a map came back changed")
    return seconds


def write_drawn(path: Path, captures: Sequence[CaptureRecord]) -> Written:
    """Write a shard of drawn captures."""
    return write_shard(
        path, attributes=drawn_attributes(path.stem), topology=drawn_topology().attributes(),
        captures=captures,
    )  # fmt: skip


def write_drawn_dataset(folder: Path, rng: np.random.Generator, *, n_subjects: int) -> None:
    """Write a dataset folder of drawn captures, one a subject."""
    write_topology(folder / "topology" / "drawn.h5", drawn_topology())
    for i in range(n_subjects):
        record = drawn_capture(rng, fine=256, coarse=64, n_views=2)
        write_drawn(folder / "subjects" / f"DRAWN{i:02d}.h5", [record])
    write_manifest(folder, name="drawn", licence="CC0-1.0")


def drawn_topology(*, side: int = 60) -> Topology:
    """Return a square grid (side, side) of vertices as a topology."""
    index = np.arange(side * side, dtype=np.int32).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    v, u = np.divmod(np.arange(side * side), side)
    return Topology(
        model="drawn", n_vertices=side * side, faces=faces, faces_uv=faces,
        uv=np.stack([u, v], axis=-1) / (side - 1), landmarks68=np.arange(68, dtype=np.int32),
        regions={"face": index.ravel() % 3 > 0},
    )  # fmt: skip


def flips_found(path: Path, *, n: int, rng: np.random.Generator) -> int:
    """Flip `n` single bits of a shard, one at a time; return how many `verify_shard` finds.

    An error that is no `FacekitError` passes through: a user would see a traceback.
    """
    content = path.read_bytes()
    trial, found = path.with_name("FLIPPED.h5"), 0
    for place in rng.integers(0, 8 * len(content), n):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        trial.write_bytes(damaged)
        try:
            verify_shard(trial, read_data=True)
        except FacekitError:
            found += 1
    trial.unlink(missing_ok=True)
    return found


def drawn_relief(rng: np.random.Generator, size: int) -> Floats32:
    """Draw a displacement map (size, size), mm, that has the spectrum of skin."""
    import cv2

    relief = np.zeros((size, size), np.float32)
    wavelength = 16.0
    nodes = round(_MM_WIDE / wavelength)
    while wavelength >= 0.12 and nodes < size:
        noise = rng.standard_normal((nodes, nodes), np.float32)
        relief += wavelength * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
        nodes, wavelength = 2 * nodes, wavelength / 2
    relief *= np.float32(_RMS_MM) / relief.std()
    nodes = min(size, round(_MM_WIDE / _NOISE_STEP_MM))
    noise = np.float32(_NOISE_MM) * rng.standard_normal((nodes, nodes), np.float32)
    relief += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return relief


def drawn_attributes(subject: str) -> dict[str, str]:
    """Return the attributes of a shard of drawn data."""
    assert NAME.fullmatch(subject)
    return {
        "created_utc": "2026-01-01T00:00:00Z",
        "config_sha256": "0" * 64,
        "subject": subject,
        "consent_id": "none",
        "licence": "CC0-1.0",
    }


def drawn_capture(
    rng: np.random.Generator, *, fine: int, coarse: int, n_views: int, name: str = "E01"
) -> CaptureRecord:  # fmt: skip
    """Draw a capture with every field of the format.

    Parameters
    ----------
    fine, coarse : int
        Sides of the displacement and of the deformation map.
    """
    n_vertices = drawn_topology().n_vertices
    cameras = [f"cam{i:02d}" for i in range(n_views)]
    displacement, fits = encode_displacement(drawn_relief(rng, fine))
    data: dict[str, NDArray[Any]] = {
        "cameras/K": np.tile(np.diag([900.0, 900.0, 1.0]), (n_views, 1, 1)),
        "cameras/RT": rng.standard_normal((n_views, 3, 4)),
        "cameras/dist": np.zeros((n_views, 8)),
        "cameras/size": np.full((n_views, 2), 640, np.int32),
        "cameras/id": np.array(cameras),
        "cameras/reproj_rms_px": np.full(n_views, np.nan),
        "cameras/valid": np.ones(n_views, bool),
        "mesh/vertices": rng.normal(0, 80, (n_vertices, 3)),
        "mesh/coarse_vertices": rng.normal(0, 80, (n_vertices, 3)),
        "mesh/support": rng.uniform(0, 1, n_vertices),
        "mesh/identity": rng.standard_normal(20),
        "mesh/expression": rng.uniform(0, 1, 12),
        "mesh/pose": np.eye(3, 4),
        "maps/deformation": np.stack([drawn_relief(rng, coarse) for _ in range(3)], axis=-1),
        "maps/deformation_valid": np.ones((coarse, coarse), bool),
        "maps/deformation_sigma": np.full((coarse, coarse), 0.05),
        "maps/displacement": displacement,
        "maps/valid": fits,
        "maps/sigma": rng.uniform(0.01, 0.03, (fine, fine)),
        "landmarks/points": rng.normal(0, 60, (68, 3)),
        "landmarks/sigma": np.full(68, 0.3),
        "landmarks/pixels": rng.uniform(0, 640, (n_views, 68, 2)),
    }
    images, attributes = _drawn_files(rng, cameras, coarse)
    attributes["maps/deformation"] = {
        "frame": "head, unposed", "base": "M0", "interp": "bilinear between texel centres",
    }  # fmt: skip
    attributes["maps/displacement"] = DISPLACEMENT
    return CaptureRecord(
        name=name,
        attributes={
            "take": "take01", "expression": "neutral", "session": "drawn",
            "capture_sha256": "0" * 64, "stages_json": "{}",
        },
        data=data | images,
        data_attributes=attributes,
    )  # fmt: skip


def _drawn_files(
    rng: np.random.Generator, cameras: Sequence[str], side: int
) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, Any]]]:
    """Return encoded images (side, side) and what their attributes say."""
    size = {"width": side, "height": side}
    data: dict[str, NDArray[Any]] = {
        "maps/normal": _drawn_normals(rng, side),
        "maps/tangent_normal": _drawn_normals(rng, side),
        "maps/albedo": _drawn_image(rng, side, "PNG"),
        "maps/albedo_valid": _drawn_image(rng, side, "PNG", "L"),
    }
    data |= {f"images/{camera}": _drawn_image(rng, side, "JPEG") for camera in cameras}
    data |= {f"masks/{camera}": _drawn_image(rng, side, "PNG", "L") for camera in cameras}
    attributes: dict[str, dict[str, Any]] = {key: dict(size) for key in data}
    attributes["maps/albedo"] |= {"colourspace": "sRGB", "calibrated": False}
    for camera in cameras:
        attributes[f"images/{camera}"] |= {
            "sha256_original": "0" * 64, "scale": side / 640, "colourspace": "sRGB",
        }  # fmt: skip
    return data, attributes


def _drawn_image(rng: np.random.Generator, side: int, kind: str, mode: str = "RGB") -> Any:
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    pixels = (128 + 60 * np.sin(np.arange(side) / 9)[:, None]).astype(np.uint8)
    pixels = np.broadcast_to(pixels if mode == "L" else pixels[..., None], shape)
    noisy = pixels + rng.integers(-9, 10, shape)
    if mode == "L":
        noisy = np.where(noisy > 128, 255, 0)
    buffer = io.BytesIO()
    PillowImage.fromarray(noisy.astype(np.uint8)).save(buffer, kind)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def _drawn_normals(rng: np.random.Generator, side: int) -> Any:
    import cv2

    normals = rng.normal(0, 0.1, (side, side, 3)) + np.array([0.0, 0.0, 1.0])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    coded = np.rint((normals[..., ::-1] + 1) / 2 * 65535).astype(np.uint16)
    done, content = cv2.imencode(".png", coded)
    assert done
    return content.ravel()
