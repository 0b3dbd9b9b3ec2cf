"""Files that the user supplies (face models, checkpoints, detectors): where they are kept.

Registered assets live under `$FACEKIT_ASSETS` or `~/.local/share/facekit/assets`; each kind
has a checker in the stage that reads it.
"""

import os
from pathlib import Path


def assets_folder() -> Path:
    """Return the folder of the registered assets; it need not exist."""
    chosen = os.environ.get("FACEKIT_ASSETS")
    return Path(chosen) if chosen else Path.home() / ".local" / "share" / "facekit" / "assets"


def registered_assets() -> tuple[str, ...]:
    """Return the names of what is registered, sorted."""
    folder = assets_folder()
    return tuple(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ()
