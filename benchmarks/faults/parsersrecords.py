"""Readers of small records under test: sessions, consent, truth, settings, tables, scores, logs."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...capture.boards import parse_board
from ...capture.color import ColorCalibration, ColorCorrection, load_color, save_color
from ...capture.scan import read_order
from ...capture.session import CameraInfo, Session, Shot, Take, TakeKind, load_session, save_session
from ...capture.sidecar import Consent, Purpose, load_consent, read_consent, save_consent
from ...capture.tombstones import bury, refuse_erased
from ...capture.virtual.layouts import load_layout
from ...capture.virtual.truth import load_truth, save_truth
from ...core.assets import load_asset, register_asset
from ...core.config import from_mapping, load_yaml
from ...core.errors import InputError
from ...core.facemodel.landmark_schemes import Scheme
from ...core.facemodel.landmark_table import load_landmark_table
from ...core.facemodel.landmarks import load_placement
from ...core.files import StageKey, finished, sha256_file, stage_run, write_json
from ...core.imaging.imageio import write_image
from ...dataset.build import BuildConfig
from ...dataset.erase.identity import Identity
from ...dataset.erase.journal import Journal, open_journal
from ...dataset.export.provenance import stages_json
from ..esrc.layout import read_landmarks as read_esrc_landmarks
from ..evaluation.leaderboards import parse_leaderboard
from ..evaluation.scoresfile import read_scores
from ..micc.layout import read_landmark_ids, read_ljson
from ..now.layout import read_picked_points
from ..realy.layout import read_mask as read_realy_mask
from ..session_provenance import find_stages
from .mutateformats import PICKLE, YAML
from .mutatetext import JSON, TEXT
from .parser import Parser
from .parserscameras import small_rig


def record_parsers() -> tuple[Parser, ...]:
    """Return what reads records."""
    json_only = {"*.json": JSON}
    return (
        Parser(name="session", make=make_session, read=_read_session, damage=json_only),
        Parser(name="consent-form", make=_consent_form, read=_read_form, damage={"*": YAML}),
        Parser(name="consent", make=_consent, read=load_consent, damage=json_only),
        Parser(name="truth", make=_truth, read=load_truth, damage=json_only),
        Parser(name="tombstones", make=_tombstones, read=_read_tombstones, damage=json_only),
        Parser(name="color", make=_color, read=load_color, damage=json_only),
        Parser(name="layout", make=_layout, read=lambda root: load_layout(str(root / "rig.yaml")),
               damage={"*": YAML}),
        Parser(name="settings", make=_settings, read=_read_settings, damage={"*": YAML}),
        Parser(name="board", make=_boards, read=_read_boards,
               damage={"*.toml": TEXT, "*.yaml": YAML}),
        Parser(name="order", make=_text("order.txt", "a.jpg b.jpg, c.jpg # three\nd.jpg\n"),
               read=lambda root: read_order(root / "order.txt"), damage={"*": TEXT}),
        Parser(name="landmarks-csv", make=_text("marks.csv", _CSV),
               read=lambda root: load_landmark_table(root / "marks.csv"), damage={"*": TEXT}),
        Parser(name="landmarks-json", make=_marks_json,
               read=lambda root: load_landmark_table(root / "marks.json"), damage=json_only),
        Parser(name="placement", make=_placement, read=_read_placement, damage={"*": TEXT}),
        Parser(name="stage", make=_stage, read=_read_stage, damage=json_only),
        Parser(name="scores", make=_scores, read=_read_scores, damage=json_only),
        Parser(name="leaderboard", make=_text("board.yaml", _BOARD), read=_read_leaderboard,
               damage={"*": YAML}),
        Parser(name="journal", make=_journal,
               read=lambda root: open_journal((root,), "ABCDEFG"), damage={"*": JSON}),
        Parser(name="asset", make=_asset, read=_read_asset, damage=json_only),
        Parser(name="picked-points", make=_text("scan.pp", _POINTS),
               read=lambda root: read_picked_points(root / "scan.pp"), damage={"*": TEXT}),
        Parser(name="ljson", make=_ljson, read=lambda root: read_ljson(root / "a.ljson"),
               damage={"*": JSON}),
        Parser(name="landmark-ids", make=_ids, read=_read_ids,
               damage={"*.pkl": PICKLE, "*.json": JSON, "*.txt": TEXT}),
        Parser(name="lnd", make=_text("a.lnd", "\n".join(f"{i} 1.5 2 -3" for i in range(7))),
               read=lambda root: read_esrc_landmarks(root / "a.lnd"), damage={"*": TEXT}),
        Parser(name="realy-mask", make=_text("mask.txt", "0 1 1 0, 1\n"),
               read=lambda root: read_realy_mask(root / "mask.txt"), damage={"*": TEXT}),
    )  # fmt: skip


_CSV = (
    "# scheme: ibug68\ntake,camera,landmark,x,y,confidence\nneutral,cam03,30,1012.4,873.0,0.9\n"
    "neutral,cam03,31,950.1,1020.7,\n,cam04,8,1.5,2.5,1\n"
)
_BOARD = """\
title: Benchmark
note: as published
rows: {all: All, face: Face}
methods:
  - {name: One, source: paper, standing: read, values: {all: {median: 1.1, mean: 1.4}}}
  - {name: Two, source: site, standing: read, values: {face: {median: 0.9}}}
"""
_POINTS = (
    "<!DOCTYPE PickedPoints>\n<PickedPoints>\n"
    + "".join(f' <point x="{i}.5" y="2" z="-3e1" name="{i}" active="1"/>\n' for i in range(7))
    + "</PickedPoints>\n"
)


def make_session(folder: Path) -> None:
    """Write a session of one take, two cameras, a mask each."""
    rig, shots = small_rig(), []
    for k, camera in enumerate(rig):
        path = folder / f"images/neutral/{camera.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.full((30, 20, 3), 90 + 40 * k, np.uint8))
        shots.append(
            Shot(camera=camera.name, file=path.relative_to(folder).as_posix(),
                 sha256=sha256_file(path), bytes=path.stat().st_size, width=20, height=30)
        )  # fmt: skip
    infos = tuple(CameraInfo(id=c.name, width=20, height=30, serial="S1") for c in rig)
    board = parse_board("9x12:20:15:4X4_100")
    take = Take(id="neutral", kind=TakeKind.SUBJECT, shots=tuple(shots))
    save_session(
        Session(folder=folder, name="one", cameras=infos, takes=(take,), board=board, notes=("a",))
    )


def _read_session(root: Path) -> None:
    session = load_session(root)
    for take in session.takes:
        for shot in take.shots:
            session.read(shot)
            session.mask_path(shot)


def _who() -> Consent:
    return Consent(
        pseudonym="ABCDEFG", consent_version="1", date="2026-01-01", legal_basis="consent",
        purposes=(Purpose.RESEARCH,), image_publication=False, controller="University",
    )  # fmt: skip


def _consent_form(folder: Path) -> None:
    (folder / "consent.yaml").write_text(
        "pseudonym: ABCDEFG\nconsent_version: '1'\ndate: 2026-01-01\nlegal_basis: consent\n"
        "purposes: [research, sharing]\nimage_publication: false\nwithdrawal_date: null\n"
        "retention_until: 2036-01-01\ncontroller: University\nethics_ref: null\nnotes: none\n",
        encoding="utf-8",
    )


def _read_form(root: Path) -> None:
    read_consent(root / "consent.yaml")


def _consent(folder: Path) -> None:
    save_consent(folder, _who())


def _truth(folder: Path) -> None:
    save_truth(folder / "truth", small_rig(), {"board": np.eye(3, 4)}, {"head": "builtin"})


def _tombstones(folder: Path) -> None:
    bury(folder, "ABCDEFG", ["00" * 32])


def _read_tombstones(root: Path) -> None:
    refuse_erased(root, photographs=["11" * 32])


def _color(folder: Path) -> None:
    eye = tuple((float(k == 0), float(k == 1), float(k == 2)) for k in range(3))
    one = ColorCorrection(camera="cam00", matrix=eye, exposure=1.1)
    save_color(folder, ColorCalibration(corrections={"cam00": one}, missing={"cam01": "dark"}))


def _layout(folder: Path) -> None:
    (folder / "rig.yaml").write_text(
        "cameras:\n  - {yaw_deg: 0, distance_mm: 900}\n  - {yaw_deg: 30, pitch_deg: -5.5}\n"
        "sensor_width_mm: 24\ntarget_mm: [0, -5, 25]\n",
        encoding="utf-8",
    )


def _settings(folder: Path) -> None:
    text = "megapixels: 2.5\nregister: {landmark_weight: 1.0}\n"
    fields = BuildConfig.__dataclass_fields__
    kept = "".join(line + "\n" for line in text.splitlines() if line.split(":")[0] in fields)
    (folder / "build.yaml").write_text(kept or "{}\n", encoding="utf-8")


def _read_settings(root: Path) -> None:
    from_mapping(BuildConfig, load_yaml(root / "build.yaml"), where="build.yaml")


def _boards(folder: Path) -> None:
    (folder / "kalibr.yaml").write_text(
        "target_type: 'aprilgrid'\ntagCols: 6\ntagRows: 6\ntagSize: 0.088\ntagSpacing: 0.3\n",
        encoding="utf-8",
    )
    (folder / "board.toml").write_text(
        'board_x = 9\nboard_y = 12\nsquare_length = 20.0\nmarker_length = 15\nmarker_bits = 4\n'
        "dict_size = 100\n",
        encoding="utf-8",
    )  # fmt: skip


def _read_boards(root: Path) -> None:
    parse_board(str(root / "kalibr.yaml"))
    parse_board(str(root / "board.toml"))


def _text(name: str, text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return make


def _marks_json(folder: Path) -> None:
    points = [{"camera": "cam03", "landmark": 30 + i, "x": 1012.4, "y": 87.0} for i in range(3)]
    write_json(
        folder / "marks.json",
        {"format": "facekit-landmarks", "version": 1, "scheme": "ibug68", "points": points},
    )


def _placement(folder: Path) -> None:
    rows = "".join(f"{i}, 0.2, 0.3, 0.5\n" for i in range(68))
    (folder / "placement.txt").write_text("# triangle, weights\n" + rows, encoding="utf-8")


def _read_placement(root: Path) -> None:
    load_placement(root / "placement.txt", Scheme.IBUG68, n_faces=100)


_KEY = StageKey(stage="mesh", config={"a": 1}, inputs={"photograph": "0"})


def _stage(folder: Path) -> None:
    with stage_run(folder / "mesh", _KEY) as run:
        run.results = {"vertices": 12, "remarks": ["none"]}


def _read_stage(root: Path) -> None:
    finished(root / "mesh", _KEY, outputs=[])
    find_stages([root])
    stages_json([root])


def _scores(folder: Path) -> None:
    metric = {
        "name": "median", "title": "Median", "unit": "mm", "decimals": 2, "lower_is_better": True,
    }  # fmt: skip
    row = {"label": "all", "values": {"median": 1.25}, "n": 3}
    write_json(
        folder / "scores.json",
        {
            "format": "facekit-scores", "version": 1, "title": "NoW", "method": "ours",
            "metrics": [metric], "rows": [row], "fixed_rows": [],
        },
    )  # fmt: skip


def _read_scores(root: Path) -> None:
    read_scores(root / "scores.json")


def _read_leaderboard(root: Path) -> None:
    parse_leaderboard(load_yaml(root / "board.yaml"), where="board.yaml")


def _journal(folder: Path) -> None:
    who = Identity(pseudonym="ABCDEFG", sessions=frozenset([str(folder / "session")]))
    journal = Journal(identity=who, roots=(folder.resolve(),))
    journal.units = {folder.resolve() / "session": "session"}
    journal.probes = {b"x" * 32}
    journal.save()


def _asset(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"weights")
    with AssetsIn(folder):
        register_asset("hrn", {"weights.bin": folder / "weights.bin"}, source="weights.bin")


def _read_asset(root: Path) -> None:
    with AssetsIn(root):
        asset = load_asset("hrn")
        if asset is None:
            raise InputError("nothing is registered")
        asset.path.is_file()


class AssetsIn:
    """Let a folder be the one of the assets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._before = os.environ.get("FACEKIT_ASSETS")
        os.environ["FACEKIT_ASSETS"] = str(self._folder)

    def __exit__(self, *_: object) -> None:
        del os.environ["FACEKIT_ASSETS"]
        if self._before is not None:
            os.environ["FACEKIT_ASSETS"] = self._before


def _ljson(folder: Path) -> None:
    points = [[float(i), 2.5, -3.0] for i in range(68)]
    document = {"version": 2, "landmarks": {"points": points}, "labels": []}
    (folder / "a.ljson").write_text(json.dumps(document), encoding="utf-8")


def _ids(folder: Path) -> None:
    import pickle

    ids = np.arange(68)
    (folder / "ids.pkl").write_bytes(pickle.dumps(ids, protocol=2))
    (folder / "ids.json").write_text(json.dumps(ids.tolist()), encoding="utf-8")
    (folder / "ids.txt").write_text(" ".join(map(str, ids)), encoding="utf-8")


def _read_ids(root: Path) -> None:
    for name in ("ids.pkl", "ids.json", "ids.txt"):
        read_landmark_ids(root / name)
