"""Sparse maps: the product, its gradient, any batch."""

import numpy as np
import torch
from scipy import sparse

from facekit.reconstruct.sparsemap import SparseMap


def _some(rows: int, columns: int) -> sparse.csr_array:
    rng = np.random.default_rng(1)
    dense = rng.normal(size=(rows, columns)) * (rng.uniform(size=(rows, columns)) < 0.2)
    return sparse.csr_array(np.float32(dense))


def test_the_product_is_the_dense_one() -> None:
    matrix = _some(200, 90)
    x = torch.randn(3, 90, 4, dtype=torch.float64)
    expected = torch.from_numpy(matrix.toarray().astype(np.float64)) @ x
    torch.testing.assert_close(SparseMap(matrix)(x), expected)
    torch.testing.assert_close(SparseMap(matrix)(x.float()), expected.float(), atol=1e-5, rtol=0)


def test_gradients_are_exact_and_repeat_bit_by_bit() -> None:
    linear = SparseMap(_some(11, 7))
    x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(linear, x)
    assert torch.autograd.gradgradcheck(linear, x)
    large = SparseMap(_some(3000, 900))
    y = torch.randn(1, 900, 3, requires_grad=True)
    first, second = (torch.autograd.grad(large(y).square().sum(), y)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_a_map_on_another_device_has_the_same_product() -> None:
    """The branch of other devices, run on the processor."""
    from facekit.reconstruct import sparsemap

    matrix = _some(50, 20)
    linear = SparseMap(matrix)
    x = torch.randn(2, 20, 3)
    starts, columns, values = (
        linear.get_buffer(f"forward_{part}") for part in ("starts", "columns", "values")
    )
    elsewhere = sparsemap._on_device(starts, columns, values, (50, 20), x)
    torch.testing.assert_close(elsewhere, linear(x), atol=1e-5, rtol=1e-5)
