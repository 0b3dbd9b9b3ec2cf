"""Datasets of shards: what goes in comes out, who may not go out does not, nothing is redone."""

import dataclasses
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from facekit.calibration.rigfile import load_rig
from facekit.capture.pseudonym import drawn_pseudonym, keep_pseudonym
from facekit.capture.session import SESSION_FILE
from facekit.capture.sidecar import PSEUDONYM, Purpose
from facekit.core.errors import InputError
from facekit.core.files import StageKey, stage_run
from facekit.core.folderlock import only_writer
from facekit.dataset.bake.deformation import deformed
from facekit.dataset.bake.mapfile import save_maps
from facekit.dataset.displacementcode import decoded_displacement
from facekit.dataset.export.hdf5 import ExportConfig, export_hdf5
from facekit.dataset.register.takelandmarks import TakeLandmarks, save_landmarks
from facekit.dataset.verify import verify_dataset

Make = Callable[..., Any]
WIDTH, HEIGHT = 60, 80


def only_shard(out: Path) -> Path:
    (path,) = (out / "subjects").iterdir()
    return path


def test_what_was_registered_and_baked_comes_out(make_subject: Make, tmp_path: Path) -> None:
    subject = make_subject("one")
    registered, maps = subject.takes["smile"]
    export_hdf5([subject.build], tmp_path / "out", ExportConfig())
    with h5py.File(only_shard(tmp_path / "out")) as file:
        take = file["captures/smile"]
        assert take.attrs["expression"] == "smile"
        np.testing.assert_array_equal(take["maps/deformation"][()], maps.deformation)
        found = decoded_displacement(take["maps/displacement"][()])
        assert np.abs(found - maps.displacement).max() <= 0.5e-4 + 1e-7  # half a step, rounding
        np.testing.assert_array_equal(take["maps/valid"][()] == 1, maps.valid)
        world = registered.world_from_head(deformed(registered, maps))
        np.testing.assert_allclose(take["mesh/vertices"][()], world, atol=1e-4)
        np.testing.assert_allclose(take["mesh/identity"][()], registered.identity)
        normal = cv2.imdecode(take["maps/normal"][()], cv2.IMREAD_UNCHANGED)[..., ::-1]
        inside = maps.normal.any(axis=2)
        decoded = normal.astype(float) / 65535 * 2 - 1
        assert np.abs(decoded - maps.normal)[inside].max() <= 1 / 65535 + 1e-6


def test_a_pixel_of_the_stored_image_is_where_the_stored_camera_puts_it(
    make_subject: Make, tmp_path: Path
) -> None:
    subject = make_subject("one", takes=("smile",))
    summary = json.loads((subject.build / "build.json").read_text())
    summary["takes"]["smile"]["left_out"] = ["cam.2"]
    (subject.build / "build.json").write_text(json.dumps(summary))
    export_hdf5([subject.build], tmp_path / "out", ExportConfig(image_px=40))
    with h5py.File(only_shard(tmp_path / "out")) as file:
        take = file["captures/smile"]
        assert take["cameras/id"][()].tolist() == [b"cam_0", b"cam_1", b"cam_2"]
        assert take["cameras/valid"][()].tolist() == [1, 1, 0]
        assert take["cameras/size"][1].tolist() == [WIDTH, HEIGHT]
        assert take["cameras/reproj_rms_px"][()].tolist() == [0.2] * 3
        assert take["cameras/dist"][0].tolist() == [-0.1, 0.05, 0.001, -0.002, 0.01, 0, 0, 0]
        image = take["images/cam_1"]
        assert (image.attrs["width"], image.attrs["height"]) == (30, 40)
        assert image.attrs["scale"] == 0.5
        small = cv2.imdecode(image[()], cv2.IMREAD_COLOR)[..., ::-1].astype(float)
        shot = subject.session.takes[0].shots[1]
        whole = subject.session.read(shot).astype(float)
        area_mean = whole.reshape(40, 2, 30, 2, 3).mean(axis=(1, 3))
        assert np.abs(small - area_mean).mean() < 6  # JPEG of blocks of 5 px of noise
        mask = cv2.imdecode(take["masks/cam_1"][()], cv2.IMREAD_UNCHANGED)
        assert mask.shape == (40, 30)
        assert (mask[10:30, 10:20] == 255).all()
        assert (mask > 0).sum() == 200


def test_a_dataset_of_several_subjects_passes_verification(
    make_subject: Make, tmp_path: Path
) -> None:
    builds = [make_subject(name).build for name in ("one", "two", "three")]
    result = export_hdf5(builds, tmp_path / "out", ExportConfig(licence="CC-BY 4.0"))
    found = verify_dataset(tmp_path / "out", read_data=True)
    assert (found.subjects, found.captures, found.images) == (3, 6, 18)
    assert (result["captures"], result["images"], result["failed"]) == (6, 18, {})
    assert (tmp_path / "out" / "LICENSE").read_text() == "CC-BY 4.0\n"
    assert len(list((tmp_path / "out" / "topology").iterdir())) == 1
    sheet = (tmp_path / "out" / "DATASHEET.md").read_text()
    assert "| subjects | 3 |" in sheet
    assert "| photographs | 18 |" in sheet
    assert "| displacement map | 32 x 32 |" in sheet


def test_shards_of_unchanged_inputs_are_not_written_again(
    make_subject: Make, tmp_path: Path
) -> None:
    one, two = make_subject("one"), make_subject("two")
    out = tmp_path / "out"
    export_hdf5([one.build], out, ExportConfig())
    before = only_shard(out)
    written = before.stat().st_mtime_ns
    result = export_hdf5([one.build, two.build], out, ExportConfig())
    assert sorted(entry["kept"] for entry in result["subjects"].values()) == [False, True]
    assert before.stat().st_mtime_ns == written
    # another registration: that shard alone is made anew
    maps = two.build / "smile" / "registered.npz"
    maps.write_bytes((one.build / "smile" / "registered.npz").read_bytes())
    again = export_hdf5([one.build, two.build], out, ExportConfig())
    assert [again["subjects"][s]["kept"] for s in sorted(again["subjects"])] == [
        s == before.stem for s in sorted(again["subjects"])
    ]
    verify_dataset(out, read_data=True)


def test_a_damaged_shard_is_written_again_the_same(make_subject: Make, tmp_path: Path) -> None:
    subject, out = make_subject("one"), tmp_path / "out"
    export_hdf5([subject.build], out, ExportConfig())
    path = only_shard(out)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    result = export_hdf5([subject.build], out, ExportConfig())
    assert [entry["kept"] for entry in result["subjects"].values()] == [False]
    assert path.read_bytes() == whole


def test_an_export_killed_after_a_shard_is_gone_on_with(
    make_subject: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = [make_subject(name, takes=("smile",)).build for name in ("one", "two")]
    clean, out = tmp_path / "clean", tmp_path / "out"
    export_hdf5(builds, clean, ExportConfig(name="faces"))

    def killed(path: Path, *_: object, **__: object) -> None:
        raise KeyboardInterrupt(path)

    for where in ("sha256_file", "write_manifest"):  # with a shard, but before all is told
        with monkeypatch.context() as patch:
            patch.setattr(f"facekit.dataset.export.hdf5.{where}", killed)
            with pytest.raises(KeyboardInterrupt):
                export_hdf5(builds, out, ExportConfig(name="faces"))
        assert any((out / "subjects").glob("*.h5"))
    (out / "subjects" / "AAAAAAA.0123abcd.part.h5").write_bytes(b"")
    export_hdf5(builds, out, ExportConfig(name="faces"))
    assert not list(out.rglob("*.part*"))
    for path in clean.rglob("*"):
        if path.is_file():
            assert (out / path.relative_to(clean)).read_bytes() == path.read_bytes(), path


def test_two_exports_do_not_write_one_dataset_at_once(make_subject: Make, tmp_path: Path) -> None:
    build, out = make_subject("one", takes=("smile",)).build, tmp_path / "out"
    with only_writer(out), ThreadPoolExecutor(1) as pool:
        other = pool.submit(export_hdf5, [build], out, ExportConfig())
        with pytest.raises(InputError, match="out: another process is writing there"):
            other.result()


def test_a_consent_that_does_not_cover_the_purpose_keeps_a_subject_back(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    agreed = consent_of("AAAAAAA", purposes=(Purpose.RESEARCH, Purpose.COMMERCIAL))
    builds = [
        make_subject("one", consent=agreed).build,
        make_subject("two", consent=consent_of("BBBBBBB")).build,
        make_subject("three", consent=consent_of("CCCCCCC", withdrawal_date="2026-02-01")).build,
        make_subject("four", consent=consent_of("DDDDDDD", retention_until="2026-01-31")).build,
        make_subject("five", is_form_kept=False).build,
    ]
    config = ExportConfig(purpose=Purpose.COMMERCIAL)
    result = export_hdf5(builds, tmp_path / "out", config)
    assert list(result["subjects"]) == ["AAAAAAA"]
    reasons = [result["refused"][str(build)] for build in builds[1:]]
    assert "covers research, not commercial" in reasons[0]
    assert "withdrawn on 2026-02-01" in reasons[1]
    assert "kept until 2026-01-31" in reasons[2]
    assert "no consent" in reasons[3]
    with pytest.raises(InputError, match="nothing can be exported"):
        export_hdf5(builds[1:], tmp_path / "none", config)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("purpose", [Purpose.RESEARCH, Purpose.SHARING])
def test_without_a_form_only_what_is_no_person_goes_out(
    make_subject: Make, tmp_path: Path, purpose: Purpose
) -> None:
    bust = make_subject("bust", is_form_kept=False)
    with pytest.raises(InputError, match=r"no consent is kept here; .* --no-person"):
        export_hdf5([bust.build], tmp_path / "a", ExportConfig(purpose=purpose))
    told = export_hdf5([bust.build], tmp_path / "b", ExportConfig(purpose=purpose, no_person=True))
    assert len(told["subjects"]) == 1


def test_virtual_people_need_no_form(make_subject: Make, tmp_path: Path) -> None:
    virtual = make_subject("one", is_form_kept=False)
    virtual.session.truth_folder.mkdir()
    told = export_hdf5([virtual.build], tmp_path / "a", ExportConfig(purpose=Purpose.SHARING))
    assert len(told["subjects"]) == 1


def test_a_withdrawn_consent_is_not_made_good_by_calling_the_subject_no_person(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    gone = make_subject("one", consent=consent_of("AAAAAAA", withdrawal_date="2026-02-01"))
    with pytest.raises(InputError, match="withdrawn"):
        export_hdf5([gone.build], tmp_path / "a", ExportConfig(no_person=True))


def test_photographs_are_published_only_where_the_subject_agreed_to_that(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    purposes = (Purpose.RESEARCH, Purpose.SHARING)
    no = make_subject("one", consent=consent_of("AAAAAAA", purposes=purposes))
    yes = make_subject(
        "two", consent=consent_of("BBBBBBB", purposes=purposes, image_publication=True)
    )
    config = ExportConfig(purpose=Purpose.SHARING)
    result = export_hdf5([no.build, yes.build], tmp_path / "out", config)
    assert list(result["subjects"]) == ["BBBBBBB"]
    assert "image_publication" in result["refused"][str(no.build)]


def test_a_withdrawn_subject_s_old_shard_is_pointed_at(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    subject = make_subject("one", consent=consent_of("AAAAAAA"))
    other = make_subject("two")
    out = tmp_path / "out"
    export_hdf5([subject.build, other.build], out, ExportConfig())
    path = subject.session.folder / "restricted" / "consent.json"
    values = json.loads(path.read_text()) | {"withdrawal_date": "2026-03-01"}
    path.write_text(json.dumps(values))
    result = export_hdf5([subject.build, other.build], out, ExportConfig())
    assert "AAAAAAA.h5" in result["refused"][str(subject.build)]
    with pytest.raises(InputError, match=r"AAAAAAA\.h5 of an earlier export is still there"):
        export_hdf5([subject.build], out, ExportConfig())


def test_no_name_path_or_metadata_goes_out(
    make_subject: Make, tmp_path: Path, consent_of: Make, canaries: tuple[bytes, ...]
) -> None:
    subject = make_subject("one", consent=consent_of("AAAAAAA", controller="CANARY-OWNER"))
    export_hdf5([subject.build], tmp_path / "out", ExportConfig())
    words = (*canaries, str(tmp_path).encode(), b"University", b"2026-01-01")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [word for word in words if word in content], path


def test_a_drawn_pseudonym_is_the_same_in_every_export_and_needs_no_photograph(
    make_subject: Make, tmp_path: Path
) -> None:
    subject, config = make_subject("one", is_form_kept=False), ExportConfig(no_person=True)
    before = drawn_pseudonym(subject.session)  # of the photographs: nothing was drawn yet
    (subject.session.folder / SESSION_FILE).rename(tmp_path / "aside")
    drawn = keep_pseudonym(subject.session.folder)  # as ingestion does, session.json coming last
    (tmp_path / "aside").rename(subject.session.folder / SESSION_FILE)
    first = export_hdf5([subject.build], tmp_path / "a", config)
    second = export_hdf5([subject.build], tmp_path / "b", config)
    assert list(first["subjects"]) == list(second["subjects"]) == [drawn] != [before]


def test_an_older_session_without_consent_goes_by_its_photographs(
    make_subject: Make, tmp_path: Path
) -> None:
    subject, config = make_subject("one", is_form_kept=False), ExportConfig(no_person=True)
    first = export_hdf5([subject.build], tmp_path / "a", config)
    moved = tmp_path / "elsewhere"
    (tmp_path / "one").rename(moved)
    second = export_hdf5([moved / "build"], tmp_path / "b", config)
    assert list(first["subjects"]) == list(second["subjects"])
    (pseudonym,) = first["subjects"]
    assert PSEUDONYM.fullmatch(pseudonym)


def test_two_sessions_of_a_subject_make_one_shard(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    consent = consent_of("AAAAAAA")
    builds = [make_subject(name, consent=consent).build for name in ("one", "two")]
    result = export_hdf5(builds, tmp_path / "out", ExportConfig())
    assert result["subjects"]["AAAAAAA"]["captures"] == 4
    with h5py.File(only_shard(tmp_path / "out")) as file:
        assert set(file["captures"]) == {"neutral", "smile", "neutral-2", "smile-2"}


def test_the_salt_of_consent_ids_is_kept_for_its_owner_alone(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    subject = make_subject("one", consent=consent_of("AAAAAAA"))
    export_hdf5([subject.build], tmp_path / "a", ExportConfig())
    export_hdf5([subject.build], tmp_path / "b", ExportConfig())
    salt = subject.session.folder / "restricted" / "salt"
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    ids = []
    for out in ("a", "b"):
        with h5py.File(only_shard(tmp_path / out)) as file:
            ids.append(file.attrs["consent_id"])
    assert ids[0] == ids[1] != "none"


def test_one_bad_take_is_named_and_the_rest_goes_on(make_subject: Make, tmp_path: Path) -> None:
    subject = make_subject("one")
    photograph = subject.session.folder / "images/smile/cam.1.jpg"
    whole = photograph.read_bytes()
    photograph.write_bytes(whole[:-500])
    out = tmp_path / "out"
    result = export_hdf5([subject.build], out, ExportConfig())
    (pseudonym,) = result["subjects"]
    assert "cam.1.jpg" in result["failed"][f"{pseudonym}/smile"]
    with h5py.File(only_shard(out)) as file:
        assert set(file["captures"]) == {"neutral"}
    photograph.write_bytes(whole)
    mended = export_hdf5([subject.build], out, ExportConfig())
    assert mended["subjects"][pseudonym]["captures"] == 2
    verify_dataset(out, read_data=True)


def test_takes_not_baked_yet_are_told_of(make_subject: Make, tmp_path: Path) -> None:
    subject = make_subject("one")
    (subject.build / "smile" / "maps.npz").unlink()
    result = export_hdf5([subject.build], tmp_path / "out", ExportConfig())
    assert "maps.npz is missing" in result["failed"][f"{subject.build}: smile"]


def test_a_take_that_failed_does_not_go_out_with_older_results(
    make_subject: Make, tmp_path: Path
) -> None:
    subject = make_subject("one")
    summary = json.loads((subject.build / "build.json").read_text())
    summary["failed"]["smile"] = "maps: the scan lies elsewhere"
    (subject.build / "build.json").write_text(json.dumps(summary))
    result = export_hdf5([subject.build], tmp_path / "out", ExportConfig())
    assert result["captures"] == 1
    assert "the scan lies elsewhere" in result["failed"][f"{subject.build}: smile"]


def test_a_rig_without_scale_gives_millimetres_of_the_model(
    make_subject: Make, tmp_path: Path
) -> None:
    subject = make_subject("one", takes=("smile",), scale=0.01)
    registered, maps = subject.takes["smile"]
    export_hdf5([subject.build], tmp_path / "out", ExportConfig())
    with h5py.File(only_shard(tmp_path / "out")) as file:
        take = file["captures/smile"]
        vertices, pose = take["mesh/vertices"][()], take["mesh/pose"][()]
        head = deformed(registered, maps)
        np.testing.assert_allclose(vertices, head @ pose[:, :3].T + pose[:, 3], atol=1e-2)
        world = registered.world_from_head(head)
        K, RT = take["cameras/K"][0], take["cameras/RT"][0]
        projected = vertices @ RT[:, :3].T + RT[:, 3]
        xy = projected @ K.T
        camera = load_rig(tmp_path / "one/calibration/rig.json").cameras[0].undistorted()
        expected, depth = camera.project(world)
        front = depth > 0
        np.testing.assert_allclose(
            (xy[:, :2] / xy[:, 2:])[front], expected[front], rtol=1e-3, atol=1e-2
        )
        assert json.loads(take.attrs["stages_json"])["metric"] is False


def test_normals_can_be_left_out(make_subject: Make, tmp_path: Path) -> None:
    build = make_subject("one", takes=("smile",)).build
    export_hdf5([build], tmp_path / "out", ExportConfig())
    full = only_shard(tmp_path / "out").stat().st_size
    result = export_hdf5([build], tmp_path / "out", ExportConfig(normals=False))
    assert [entry["kept"] for entry in result["subjects"].values()] == [False]
    assert only_shard(tmp_path / "out").stat().st_size < full
    assert verify_dataset(tmp_path / "out", read_data=True).captures == 1


def test_landmarks_come_along_at_the_size_of_the_cameras(
    make_subject: Make, tmp_path: Path, rng: np.random.Generator
) -> None:
    subject = make_subject("one", takes=("smile",))
    pixels = rng.uniform(0, 60, (2, 68, 2))
    points = rng.normal(size=(68, 3))
    points[5] = np.nan
    landmarks = TakeLandmarks(
        cameras=("cam.2", "cam.0"), pixels=pixels, confidence=np.ones((2, 68)),
        score=np.ones(2), points=points, sigma=np.full(68, 0.3),
        residual_px=np.zeros((2, 68)), used=np.ones((2, 68), bool), remarks=(), detector="table",
    )  # fmt: skip
    save_landmarks(subject.build / "smile" / "landmarks.npz", landmarks)
    export_hdf5([subject.build], tmp_path / "out", ExportConfig())
    with h5py.File(only_shard(tmp_path / "out")) as file:
        group = file["captures/smile/landmarks"]
        np.testing.assert_array_equal(group["points"][()], points)
        np.testing.assert_array_equal(group["pixels"][0], pixels[1])
        assert np.isnan(group["pixels"][1]).all()
        np.testing.assert_array_equal(group["pixels"][2], pixels[0])


def test_another_release_of_the_face_model_is_noticed(make_subject: Make, tmp_path: Path) -> None:
    subject = make_subject("one", takes=("smile",))
    key = StageKey(stage="register", config={}, inputs={"model": "of another release"})
    with stage_run(subject.build / "stages" / "register", key):
        pass
    with pytest.raises(InputError, match="another release of the face model procedural"):
        export_hdf5([subject.build], tmp_path / "out", ExportConfig())


def test_displacement_beyond_sixteen_bits_is_not_valid(make_subject: Make, tmp_path: Path) -> None:
    subject = make_subject("one", takes=("smile",))
    maps = subject.takes["smile"][1]
    displacement = maps.displacement.copy()
    displacement[16, 16], displacement[20, 20] = 3.5, 3.2
    save_maps(subject.build / "smile", dataclasses.replace(maps, displacement=displacement))
    export_hdf5([subject.build], tmp_path / "out", ExportConfig())
    with h5py.File(only_shard(tmp_path / "out")) as file:
        valid = file["captures/smile/maps/valid"][()]
        assert (valid[16, 16], valid[20, 20]) == (0, 1)


def test_a_folder_of_another_export_is_refused(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    purposes = (Purpose.RESEARCH, Purpose.COMMERCIAL)
    subject = make_subject("one", consent=consent_of("AAAAAAA", purposes=purposes))
    other = make_subject("two", consent=consent_of("BBBBBBB", purposes=purposes))
    out = tmp_path / "out"
    export_hdf5([subject.build], out, ExportConfig())
    with pytest.raises(InputError, match="was exported for research"):
        export_hdf5([subject.build], out, ExportConfig(purpose=Purpose.COMMERCIAL))
    with pytest.raises(InputError, match="licence"):
        export_hdf5([other.build], out, ExportConfig(licence="another"))
    with pytest.raises(InputError, match="twice"):
        export_hdf5([subject.build, subject.build], out, ExportConfig())
