"""Containers of checkpoints: whole ones are read, all others get their sentence.

No file here is larger than half a megabyte, and none may take more memory than that to refuse.
"""

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from facekit.core.errors import InputError
from facekit.core.facemodel.checkpoint_files import (
    TensorInfo,
    is_torch_file,
    read_safetensors_file,
    read_torch_file,
)


def saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def read(path: Path) -> Any:
    """Read either container, as the checks do."""
    if is_torch_file(path):
        return read_torch_file(path, what="a checkpoint")
    return read_safetensors_file(path, what="a checkpoint")


def refusal(check: Callable[[Path], Any], path: Path) -> str:
    """Return the sentence, which must be one, short, and name the file."""
    with pytest.raises(InputError) as caught:
        check(path)
    said = str(caught.value)
    assert path.name in said and "\n" not in said and len(said.replace(str(path), "")) < 300
    return said


@pytest.fixture
def content() -> dict[str, Any]:
    """Return tensors as checkpoints have them: views, parameters, and what is no tensor."""
    block = torch.arange(24.0).reshape(4, 6)
    state = OrderedDict([("weight", block[1:3]), ("bias", torch.nn.Parameter(torch.ones(2)))])
    return {"net": state, "turned": block.T, "half": torch.ones(3).half(), "epoch": 3, "rest": [{}]}


@pytest.mark.parametrize("is_legacy", [False, True])
def test_shapes_are_read_from_both_containers(
    content: dict[str, Any], tmp_path: Path, is_legacy: bool
) -> None:
    path = saved(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not is_legacy)
    found = read(path)
    assert found == read(path)  # nothing stays behind in the reader
    assert found["net"]["weight"] == TensorInfo(shape=(2, 6), dtype="float32")
    assert found["net"]["bias"] == TensorInfo(shape=(2,), dtype="float32")
    assert found["turned"] == TensorInfo(shape=(6, 4), dtype="float32")
    assert found["half"] == TensorInfo(shape=(3,), dtype="float16")
    assert found["epoch"] == 3 and found["rest"] == [{}]


@pytest.mark.parametrize("is_legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_a_file_cut_short_is_refused(
    content: dict[str, Any], tmp_path: Path, is_legacy: bool, share: float
) -> None:
    content["extra"] = torch.ones(100_000)  # raw bytes to be cut
    path = saved(content, tmp_path / "cut.pth", _use_new_zipfile_serialization=not is_legacy)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refusal(read, path)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(read, tmp_path / "absent.pth")
    assert "a folder; give the file itself" in refusal(read, tmp_path)
    for name, content in (("a.txt", b"hello, world"), ("a.npy", b"\x93NUMPY"), ("a.pkl", b"\x80")):
        path = tmp_path / name
        path.write_bytes(content)
        assert "neither torch's nor a safetensors file" in refusal(read, path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "not one of torch" in refusal(read, tmp_path / "other.zip")


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.call = function, given

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_bomb_does_not_go_off(content: dict[str, Any], tmp_path: Path, is_legacy: bool) -> None:
    """Neither at the top nor in a part that nobody needs."""
    for place in ("opt_00", "alpha"):
        bomb = {**content, place: Call(os.mkdir, str(tmp_path / "gone off"))}
        path = saved(bomb, tmp_path / "bomb.pth", _use_new_zipfile_serialization=not is_legacy)
        assert "refused, since it asks for posix.mkdir" in refusal(read, path)
    assert not (tmp_path / "gone off").exists()


def in_zip(path: Path, text: bytes, *, packed: bool = False, **raw: bytes) -> Path:
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a/data.pkl", text)
        for key, data in raw.items():
            archive.writestr(f"a/data/{key}", data)
    return path


LONG = (1 << 40).to_bytes(8, "little")
DEEP = b"\x80\x02}(" + b"K\x01" + b"\x85" * 300_000 + b"K\x01u."
HOSTILE = {
    "a text of a terabyte": b"\x80\x04\x8d" + LONG + b"x.",
    "bytes of a terabyte": b"\x80\x05\x96" + LONG + b"x.",
    "a number of two gigabytes": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "a stack that is empty": b"\x80\x02R.",
    "no end": b"\x80\x02}",
    "a name of nested tuples": DEEP,
    "a name with too many digits": b"\x80\x02}\x8b\x00\x10\x00\x00" + b"\x7f" * 4096 + b"K\x01s.",
    "a set": b"\x80\x04\x8f(K\x01\x90.",
    "extension codes": b"\x80\x02\x82\x01.",
    "a class made without being called": b"\x80\x02cposix\nsystem\n)\x81.",
    "a state for a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.",
    "a tensor of nothing": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))tR.",
    "a tensor of a text": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nX\x01\x00\x00\x00x\x85R.",
    "data of another kind": b"\x80\x02X\x01\x00\x00\x00xQ.",
    "lists in lists": b"\x80\x02" + b"(" * 300_000 + b"." ,
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_pickles_are_refused(tmp_path: Path, text: bytes) -> None:
    refusal(read, in_zip(tmp_path / "hostile.pth", text))
    header = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {}))
    path = tmp_path / "hostile_old.pth"
    path.write_bytes(header + text)
    refusal(read, path)


def test_a_packed_archive_is_refused(tmp_path: Path) -> None:
    path = in_zip(tmp_path / "packed.pth", pickle.dumps({"a": b"0" * 1_000_000}), packed=True)
    assert "refused, since it is packed" in refusal(read, path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a/data.pkl", "a/DATA.pkl"])
def test_an_archive_with_two_answers_is_refused(tmp_path: Path, second: str) -> None:
    """Readers differ in which of two entries they take."""
    path = in_zip(tmp_path / "two.pth", pickle.dumps({}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(second, pickle.dumps({"alpha": 1}))
    assert "a name stands twice" in refusal(read, path)


def test_raw_bytes_must_be_as_many_as_the_tensors_need(tmp_path: Path) -> None:
    path = saved({"alpha": torch.ones(4)}, tmp_path / "whole.pth")
    with zipfile.ZipFile(path) as archive:
        text = archive.read("whole/data.pkl")
    assert read_torch_file(in_zip(tmp_path / "b.pth", text, **{"0": bytes(16)}), what="x")
    for raw in ({}, {"0": bytes(12)}, {"1": bytes(16)}):
        path = in_zip(tmp_path / "cut.pth", text, **raw)
        assert "a/data/0: absent or cut short" in refusal(read, path)


@pytest.mark.parametrize(
    "header",
    [
        b"{" + b"x" * 40 + b"}",
        b'{"a": 3}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "Q9", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "lie.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    refusal(read, path)
