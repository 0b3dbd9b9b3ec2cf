"""One coarse virtual subject for all tests of the studio."""

import numpy as np
import pytest

from facekit.capture.virtual.layouts import draw_rig, load_layout
from facekit.capture.virtual.lights import Lights, led_ring
from facekit.capture.virtual.scene import Scene, build_scene
from facekit.capture.virtual.subject import Subject, draw_subject
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Rig


@pytest.fixture(scope="session")
def subject() -> Subject:
    return draw_subject(
        procedural_head(),
        identity_rng=np.random.default_rng(1),
        skin_rng=np.random.default_rng(2),
    )


@pytest.fixture(scope="session")
def lights() -> Lights:
    return led_ring(np.random.default_rng(3))


@pytest.fixture(scope="session")
def scene(subject: Subject, lights: Lights) -> Scene:
    return build_scene(subject, lights, footprint_mm=1.0, rng=np.random.default_rng(4))


@pytest.fixture(scope="session")
def rig() -> Rig:
    return draw_rig(load_layout("nine"), megapixels=0.1, rng=np.random.default_rng(5))
