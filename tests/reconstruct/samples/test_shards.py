"""What a dataset says of its photographs is what their samples say."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera, undistort
from facekit.core.geometry.transform import look_at
from facekit.dataset.bake.chart import chart
from facekit.dataset.export.encoding import as_array, jpeg
from facekit.dataset.manifest import write_manifest
from facekit.dataset.store import CaptureRecord, write_shard
from facekit.dataset.topologyfile import topology_of, write_topology
from facekit.reconstruct.samples.augment import projected
from facekit.reconstruct.samples.outline import outline
from facekit.reconstruct.samples.rendered import virtual_record
from facekit.reconstruct.samples.sample import Sample, Truth
from facekit.reconstruct.samples.shards import ShardSource, resized_relief

SIZE = 256
EYES = ((200.0, 30.0, 700.0), (-250.0, -20.0, 650.0), (0.0, 0.0, -800.0))
"""mm: two cameras before the face, one behind the head."""

Change = Callable[[dict[str, Any], dict[str, Any]], None]


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return procedural_head()


@pytest.fixture(scope="module")
def samples(model: FaceModel) -> list[Sample]:
    """Give photographs of a face that has waves in place of skin."""
    rng = np.random.default_rng(3)
    identity = 0.5 * model.sample_identity(rng)
    vertices = model.shape(identity)
    texels = chart(model, 256)
    made = []
    for eye in EYES:
        K = np.array([[1100.0, 0, SIZE / 2 + 7], [0, 1100, SIZE / 2 - 5], [0, 0, 1]])
        truth = Truth(
            vertices=vertices.astype(np.float32),
            support=np.ones(model.n_vertices, np.float32),
            identity=identity.astype(np.float32),
            expression=np.zeros(model.n_expression, np.float32),
            K=K,
            cam_from_head=look_at(np.array(eye), vertices.mean(axis=0)),
            displacement=0.3 * np.sin(texels.interpolated(model.mean[:, 1])),
            displacement_valid=texels.inside,
        )
        pixels = projected(truth)
        x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
        waves = np.stack([np.sin(x / 5), np.sin(y / 7), np.sin((x + y) / 9)], axis=-1)
        made.append(
            Sample(
                image=np.rint(127 + 100 * waves).astype(np.uint8),
                mask=outline(pixels, model.faces, SIZE),
                landmarks=pixels[model.landmarks68].astype(np.float32),
                person="virtual-0-1",
                truth=truth,
            )
        )
    return made


def _dataset(
    folder: Path, samples: list[Sample], model: FaceModel, change: Change | None = None
) -> Path:
    """Write a dataset of one take, changed or as it is."""
    record = virtual_record(samples, model, name="take00", deformation_px=16, told={})
    data, attributes = dict(record.data), dict(record.data_attributes)
    if change is not None:
        change(data, attributes)
    record = CaptureRecord(
        name=record.name, attributes=record.attributes, data=data, data_attributes=attributes
    )
    topology = topology_of(model)
    write_topology(folder / "topology" / f"{model.name}.h5", topology)
    write_shard(
        folder / "subjects" / "virtual-0-1.h5",
        attributes={
            "created_utc": "2026-01-01T00:00:00Z", "config_sha256": "0" * 64,
            "subject": "virtual-0-1", "consent_id": "none", "licence": "CC0-1.0",
        },
        topology=topology.attributes(),
        captures=[record],
    )  # fmt: skip
    write_manifest(folder, name="drawn", licence="CC0-1.0")
    return folder


def _truth(sample: Sample) -> Truth:
    assert sample.truth is not None
    return sample.truth


def test_a_dataset_of_samples_reads_back_as_these_samples(
    tmp_path: Path, samples: list[Sample], model: FaceModel
) -> None:
    source = ShardSource(_dataset(tmp_path, samples, model), model, size=320)
    assert source.people == ["virtual-0-1"] * 2, "not the one from behind"
    for read, given in zip(pickle.loads(pickle.dumps(source)), samples[:2], strict=True):
        now, before = _truth(read), _truth(given)
        assert np.array_equal(now.vertices, before.vertices)
        assert np.array_equal(now.identity, before.identity)
        assert np.array_equal(now.displacement_valid, before.displacement_valid)
        # kept in steps of 0.0001 mm
        apart = np.abs(now.displacement - before.displacement)[now.displacement_valid]
        assert apart.max() < 0.6e-4
        # another crop of the same photograph: by one scale and shift for points and pixels
        scale, shift = now.K[0, 0] / before.K[0, 0], now.K[:2, 2]
        shift = shift - scale * before.K[:2, 2]
        assert np.allclose(projected(now), scale * projected(before) + shift, atol=1e-3)
        assert np.allclose(read.landmarks, scale * given.landmarks + shift, atol=1e-3)
        back = (np.stack(np.meshgrid(np.arange(320), np.arange(320)), -1) + 0.5 - shift) / scale
        here = cv2.remap(given.image, (back - 0.5).astype(np.float32), None, cv2.INTER_CUBIC)  # type: ignore[call-overload]
        well_inside = ((back > 4) & (back < SIZE - 4)).all(axis=-1)
        apart = np.abs(read.image.astype(float) - here)[well_inside]
        assert apart.mean() < 4, "JPEG and another kernel"


def test_lenses_are_straightened(tmp_path: Path, samples: list[Sample], model: FaceModel) -> None:
    brown = np.array([-0.25, 0.1, 0.003, -0.002, 0.0])

    def bend(data: dict[str, Any], attributes: dict[str, Any]) -> None:
        for row in range(len(samples)):
            camera = Camera(
                name="", width=SIZE, height=SIZE, K=data["cameras/K"][row],
                cam_from_world=np.eye(3, 4), distortion=brown,
            )  # fmt: skip
            ideal = undistort(camera.normalise(camera.pixel_centers()), brown)
            at = (ideal @ camera.K[:2, :2].T + camera.K[:2, 2] - 0.5).astype(np.float32)
            bent = cv2.remap(samples[row].image, at, None, cv2.INTER_CUBIC)  # type: ignore[call-overload]
            data[f"images/view{row:02d}"] = as_array(jpeg(bent, quality=98))
            data["cameras/dist"][row, :5] = brown
            rays = samples[row].landmarks - camera.K[:2, 2]
            marks = replace(camera, cam_from_world=np.eye(3, 4)).project(
                np.column_stack([rays / camera.K[0, 0], np.ones(68)])
            )[0]
            data["landmarks/pixels"][row] = marks

    plain = ShardSource(_dataset(tmp_path / "plain", samples, model), model, size=224)
    bent = ShardSource(_dataset(tmp_path / "bent", samples, model, bend), model, size=224)
    for straight, bent_back in zip(plain, bent, strict=True):
        assert np.abs(straight.landmarks - bent_back.landmarks).max() < 1e-3
        assert np.allclose(_truth(straight).K, _truth(bent_back).K, atol=1e-3)
        apart = np.abs(straight.image.astype(float) - bent_back.image)[30:-30, 30:-30]
        assert apart.mean() < 4, "of waves of 100: sampled once more, compressed twice"


def test_what_is_not_given_follows_from_the_mesh(
    tmp_path: Path, samples: list[Sample], model: FaceModel
) -> None:
    def strip(data: dict[str, Any], attributes: dict[str, Any]) -> None:
        del data["landmarks/pixels"]
        for name in [name for name in data if name.startswith("masks/")]:
            del data[name], attributes[name]

    full = ShardSource(_dataset(tmp_path / "full", samples, model), model, size=224)
    bare = ShardSource(_dataset(tmp_path / "bare", samples, model, strip), model, size=224)
    for one, other in zip(full, bare, strict=True):
        assert np.abs(one.landmarks - other.landmarks).max() < 1e-3
        union = ((one.mask > 0) | (other.mask > 0)).sum()
        assert ((one.mask > 0) & (other.mask > 0)).sum() > 0.98 * union


def test_photographs_that_stereo_left_out_are_left_out(
    tmp_path: Path, samples: list[Sample], model: FaceModel
) -> None:
    def refuse(data: dict[str, Any], attributes: dict[str, Any]) -> None:
        data["cameras/valid"][0] = 0

    source = ShardSource(_dataset(tmp_path, samples, model, refuse), model, size=64)
    assert len(source) == 1
    assert np.allclose(_truth(source[0]).cam_from_head, _truth(samples[1]).cam_from_head)


def test_what_cannot_be_trained_on_is_refused(
    tmp_path: Path, samples: list[Sample], model: FaceModel
) -> None:
    folder = _dataset(tmp_path / "plain", samples, model)
    other = replace(model, name="other", faces=model.faces[::-1].copy(), quads=None)
    with pytest.raises(InputError, match="triangles are not those of 'other'"):
        ShardSource(folder, other)
    with pytest.raises(InputError, match="no photograph shows a face from before"):
        ShardSource(folder, model, most_yaw_deg=5)

    def fisheye(data: dict[str, Any], attributes: dict[str, Any]) -> None:
        data["cameras/dist"][:, 6] = 0.1

    rational = ShardSource(_dataset(tmp_path / "rational", samples, model, fisheye), model)
    with pytest.raises(InputError, match="k4 to k6"):
        rational[0]


def test_relief_is_averaged_over_what_is_known() -> None:
    fine = np.arange(16, dtype=np.float32).reshape(4, 4)
    valid = np.ones((4, 4), bool)
    valid[0, 0] = valid[:2, 2] = False
    half, known = resized_relief(fine, valid, 2)
    assert known.tolist() == [[True, False], [True, True]]
    assert half[0, 0] == pytest.approx((1 + 4 + 5) / 3) and half[0, 1] == 0
    assert half[1, 1] == pytest.approx((10 + 11 + 14 + 15) / 4)
    same, _ = resized_relief(fine, valid, 4)
    assert same[0, 0] == 0 and same[3, 3] == 15
