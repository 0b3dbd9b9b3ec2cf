"""Solve small symmetric positive systems on one thread.

LAPACK shares such systems out among threads; where other work holds the cores, they wait for
one another and a solve of 2 ms takes 200.
"""

import numpy as np
from numba import njit

from ...core.arrays import Floats


def solve_positive(A: Floats, b: Floats) -> Floats | None:
    """Return x of A x = b, None where A is not positive definite.

    Parameters
    ----------
    A : (n, n) float64
        Symmetric; the lower half counts.
    b : (n,) float64
    """
    factor = np.array(A, dtype=np.float64, order="C")
    if not _factorise(factor):
        return None
    x = np.array(b, dtype=np.float64)
    _substitute(factor, x)
    return x


def invert_positive(A: Floats) -> Floats | None:
    """Return the inverse of A (n, n), None where A is not positive definite."""
    factor = np.array(A, dtype=np.float64, order="C")
    if not _factorise(factor):
        return None
    rows = np.eye(len(A))  # of the inverse, which is symmetric
    for row in rows:
        _substitute(factor, row)
    return rows


def times_blocks(A: Floats, blocks: Floats) -> Floats:
    """Return A (m, 3 n) times the block diagonal matrix of the transposed blocks (n, 3, 3)."""
    return np.asarray(_times_blocks(np.ascontiguousarray(A), np.ascontiguousarray(blocks)))


def gram(A: Floats) -> Floats:
    """Return A A^T of A (m, n)."""
    result = np.zeros((len(A), len(A)))
    _add_gram(result, np.ascontiguousarray(A.T))
    return result


@njit(cache=True)
def _add_gram(H, columns):  # type: ignore[no-untyped-def]
    """Add the sum of the columns' outer products (n, m) to H, four at a time."""
    n, m = columns.shape
    whole = n - n % 4
    for k in range(0, whole, 4):
        a, b, c, d = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
        for i in range(m):
            p, q, r, s = a[i], b[i], c[i], d[i]
            if p == 0 and q == 0 and r == 0 and s == 0:
                continue
            for j in range(i + 1):
                H[i, j] += p * a[j] + q * b[j] + r * c[j] + s * d[j]
    for k in range(whole, n):
        for i in range(m):
            p = columns[k, i]
            for j in range(i + 1):
                H[i, j] += p * columns[k, j]
    for i in range(m):
        for j in range(i):
            H[j, i] = H[i, j]


@njit(cache=True)
def _times_blocks(A, blocks):  # type: ignore[no-untyped-def]
    result = np.empty_like(A)
    for row in range(len(A)):
        for n in range(len(blocks)):
            a, b, c = A[row, 3 * n], A[row, 3 * n + 1], A[row, 3 * n + 2]
            for i in range(3):
                result[row, 3 * n + i] = (
                    blocks[n, i, 0] * a + blocks[n, i, 1] * b + blocks[n, i, 2] * c
                )
    return result


@njit(cache=True)
def _factorise(A):  # type: ignore[no-untyped-def]
    """Replace the lower half of A (n, n) by its Cholesky factor; False where there is none."""
    for i in range(len(A)):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= A[i, k] * A[j, k]
            if i == j:
                if not total > 0:
                    return False
                A[i, i] = np.sqrt(total)
            else:
                A[i, j] = total / A[j, j]
    return True


@njit(cache=True)
def _substitute(L, x):  # type: ignore[no-untyped-def]
    """Solve L L^T x = x in place, forwards and then backwards."""
    n = len(x)
    for i in range(n):
        for k in range(i):
            x[i] -= L[i, k] * x[k]
        x[i] /= L[i, i]
    for i in range(n - 1, -1, -1):
        x[i] /= L[i, i]
        for k in range(i):  # rows of L only: they lie together in memory
            x[k] -= L[i, k] * x[i]
