"""Calibrate the session of example 1 and hold it against the truth: `python 02_… OUT`."""

import sys
from pathlib import Path

from facekit.benchmarks.rig_accuracy import calibration_error
from facekit.calibration.calibrate import CalibrateConfig, calibrate
from facekit.calibration.rigfile import load_rig
from facekit.capture.session import load_session
from facekit.capture.virtual.truth import load_truth

out = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/example")
session = load_session(out / "session")
result = calibrate(session, out / "calibration", CalibrateConfig())
print(f"{result['registered']} cameras, {result['rms_px']:.3f} px RMS on the board's corners")

error = calibration_error(load_rig(out / "calibration"), load_truth(session.folder).rig)
for camera in error.cameras:
    print(f"{camera.name}: centre {camera.center_mm:.3f} mm, {camera.head_px:.3f} px at the head")
