"""Photograph a virtual subject with a rig of five cameras: `python 01_virtual_session.py OUT`.

OUT/session is an ordinary session; its truth lies beside the images, for measuring only.
"""

import sys
from pathlib import Path

from facekit.capture.virtual.studio import StudioConfig, make_session

out = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/example")
config = StudioConfig(seed=7, layout="five", megapixels=0.3, board_megapixels=1.5, n_board_poses=12)
session = make_session(config, out / "session")
for take in session.takes:
    print(f"{take.id}: {take.kind}, {len(take.shots)} photographs")
