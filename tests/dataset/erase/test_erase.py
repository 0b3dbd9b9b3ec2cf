"""Nothing of an erased subject is left; everything of the others is, to the byte."""

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from facekit.capture.session import load_session
from facekit.capture.tombstones import ERASED_FILE, refuse_erased
from facekit.core.errors import InputError
from facekit.core.files import sha256_file
from facekit.core.folderlock import in_use
from facekit.dataset.erase.commands import erase as command
from facekit.dataset.erase.erase import erase
from facekit.dataset.erase.journal import JOURNAL
from facekit.dataset.verify import verify_dataset

GONE, STAYS = "QF7M2TZ", ["KX3WVB5", "RJ6HD4N"]


def files_of(root: Path) -> dict[str, str]:
    """Return path -> hash of every file."""
    every = sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
    return {str(path.relative_to(root)): sha256_file(path) for path in every}


def of_subject(root: Path) -> list[Path]:
    """Return the files that are the subject's alone."""
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and (
            path.is_relative_to(root / "one/session") or path.is_relative_to(root / "one/build")
            or path.is_relative_to(root / "predictions/one")
            or GONE in str(path.relative_to(root)) or path.name == "report-one.html"
        )
    ]  # fmt: skip


def splits_of(root: Path) -> dict[str, str]:
    """Return subject -> split, as the dataset's index has them."""
    values = json.loads((root / "data/dataset.json").read_text())
    return {subject["id"]: subject["split"] for subject in values["subjects"]}


def own_probes(root: Path) -> set[bytes]:
    """Draw probes by other means than the code does: the photographs' and arrays' own bytes."""
    chance, probes = random.Random(1), set()
    for path in of_subject(root):
        content = path.read_bytes()
        if path.suffix == ".jpg":
            content = content[content.rfind(b"\xff\xda") + 20 :]
            for _ in range(20):
                start = chance.randrange(len(content) - 40)
                probes.add(content[start : start + 32])
    with h5py.File(root / f"data/subjects/{GONE}.h5") as shard:
        for name in ("images/cam_0", "maps/deformation", "mesh/vertices"):
            values = shard[f"captures/smile/{name}"][()].tobytes()
            probes.add(values[len(values) // 2 :][:32])
    return {probe for probe in probes if len(set(probe)) > 12}


def test_an_erased_subject_is_found_nowhere_and_the_others_are_as_they_were(lab: Path) -> None:
    probes, mine = own_probes(lab), of_subject(lab)
    assert len(probes) > 100
    before = files_of(lab)
    shared = {"data/dataset.json", "data/SHA256SUMS", "data/export.json", "data/DATASHEET.md",
              "predictions/reconstruct.json", "predictions/contact.jpg",
              "runs/coarse/panels/faces.png"}  # fmt: skip
    result = erase(GONE, [lab])
    assert result["erase"]["probes"] > 100
    assert result["erase"]["probes_found"] == 0
    assert result["mentions"] == result["not_searched"] == []
    assert result["kept_subjects"] == STAYS
    assert not [path for path in mine if path.exists()]
    assert result["deleted_files"] == len(mine) + 2  # the sheet and the panel
    left = [path for path in lab.rglob("*") if path.is_file()]
    for path in left:
        content = path.read_bytes()
        assert not [probe for probe in probes if probe in content], path
        assert GONE.encode() not in content, path
    after = files_of(lab)
    for name, sha256 in before.items():
        path = lab / name
        if path in mine or name in shared or name.startswith("packed/"):
            continue
        assert after[name] == sha256, name
    assert set(after) - set(before) == {ERASED_FILE}
    assert "runs/coarse" in result["trainings"][0]
    assert any("backups" in line for line in result["not_reached"])


def test_the_dataset_is_whole_without_the_subject(lab: Path) -> None:
    before = {
        s["id"]: s["split"] for s in json.loads((lab / "data/dataset.json").read_text())["subjects"]
    }
    result = erase(GONE, [lab])
    figures = verify_dataset(lab / "data", read_data=True)
    assert (figures.subjects, figures.captures, figures.images) == (2, 4, 12)
    after = {
        s["id"]: s["split"] for s in json.loads((lab / "data/dataset.json").read_text())["subjects"]
    }
    assert after == {who: before[who] for who in STAYS}
    assert "| subjects | 2 |" in (lab / "data/DATASHEET.md").read_text()
    assert str(lab / "data/dataset.json") in result["rebuilt"]
    assert list(json.loads((lab / "predictions/reconstruct.json").read_text())["photographs"]) == [
        "two"
    ]


def test_packed_samples_of_others_keep_their_bytes(lab: Path) -> None:
    part = lab / "packed" / "part-0000000"
    before = {path.stem: np.load(path) for path in part.glob("*.npy")}
    erase(GONE, [lab])
    after = {path.stem: np.load(path) for path in part.glob("*.npy")}
    rows = [2, 3, 6, 7]
    for name in ("image", "landmarks", "K", "cam_from_head"):
        np.testing.assert_array_equal(after[name], before[name][rows])
    np.testing.assert_array_equal(
        after["vertices"][after["take"]], before["vertices"][before["take"][rows]]
    )
    assert after["vertices"].shape[0] == 2
    assert json.loads((part / "people.json").read_text()) == [STAYS[0]] * 2 + [STAYS[1]] * 2


@pytest.mark.parametrize("is_later", [True, False])
def test_packed_samples_that_are_not_understood_stop_it_before_anything_goes(
    lab: Path, is_later: bool
) -> None:
    header = lab / "packed" / "packed.json"
    if is_later:
        header.write_text(json.dumps({**json.loads(header.read_text()), "version": 2}))
    else:
        np.save(lab / "packed" / "part-0000000" / "skin.npy", np.zeros(8))
    before = files_of(lab)
    wrong = r"packed\.json: facekit-packed version 2" if is_later else r"skin\.npy: not known"
    with pytest.raises(InputError, match=wrong):
        erase(GONE, [lab])
    assert files_of(lab) == before


def test_the_last_subject_takes_the_index_along(lab: Path) -> None:
    for who in (GONE, *STAYS):
        result = erase(who, [lab])
        assert result["erase"]["probes_found"] == 0
    assert not (lab / "data" / "dataset.json").exists()
    assert list((lab / "data" / "subjects").iterdir()) == []
    assert list((lab / "packed").iterdir()) == [lab / "packed" / "packed.json"]
    assert {path.name for path in lab.rglob("*.npz")} == set()


def test_a_dry_run_touches_nothing_and_tells_the_same(lab: Path) -> None:
    before = files_of(lab)
    times = {path: path.stat().st_mtime_ns for path in lab.rglob("*")}
    told = erase(GONE, [lab], dry_run=True)
    assert files_of(lab) == before
    assert {path: path.stat().st_mtime_ns for path in lab.rglob("*")} == times
    assert told["dry_run"] is True
    assert told["erase"]["probes_found"] == 0
    done = erase(GONE, [lab])
    for key in ("deleted", "deleted_files", "deleted_bytes", "kept_subjects", "trainings"):
        assert told[key] == done[key]


@pytest.mark.parametrize("kind", ["plain", "zip", "gzip", "hdf5", "base64", "png rows"])
def test_a_forgotten_copy_is_found_whatever_it_is_packed_in(lab: Path, kind: str) -> None:
    photograph = lab / "one/session/images/smile/cam.1.jpg"
    place = lab / "desk"
    place.mkdir()
    if kind == "plain":
        shutil.copy(photograph, place / "holiday.dat")
    elif kind == "zip":
        shutil.make_archive(str(place / "old"), "zip", photograph.parent)
    elif kind == "gzip":
        shutil.make_archive(str(place / "old"), "gztar", photograph.parent)
    elif kind == "hdf5":
        with h5py.File(place / "old.h5", "w") as file:
            values = np.frombuffer(photograph.read_bytes(), np.uint8)
            file.create_dataset("picture", data=values, compression="gzip", shuffle=True)
    elif kind == "base64":
        shutil.copy(lab / "report-one.html", place / "mail.txt")
        values = (place / "mail.txt").read_text().replace("study of one", "nothing")
        (place / "mail.txt").write_text(values)
    else:
        shutil.copy(
            next((lab / "files" / GONE / "smile").glob("displacement.png")), place / "a.png"
        )
    result = erase(GONE, [lab], dry_run=kind != "plain")
    assert result["erase"]["probes_found"] > 0
    assert all(path.startswith(str(place)) for path in result["erase"]["found_in"])
    assert list(place.iterdir())  # not ours to delete: it is told


CHANGES = ("unlink", "rmdir", "replace", "rename", "mkdir", "fsync")


def run_until(root: Path, calls: int) -> int:
    """Erase in a process of its own that is killed at so many system calls; 0: it ended."""
    process = os.fork()
    if process == 0:
        left = calls

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*given: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*given, **named)

            return wrapped

        for name in CHANGES:
            setattr(os, name, counted(getattr(os, name)))
        code = 1
        try:
            erase(GONE, [root], rng=random.Random(4))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_killed_anywhere_the_next_run_finishes(lab: Path, tmp_path: Path) -> None:
    wanted, copy = tmp_path / "wanted", tmp_path / "copy"
    shutil.copytree(lab, wanted)
    erase(GONE, [wanted])
    expected = files_of(wanted)
    expected.pop(ERASED_FILE)  # its salt is drawn
    chance = random.Random(8)
    begun, point = 0, 0
    while True:
        point += 1 + int(chance.expovariate(1 / 18))
        shutil.copytree(lab, copy)
        if (code := run_until(copy, point)) == 0:
            break
        assert code == -signal.SIGKILL
        begun += (copy / JOURNAL).exists()
        result = erase(GONE, [copy])
        assert result["erase"]["probes"] > 100 or not begun, point
        assert result["erase"]["probes_found"] == 0, point
        assert result["mentions"] == [], point
        after = files_of(copy)
        after.pop(ERASED_FILE)
        assert after == expected, point
        shutil.rmtree(copy)
    assert begun >= 3


def cut_off(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Erase, and end when all is deleted and nothing rebuilt yet."""

    def end(journal: object) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("facekit.dataset.erase.erase._rebuild", end)
        with pytest.raises(KeyboardInterrupt):
            erase(GONE, [lab])
    assert (lab / JOURNAL).is_file() and not (lab / "one/session").exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("session", "session of KX3WVB5, but it lies in a folder of QF7M2TZ"),
        ("prediction", "is of a photograph of somebody else"),
        ("build", "is of the session of somebody else"),
        ("file", "has been written since"),
    ],
)
def test_what_came_in_after_a_kill_is_not_deleted(
    lab: Path, what: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(lab, monkeypatch)
    if what == "session":
        (lab / "two/session").rename(lab / "one/session")
    elif what == "prediction":
        (lab / "predictions/two").rename(lab / "predictions/one")
    elif what == "build":
        summary = lab / "one/session/build.json"
        summary.parent.mkdir()
        shutil.copy2(lab / "two/build/build.json", summary)
        text = json.loads(summary.read_text()) | {"session_folder": "../../two/session"}
        summary.write_text(json.dumps(text))
    else:
        (lab / "one/session").mkdir()
        (lab / "one/session/plan.txt").write_text("of the next subject")
    before = files_of(lab)
    with pytest.raises(InputError, match=said):
        erase(GONE, [lab])
    assert files_of(lab) == before
    shutil.move(lab / ("predictions/one" if what == "prediction" else "one/session"), lab / "aside")
    result = erase(GONE, [lab])
    assert result["erase"]["probes_found"] == 0 and not (lab / JOURNAL).exists()
    assert list((lab / "aside").iterdir())


def test_an_erased_subject_is_not_taken_in_again(lab: Path) -> None:
    session = load_session(lab / "one/session")
    hashes = [shot.sha256 for take in session.takes for shot in take.shots]
    erase(GONE, [lab])
    tombstone = lab / ERASED_FILE
    assert stat.S_IMODE(tombstone.stat().st_mode) == 0o600
    text = tombstone.read_text()
    assert GONE not in text
    assert not [sha256 for sha256 in hashes if sha256 in text]
    with pytest.raises(InputError, match=r"QF7M2TZ was erased on .*new pseudonym"):
        refuse_erased(lab / "new" / "session", pseudonym=GONE)
    with pytest.raises(InputError, match="a photograph of the source is of a subject who was"):
        refuse_erased(lab / "new", photographs=hashes[:1])
    refuse_erased(lab / "new", pseudonym=STAYS[0], photographs=["0" * 64])
    again = erase(GONE, [lab])
    assert again["deleted_files"] == 0
    assert "erased_before" in again


def test_who_is_at_work_is_not_disturbed(lab: Path) -> None:
    before = files_of(lab)
    with (
        in_use(lab / "one" / "session"),
        pytest.raises(InputError, match="session: another process is at work there"),
    ):
        erase(GONE, [lab])
    with (
        in_use(lab / "data"),
        pytest.raises(InputError, match="data: another process is at work there"),
    ):
        erase(GONE, [lab])
    photograph = lab / "one/session/images/smile/cam.1.jpg"
    script = f"f = open({str(photograph)!r}, 'ab'); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(InputError, match=f"process {holder.pid} has it open for writing"):
            erase(GONE, [lab])
    finally:
        holder.communicate(b"\n")
    assert files_of(lab) == before


@pytest.mark.parametrize("where", ["one", "one/session/images/smile", "predictions"])
def test_who_works_above_or_within_is_not_disturbed(lab: Path, where: str) -> None:
    before = files_of(lab)
    with in_use(lab / where), pytest.raises(InputError, match=f"{where}: another process"):
        erase(GONE, [lab])
    assert files_of(lab) == before


def test_who_works_elsewhere_stops_nobody(lab: Path) -> None:
    with in_use(lab / "two" / "session"), in_use(lab / "two" / "build"):
        assert erase(GONE, [lab], dry_run=True)["erase"]["probes_found"] == 0


def test_what_a_killed_run_left_half_written_goes(lab: Path) -> None:
    """A journal holds the probes, an index may name the subject."""
    left = [lab / ".facekit-erasing.0123abcd.part.json", lab / "data/export.0123abcd.part.json"]
    for path in left:
        path.write_text(GONE)
    foreign = lab / "video.0123abcd.part.mp4"  # of another program, at work
    foreign.write_bytes(b"half a film")
    result = erase(GONE, [lab])
    assert result["mentions"] == []
    assert not any(path.exists() for path in left)
    assert foreign.exists()


def test_links_are_not_followed_out_of_the_folder(lab: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.jpg").write_bytes(os.urandom(500))
    (lab / "one/session/images/smile/elsewhere").symlink_to(outside)
    (lab / "one/build/kept.jpg").symlink_to(outside / "kept.jpg")
    (lab / "shortcut").symlink_to(lab / "one/session")
    (lab / "other").symlink_to(outside)
    erase(GONE, [lab])
    assert (outside / "kept.jpg").stat().st_size == 500
    assert not os.path.lexists(lab / "shortcut")
    assert os.path.lexists(lab / "other")


def test_what_belongs_to_another_subject_stops_everything(lab: Path) -> None:
    (lab / "two/session").rename(lab / "one/session/second")
    before = files_of(lab)
    with pytest.raises(InputError, match="session of KX3WVB5, but it lies in a folder of QF7M2TZ"):
        erase(GONE, [lab])
    assert files_of(lab) == before
    (lab / "one/session/second").rename(lab / "two/session")
    summary = json.loads((lab / "two/build/build.json").read_text())
    summary["rig_file"] = "../../one/session/rig.json"
    (lab / "two/build/build.json").write_text(json.dumps(summary))
    shutil.copy(lab / "one/calibration/rig.json", lab / "one/session/rig.json")
    with pytest.raises(InputError, match="the rig of .*two/build, but it lies in a folder of"):
        erase(GONE, [lab])


def test_a_name_from_before_the_form_came_is_told(lab: Path) -> None:
    (lab / "one/session/restricted/pseudonym").write_text("BEFORE2\n")
    remarks = erase(GONE, [lab], dry_run=True)["remarks"]
    assert any("went by BEFORE2" in r and "facekit erase BEFORE2" in r for r in remarks)
    assert not any("BEFORE2" in r for r in erase(STAYS[0], [lab], dry_run=True)["remarks"])


def test_who_is_not_there_is_told(lab: Path) -> None:
    with pytest.raises(InputError, match="nothing is known of a subject DDDDDDD here"):
        erase("DDDDDDD", [lab])
    with pytest.raises(InputError, match="not a subject's pseudonym"):
        erase("../two", [lab])
    with pytest.raises(InputError, match="give the folder above it"):
        erase(GONE, [lab / "one/session"])


def test_a_journal_that_leads_out_of_the_folder_is_refused(lab: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    identity = {"pseudonym": GONE, "photographs": [], "originals": [], "sessions": [], "titles": []}
    (lab / JOURNAL).write_text(
        json.dumps(
            {
                "format": "facekit-erasing", "version": 1, "identity": identity,
                "roots": [str(lab)], "units": {str(victim): "session"}, "datasets": [],
                "packs": [], "predictions": {}, "probes": [], "files": 1, "bytes": 1,
            }
        )
    )  # fmt: skip
    with pytest.raises(InputError, match="outside of what is searched"):
        erase(GONE, [lab])
    assert victim.is_dir()


def test_the_command_tells_figures_and_what_it_cannot_reach(lab: Path) -> None:
    runner = CliRunner()
    text = runner.invoke(command, [GONE, "--in", str(lab), "--dry-run"])
    assert text.exit_code == 0, text.output
    assert "would delete" in text.output
    assert "backups" in text.output
    done = runner.invoke(command, [GONE, "--in", str(lab), "--json"])
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert values["erase"]["probes_found"] == 0
    assert values["deleted_files"] > 20
    assert values["deleted_bytes"] > 10**5


def test_a_forgotten_copy_ends_with_exit_code_3(lab: Path) -> None:
    (lab / "notes.txt").write_text(f"{GONE} came late\n")
    done = CliRunner().invoke(command, [GONE, "--in", str(lab), "--json"])
    assert done.exit_code == 3
    assert "notes.txt: names the subject" in done.output
