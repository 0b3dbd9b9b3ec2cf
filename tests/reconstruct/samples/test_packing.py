"""Whatever is packed reads back as its source gave it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.samples.packed import PackedSource
from facekit.reconstruct.samples.packing import PackConfig, pack_data


def test_photographs_with_a_table_beside_them_are_packed(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(  # the processes that pack are tested with `pack`
        "facekit.reconstruct.samples.packed.each_apart",
        lambda work, items, *, jobs: ((i, _Done(work(item))) for i, item in enumerate(items)),
    )
    model = procedural_head()
    flat = model.mean[model.landmarks68][:, :2] * (1.0, -1.0)
    points = flat - flat.mean(axis=0) + 128
    folder, out = tmp_path / "photographs", tmp_path / "packed"
    folder.mkdir()
    rows = ["camera,landmark,x,y"]
    for name in ("a", "b"):
        image = rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), image)
        rows += [f"{name},{k},{p[0]},{p[1]}" for k, p in enumerate(points)]
    (folder / "c.png").write_bytes(b"no photograph")
    with pytest.raises(InputError, match="neither a dataset"):
        pack_data(folder, out, PackConfig())
    (folder / "landmarks.csv").write_text("\n".join(rows) + "\n")
    told = pack_data(folder, out, PackConfig(size=96, part=1))
    assert (told["samples"], told["people"]) == (2, 2)
    assert [Path(name).name for name in told["left_out"]] == ["c.png"]
    assert pack_data(folder, out, PackConfig(size=96, part=1)) == told
    sample = PackedSource(out, n_vertices=model.n_vertices)[1]
    assert sample.truth is None and sample.image.shape == (96, 96, 3)
    with pytest.raises(InputError, match="samples of another source"):
        pack_data(folder, out, PackConfig(size=128, part=1))


class _Done:
    def __init__(self, value: object) -> None:
        self._value = value

    def result(self) -> object:
        return self._value
