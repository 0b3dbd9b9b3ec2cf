"""Build the dense mesh of examples 1 and 2: `python 03_dense_mesh.py OUT`."""

import sys
from pathlib import Path

from facekit.calibration.rigfile import load_rig
from facekit.capture.session import load_session
from facekit.core.geometry.meshio import load_mesh
from facekit.dataset.build import BuildConfig, build_dataset

out = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/example")
session, rig = load_session(out / "session"), load_rig(out / "calibration")
build_dataset(session, rig, out / "build", BuildConfig(megapixels=0.3))
mesh = load_mesh(out / "build" / "neutral" / "mesh.ply")
low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
print(f"{len(mesh.faces)} triangles, {' x '.join(f'{x:.0f}' for x in high - low)} mm")
print("per vertex:", ", ".join(sorted(mesh.attributes)))
