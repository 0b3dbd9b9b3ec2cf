"""A rendered dataset passes its checks, holds what was drawn, and is gone on with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.dataset.bake.deformation import OURS, Samples
from facekit.dataset.samples import FaceDataset
from facekit.dataset.verify import verify_dataset
from facekit.reconstruct.facetensors import face_tensors
from facekit.reconstruct.samples.augment import make_batch
from facekit.reconstruct.samples.rendered import RenderConfig, render_dataset
from facekit.reconstruct.samples.shards import ShardSource
from facekit.reconstruct.samples.virtual import VirtualConfig, VirtualSource

VIRTUAL = VirtualConfig(seed=5, n_people=2, takes=1, views=2, size=96)


def test_a_rendered_dataset_is_what_was_drawn_and_is_gone_on_with(tmp_path: Path) -> None:
    config = RenderConfig(virtual=replace(VIRTUAL, n_people=1), deformation_px=64)
    assert render_dataset(tmp_path, config)["rendered"] == 1
    first = (tmp_path / "subjects" / "virtual-5-0.h5").stat().st_mtime_ns
    more = replace(config, virtual=VIRTUAL)
    told = render_dataset(tmp_path, more)
    assert (told["kept"], told["rendered"], told["images"]) == (1, 1, 4)
    assert (tmp_path / "subjects" / "virtual-5-0.h5").stat().st_mtime_ns == first
    figures = verify_dataset(tmp_path, read_data=True)
    assert (figures.subjects, figures.captures, figures.images) == (2, 2, 4)

    model = procedural_head()
    face = face_tensors(model)
    read, drawn = ShardSource(tmp_path, model, size=110), VirtualSource(model, VIRTUAL)
    assert len(read) == len(drawn)
    for i, person in enumerate(read.people[:2]):
        a, b = (make_batch([s[i]], face, seed=0, augment=None) for s in (read, drawn))
        assert person == drawn[i].person
        assert (a.pixels - b.pixels).abs().max() < 0.1
        assert (a.landmarks - b.landmarks).abs().max() < 0.1
        assert (a.vertices - b.vertices).abs().max() < 1e-5
        assert (a.displacement - b.displacement).abs().max() < 0.6e-6, "half a step"
        assert (a.crop - b.crop).abs().mean() < 0.02

    # M0 and the map of what is left of it make M1, where the map can
    sample = FaceDataset(tmp_path, keys=["mesh/coarse_vertices", "mesh/vertices",
                                         "maps/deformation"])[0]  # fmt: skip
    at = Samples.of(model, 64, place=OURS)
    offset = at.at_vertices @ sample["maps/deformation"].reshape(-1, 3)
    left = sample["mesh/coarse_vertices"] + offset - sample["mesh/vertices"]
    face_only = at.known & model.regions["face"]
    assert np.percentile(np.linalg.norm(left[face_only], axis=1), 95) < 0.2


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    tiny = replace(VIRTUAL, n_people=1, views=1, size=64)
    render_dataset(tmp_path, RenderConfig(virtual=tiny))
    with pytest.raises(InputError, match="rendered with other settings"):
        render_dataset(tmp_path, RenderConfig(virtual=replace(tiny, seed=6)))
    shard = tmp_path / "subjects" / "virtual-5-0.h5"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert render_dataset(tmp_path, RenderConfig(virtual=tiny))["rendered"] == 1
    verify_dataset(tmp_path, read_data=True)
    (tmp_path / "render.json").unlink()
    with pytest.raises(InputError, match=r"shards but no render\.json"):
        render_dataset(tmp_path, RenderConfig(virtual=tiny))
