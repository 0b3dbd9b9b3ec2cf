"""Measure examples 1 to 3 against the truth and write the report: `python 04_… OUT`."""

import sys
from pathlib import Path

from facekit.benchmarks.session_report import write_report
from facekit.benchmarks.virtual import evaluate_session
from facekit.calibration.rigfile import load_rig

out = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/example")
figures = evaluate_session(out / "session", load_rig(out / "calibration"), out / "build")
for take, mesh in figures["meshes"].items():
    print(
        f"{take}: median {mesh['median_mm']:.3f} mm, "
        f"{mesh['within_0_5mm']:.1f} % of the face within 0.5 mm"
    )
page = write_report(
    out / "session",
    calibration_folder=out / "calibration",
    build_folder=out / "build",
    out=out / "report.html",
)
print(f"report: {page}")
