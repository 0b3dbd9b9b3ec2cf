"""Readers of face models and weights under test: BFM, FLAME, ICT, torch's files, safetensors."""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from ...core.facemodel.bfm import load_bfm
from ...core.facemodel.bfmalbedo import BASE_FILE, MEAN_FILE, load_albedo_maps
from ...core.facemodel.checkpoint_check import check_deretouch, check_hrn
from ...core.facemodel.checkpoint_tables import COUNTER, HrnLayout, deretouch_table, hrn_table
from ...core.facemodel.flame import load_flame
from ...core.facemodel.flameparts import flame_landmarks, flame_uv
from ...core.facemodel.ict import load_ict
from ...core.facemodel.load import load_face_model
from ...core.facemodel.thinned import ThinnedFace, thinned_face
from ...reconstruct.checkpoint import load_deretouch, save_deretouch
from ...reconstruct.networks.deretouch import DeretouchNet
from ...reconstruct.train.board import LOG_FILE, read_log
from ...reconstruct.train.state import (
    Parts,
    Progress,
    load_weights,
    newest_sound,
    save_state,
    save_weights,
)
from .mutate import BYTES
from .mutateformats import ARCHIVE, NPY, PICKLE, SAFETENSORS
from .mutatetext import JSON, TEXT
from .parser import Parser

_CELL_MM = 8.0
_JOINTS = 5


def model_parsers() -> tuple[Parser, ...]:
    """Return what reads face models and weights."""
    return (
        Parser(name="bfm-mat", slow=True, make=_bfm,
               read=lambda root: load_bfm(root / "BFM_model_front.mat"),
               damage={"*.mat": BYTES, "*.npy": NPY}),
        Parser(name="bfm-albedo", make=_albedo, read=_read_albedo, damage={"*.npy": NPY}),
        Parser(name="flame-pkl", slow=True, make=_flame, read=_either("flame.pkl"),
               damage={"*": PICKLE}),
        Parser(name="flame-npz", slow=True, make=_flame_npz, read=_either("flame.npz"),
               damage={"*": ARCHIVE}),
        Parser(name="flame-parts", make=_flame_parts, read=_read_flame_parts,
               damage={"*.npz": ARCHIVE, "*.pkl": PICKLE, "*.obj": TEXT}),
        Parser(name="ict-npz", make=_ict, read=lambda root: load_ict(root / "ict.npz"),
               damage={"*": ARCHIVE}),
        Parser(name="hrn-torch", make=_hrn(True), read=lambda root: check_hrn(root / "hrn.pth"),
               damage={"*": ARCHIVE}),
        Parser(name="hrn-legacy", slow=True, make=_hrn(False),
               read=lambda root: check_hrn(root / "hrn.pth"),
               damage={"*": PICKLE}),
        Parser(name="deretouch-torch", make=_torch_deretouch,
               read=lambda root: check_deretouch(root / "net.pth"), damage={"*": ARCHIVE}),
        Parser(name="deretouch-safetensors", make=_deretouch,
               read=lambda root: load_deretouch(root / "net.safetensors"),
               damage={"*": SAFETENSORS}),
        Parser(name="training", make=_training, read=_read_training,
               damage={"*.safetensors": SAFETENSORS, "*.json": JSON, "*.jsonl": JSON}),
    )  # fmt: skip


@cache
def _face() -> ThinnedFace:
    """Return the face that all models here are of, made once in a process."""
    return thinned_face(_CELL_MM)


def _bfm(folder: Path) -> None:
    vertices, faces, landmarks = _face()
    rng, v, f = np.random.default_rng(7), len(vertices), len(faces)
    fields = {
        "meanshape": ((vertices + np.array([3.0, -2.0, 5.0])) / 100).reshape(1, -1),
        "idBase": rng.normal(size=(3 * v, 80)).astype(np.float32) / 100,
        "exBase": rng.normal(size=(3 * v, 64)).astype(np.float32) / 100,
        "meantex": np.full((1, 3 * v), 120, np.float32),
        "texBase": rng.normal(size=(3 * v, 80)).astype(np.float32),
        "tri": faces + 1.0,
        "point_buf": np.full((v, 8), f + 1.0),
        "keypoints": landmarks[None] + 1.0,
        "frontmask2_idx": np.arange(1.0, v // 2)[:, None],
        "tri_mask2": faces[: f // 2] + 1.0,
        "skinmask": np.ones((1, v)),
    }
    scipy.io.savemat(folder / "BFM_model_front.mat", fields)
    spread = np.ptp(vertices[:, :2], axis=0)
    uv = 0.05 + 0.9 * (vertices[:, :2] - vertices[:, :2].min(axis=0)) / spread
    np.save(folder / "bfm_uvs2.npy", uv.astype(np.float32))


def _albedo(folder: Path) -> None:
    rng = np.random.default_rng(2)
    np.save(folder / MEAN_FILE, rng.uniform(20, 230, (16, 16, 3)).astype(np.float32))
    np.save(folder / BASE_FILE, rng.normal(scale=5, size=(16 * 16 * 3, 3)).astype(np.float32))


def _read_albedo(root: Path) -> None:
    load_albedo_maps(root / MEAN_FILE, root / BASE_FILE, size=8, texels=16, n_modes=3)


def _flame_fields() -> dict[str, Any]:
    from scipy import sparse

    vertices, faces, _ = _face()
    v = len(vertices)
    modes = np.zeros((v, 3, 400), np.float32)
    modes[:, :, [0, 300]] = np.random.default_rng(3).normal(size=(v, 3, 2)) / 1000
    corner = (np.ones(_JOINTS), (range(_JOINTS), range(_JOINTS)))
    return {
        "v_template": vertices / 1000,
        "f": faces.astype(np.uint32),
        "shapedirs": modes,
        "posedirs": np.zeros((v, 3, 36), np.float32),
        "J_regressor": sparse.csc_matrix(corner, shape=(_JOINTS, v)),
        "weights": np.full((v, _JOINTS), 1 / _JOINTS),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
    }


def _flame(folder: Path) -> None:
    (folder / "flame.pkl").write_bytes(pickle.dumps(_flame_fields(), protocol=2))


def _flame_npz(folder: Path) -> None:
    fields = _flame_fields()
    fields["J_regressor"] = fields["J_regressor"].toarray()
    np.savez_compressed(folder / "flame.npz", **fields)


def _either(name: str) -> Callable[[Path], None]:
    """Read a file by its name alone, and as what it is: one reader is behind the other."""

    def read(root: Path) -> None:
        load_flame(root / name)
        load_face_model(str(root / name))

    return read


def _flame_parts(folder: Path) -> None:
    _, faces, landmarks = _face()
    at = np.array([int(np.flatnonzero((faces == v).any(axis=1))[0]) for v in landmarks])
    weights = np.where(faces[at] == landmarks[:, None], 0.8, 0.1)
    embedding = {"lmk_faces_idx": at, "lmk_bary_coords": weights}
    np.savez(folder / "marks.npz", lmk_faces_idx=at, lmk_bary_coords=weights)
    (folder / "marks.pkl").write_bytes(pickle.dumps(embedding, protocol=2))
    n = int(faces.max()) + 1
    np.savez(folder / "uv.npz", vt=np.full((n, 2), 0.5), ft=faces.astype(np.int64))
    rows = [f"v {i} 0 0" for i in range(n)] + [f"vt 0.{i} 0.5" for i in range(n)]
    rows += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces]
    (folder / "uv.obj").write_text("\n".join(rows) + "\n", encoding="ascii")


def _read_flame_parts(root: Path) -> None:
    faces = _face().faces
    for name in ("marks.npz", "marks.pkl"):
        flame_landmarks(root / name, faces)
    for name in ("uv.npz", "uv.obj"):
        flame_uv(root / name, faces)


def _ict(folder: Path) -> None:
    vertices, faces, landmarks = _face()
    v = len(vertices)
    parts = (
        "face", "head_neck", "mouth_socket", "eye_socket_left", "eye_socket_right", "gums_tongue",
        "teeth", "eyeball_left", "eyeball_right",
    )  # fmt: skip
    np.savez_compressed(
        folder / "ict.npz", neutral=vertices / 10, tri=faces, tri_uv=faces,
        uv=np.clip(vertices[:, :2] / 400 + 0.5, 0, 1),
        identity=np.full((2, v, 3), 0.01, np.float32), identity_names=np.array(["a", "b"]),
        expression=np.zeros((1, v, 3), np.float32), expression_names=np.array(["jawOpen"]),
        vertex_part=np.arange(v) % len(parts) * (np.arange(v) >= v - 9), part_names=np.array(parts),
        landmarks68=landmarks, jaw_right=landmarks[:8], jaw_left=landmarks[9:17],
        narrow_face_nverts=np.array(v // 2),
    )  # fmt: skip


def _light(table: dict[str, tuple[int, ...]]) -> "OrderedDict[str, Any]":
    """Return tensors of a table's names and shapes, each one number repeated."""
    import torch

    state: OrderedDict[str, Any] = OrderedDict()
    for i, (name, shape) in enumerate(table.items()):
        value = torch.tensor([3] if name.endswith(COUNTER) else [(1 + i) / 1000.0])
        state[name] = value.expand(shape) if shape else value[0]
    return state


def _hrn(is_zip: bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        import torch

        state = _light(hrn_table(HrnLayout(backbone="resnet50")))
        top: dict[str, Any] = {
            net: OrderedDict(
                (name.removeprefix(f"{net}."), tensor)
                for name, tensor in state.items()
                if name.startswith(f"{net}.")
            )
            for net in ("net_recon", "mid_net", "high_net")
        }
        top |= {"alpha": torch.tensor([0.5]), "beta": torch.tensor([0.25])}
        torch.save(top, folder / "hrn.pth", _use_new_zipfile_serialization=is_zip)

    return make


def _torch_deretouch(folder: Path) -> None:
    import torch

    torch.save({"generator": _light(deretouch_table())}, folder / "net.pth")


def _deretouch(folder: Path) -> None:
    save_deretouch(folder / "net.safetensors", DeretouchNet(width=2, size=32))


def training_parts() -> Parts:
    """Return the smallest network and its optimiser after one step."""
    import torch

    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return Parts(modules={"net": net}, optimisers={"net": optimiser}, averages={},
                 scaler=torch.amp.GradScaler("cpu", enabled=False))  # fmt: skip


def _training(folder: Path) -> None:
    parts = training_parts()
    save_state(folder / "state", parts, Progress(step=3), keep=2)
    save_weights(folder / "best.safetensors", parts.modules)
    lines = '{"step": 0, "terms": {"total": 0.2}, "rate": 0.1}\n{"after": 1, "validation": {}}\n'
    (folder / LOG_FILE).write_text(lines, encoding="utf-8")


def _read_training(root: Path) -> None:
    import torch

    read_log(root / LOG_FILE)
    newest_sound(root / "state")
    load_weights(root / "best.safetensors", {"net": torch.nn.Linear(3, 2)})
