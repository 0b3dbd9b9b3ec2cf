"""Colours of a virtual chart, tinted as real cameras tint, come back to its reflectances."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facekit.capture.chart import ChartSample, chart_reference, sample_chart
from facekit.capture.color import (
    ColorCorrection,
    apply,
    calibrate_color,
    fit_correction,
    load_color,
    save_color,
)
from facekit.capture.session import load_session
from facekit.capture.vignette import Vignette, fit_vignette
from facekit.core.errors import EstimationError, InputError, SchemaError
from facekit.core.files import sha256_file
from facekit.core.imaging.color import linear_from_srgb, srgb_from_linear
from facekit.core.imaging.imageio import read_image, write_image
from facekit.core.imaging.lab import delta_e_2000, lab_from_linear


def _tint(image, rng, *, black=0.004):
    """Photograph the same light with a camera of its own: colours, exposure, fall-off, black."""
    light = linear_from_srgb(image)
    gains = rng.uniform(0.7, 1.3, 3)
    mixing = np.eye(3) + rng.uniform(-0.12, 0.12, (3, 3))
    mixing /= mixing.sum(axis=1, keepdims=True)
    vignette = Vignette(k1=rng.uniform(-0.5, -0.1), k2=rng.uniform(-0.1, 0.0))
    seen = light @ mixing.T * gains * vignette.gain(image.shape[1], image.shape[0])[..., None]
    return np.round(srgb_from_linear(0.8 * seen + black) * 65535).astype(np.uint16), vignette


@pytest.fixture(scope="module")
def tinted(studio_session, tmp_path_factory):
    """Give the session with a tint of each camera, and the fall-offs."""
    folder = tmp_path_factory.mktemp("tinted")
    takes, vignettes = [], {}
    for take in studio_session.takes[1:]:
        shots = []
        for shot in take.shots:
            rng = np.random.default_rng(int(shot.camera[-1]))
            image, vignettes[shot.camera] = _tint(read_image(studio_session.path(shot)), rng)
            name = f"images/{take.id}/{shot.camera}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_image(folder / name, image)
            shots.append(replace(shot, file=name, sha256=sha256_file(folder / name)))
        takes.append(replace(take, shots=tuple(shots)))
    return replace(studio_session, folder=folder, takes=tuple(takes)), vignettes


def _chart_error(session, correction):
    shot = session.take("chart").shot(correction.camera)
    image = apply(read_image(session.path(shot)), correction)
    encoded = np.round(srgb_from_linear(image) * 65535).astype(np.uint16)
    found = sample_chart(encoded)
    assert found is not None
    return delta_e_2000(lab_from_linear(found.linear), lab_from_linear(chart_reference()))


def test_tints_of_the_cameras_are_removed(tinted):
    session, vignettes = tinted
    calibration = calibrate_color(session)
    assert len(calibration.corrections) >= 4
    for camera, correction in calibration.corrections.items():
        assert correction.delta_e_before > 4
        assert _chart_error(session, correction).mean() < 1.5
        assert correction.delta_e < 1.5
        corner = [1 + v.k1 + v.k2 for v in (vignettes[camera], correction.vignette)]
        # 0.004 of black beneath a field of 0.04 hides a tenth of its fall-off
        assert corner[1] == pytest.approx(corner[0], abs=0.06)
    for reason in calibration.missing.values():
        assert "oblique" in reason


def _spread(colors):
    """Return the largest difference to the mean colour."""
    lab = lab_from_linear(np.array(colors))
    return delta_e_2000(lab, lab_from_linear(np.mean(colors, axis=0))).max()


def test_cameras_agree_on_a_colour_that_they_were_not_calibrated_on(tinted, studio_session):
    session, _ = tinted
    calibration = calibrate_color(session)
    shots = [shot for shot in session.take("empty").shots if shot.camera in calibration.corrections]
    colors = [
        np.median(
            apply(read_image(session.path(s)), calibration.corrections[s.camera]), axis=(0, 1)
        )
        for s in shots
    ]
    before = [np.median(linear_from_srgb(read_image(session.path(s))), axis=(0, 1)) for s in shots]
    assert _spread(before) > 5
    assert _spread(colors) < 1.5


def test_without_tint_the_matrix_is_the_unit_matrix(studio_session):
    calibration = calibrate_color(studio_session)
    for correction in calibration.corrections.values():
        assert np.allclose(correction.matrix, np.eye(3), atol=0.02)
        assert correction.delta_e < 1
        assert max(correction.black) < 0.003
    exposures = [one.exposure for one in calibration.corrections.values()]
    # one flat chart, the same light for all
    assert np.ptp(exposures) < 0.02 * np.mean(exposures)


def test_grey_stays_grey_and_clipped_patches_are_left_out(rng):
    seen = chart_reference() @ (np.eye(3) + rng.uniform(-0.1, 0.1, (3, 3))).T * 1.3
    clipped = (seen > 1).any(axis=1)
    assert clipped.any()
    sample = ChartSample(linear=np.minimum(seen, 1), clipped=clipped, patches=np.zeros((24, 4, 2)))
    correction = fit_correction("a", [sample])
    assert correction.n_patches == 24 - clipped.sum()
    assert correction.delta_e < 1
    greys = correction.exposure * np.minimum(seen, 1)[19:] @ np.transpose(correction.matrix)
    assert np.ptp(greys, axis=1).max() < 0.01
    with pytest.raises(EstimationError, match="expose the chart less"):
        fit_correction("a", [replace(sample, clipped=np.ones(24, dtype=bool))])


def test_a_field_with_things_in_it_or_none_tells_no_fall_off(rng):
    true = Vignette(k1=-0.35, k2=-0.05)
    field = 0.3 * true.gain(300, 200) + rng.normal(0, 0.005, (200, 300)).astype(np.float32)
    found, remark = fit_vignette(field.astype(np.float32))
    assert remark == ""
    assert np.abs(found.gain(300, 200) - true.gain(300, 200)).max() < 0.01
    cluttered = field * np.repeat(np.repeat(rng.uniform(0.3, 1, (20, 30)), 10, 0), 10, 1)
    assert "not plain" in fit_vignette(cluttered.astype(np.float32))[1]
    assert "dark" in fit_vignette(np.zeros((200, 300), np.float32))[1]


def test_what_was_saved_is_loaded_and_other_files_are_refused(tmp_path):
    one = ColorCorrection(
        camera="a", matrix=((1.0, 0.1, -0.1), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), exposure=1.2,
        vignette=Vignette(k1=-0.2), delta_e=0.7, n_patches=23,
    )  # fmt: skip
    from facekit.capture.color import ColorCalibration

    given = ColorCalibration(corrections={"a": one}, missing={"b": "it does not see the chart"})
    path = save_color(tmp_path, given)
    assert load_color(tmp_path) == given
    values = json.loads(path.read_text())
    values["cameras"][0]["matrix"] = [[1, 2], [3, 4]]
    path.write_text(json.dumps(values))
    with pytest.raises((SchemaError, InputError), match="3 values|3x3"):
        load_color(tmp_path)


def test_a_session_without_a_chart_says_what_to_do(studio_session):
    without = replace(studio_session, takes=studio_session.takes[:1])
    with pytest.raises(EstimationError, match="no take shows a colour chart; photograph one"):
        calibrate_color(without)


def test_saved_session_of_the_studio_is_a_session(studio_session):
    assert load_session(studio_session.folder).name == studio_session.name
