"""What several tests of stereo look at."""

import pytest

from facekit.dataset.stereo.views import depth_range, focus_point, neighbours


@pytest.fixture(scope="module")
def middle(ball):
    """Give views, sources and search range of the middle camera."""
    views = ball.views()
    cameras = [view.camera for view in views]
    subject = focus_point(cameras)
    return views, neighbours(cameras, subject, most=4)[2], depth_range(cameras[2], subject)


@pytest.fixture
def one_torch_thread():
    """Keep torch from waiting for cores that other tests use."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
