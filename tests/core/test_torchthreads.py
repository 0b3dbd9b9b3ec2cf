"""Torch's number of threads, for a while."""

import pytest
import torch

from facekit.core.torchthreads import torch_threads


def test_the_number_comes_back_also_after_an_error() -> None:
    before = torch.get_num_threads()
    with torch_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), torch_threads(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
