"""Solve small symmetric positive systems on one thread.

LAPACK shares such systems out among threads; where other work holds the cores, they wait for
one another and a solve of 2 ms takes 200.
"""

import numpy as np
from numba import njit

from ..core.arrays import Floats


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
