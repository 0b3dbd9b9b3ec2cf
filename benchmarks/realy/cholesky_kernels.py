"""Kernels of `cholesky.py`: structure, factor and solution for a matrix of 4x4 blocks.

A block is 16 numbers row by row; a right-hand side is a 4x4 block too, of which three columns
are used. The one product that takes the time is written out, so that the compiler keeps its
blocks in vector registers: twice as quick as the loop.
"""

import numpy as np
from numba import njit

_ROUNDING = 1e-13  # of a diagonal entry, below which its pivot is rounding


@njit(cache=True, nogil=True)
def factor_structure(start, neighbour):  # type: ignore[no-untyped-def]
    """Find where the factor has blocks.

    Parameters
    ----------
    start : (N + 1,) int64
    neighbour : (M,) int64
        Those of node i (nodes count in the order of elimination) are start[i] to start[i + 1].

    Returns
    -------
    (N + 1,) and (B,) int64
        Rows of the blocks below the diagonal of column k: column[k] to column[k + 1], ascending.
    """
    n = len(start) - 1
    parent = np.full(n, -1, np.int64)
    ancestor = np.full(n, -1, np.int64)
    for i in range(n):  # elimination tree, with its paths compressed
        for p in range(start[i], start[i + 1]):
            k = neighbour[p]
            while k != -1 and k < i:
                following = ancestor[k]
                ancestor[k] = i
                if following == -1:
                    parent[k] = i
                k = following
    column = np.zeros(n + 1, np.int64)
    row = np.zeros(0, np.int64)
    filled = np.zeros(n, np.int64)
    for write in range(2):  # counted first, then written
        mark = np.full(n, -1, np.int64)
        for i in range(n):  # row i: the paths from its neighbours towards the root, up to i
            mark[i] = i
            for p in range(start[i], start[i + 1]):
                k = neighbour[p]
                while k < i and mark[k] != i:
                    mark[k] = i
                    if write:
                        row[filled[k]] = i
                    filled[k] += 1
                    k = parent[k]
        if not write:
            column[1:] = np.cumsum(filled)
            row = np.zeros(column[n], np.int64)
            filled[:] = column[:-1]
    return column, row


@njit(cache=True, nogil=True, fastmath=True)
def factor(start, neighbour, stiffness, diagonal, column, row, lower, inverse):  # type: ignore[no-untyped-def]
    """Factor the matrix as L L^T, column by column, each from those before (left-looking).

    Parameters
    ----------
    start, neighbour, column, row
        As of `factor_structure`.
    stiffness : (4,) float64
        An edge's block off the diagonal is minus the diagonal matrix of these.
    diagonal : (N * 16,) float64
    lower, inverse : (B * 16,) and (N * 16,) float64
        Blocks of L below the diagonal, and inverses of those on it: written here.
    """
    n = len(start) - 1
    at = np.zeros(n, np.int64)  # where in the work column a row's block is
    first = np.full(n, -1, np.int64)  # list of the columns whose next block lies in row k
    following = np.full(n, -1, np.int64)
    upcoming = column[:-1].copy()
    widest = np.max(np.diff(column)) + 1
    work, other = np.zeros(widest * 16), np.zeros(widest * 16)
    k = 0
    while k < n:
        lo, hi = column[k], column[k + 1]
        for p in range(lo, hi):
            at[row[p]] = (p - lo + 1) * 16
        # the next column, if its rows are those of this one: both are found in one pass
        twin = hi > lo and row[lo] == k + 1 and column[k + 2] - hi == hi - lo - 1
        at[k] = 0
        _fill(work, k, hi - lo + 1, at, start, neighbour, stiffness, diagonal)
        if twin:
            _fill(other, k + 1, hi - lo + 1, at, start, neighbour, stiffness, diagonal)
        j = first[k]
        while j != -1:
            behind = following[j]
            p = upcoming[j]
            if twin and p + 1 < column[j + 1] and row[p + 1] == k + 1:
                _subtract(work, at, row, p, p, p + 1, lower)
                _subtract_two(work, other, at, row, p, column[j + 1], lower)
                upcoming[j] += 2
            else:
                _subtract(work, at, row, p, p, column[j + 1], lower)
                upcoming[j] += 1
            _enlist(j, upcoming, column, row, first, following)
            j = behind
        _finish(k, work, 0, column, inverse, diagonal, lower)
        if twin:
            j = first[k + 1]  # those with nothing in row k
            while j != -1:
                behind = following[j]
                _subtract(other, at, row, upcoming[j], upcoming[j], column[j + 1], lower)
                upcoming[j] += 1
                _enlist(j, upcoming, column, row, first, following)
                j = behind
            _subtract(other, at, row, lo, lo, hi, lower)
            upcoming[k] += 1
            _finish(k + 1, other, 16, column, inverse, diagonal, lower)
            _enlist(k + 1, upcoming, column, row, first, following)
        _enlist(k, upcoming, column, row, first, following)
        k += 2 if twin else 1


@njit(cache=True, nogil=True)
def _fill(w, k, n, at, start, neighbour, stiffness, diagonal):  # type: ignore[no-untyped-def]
    """Write column k of the matrix into the first `n` blocks of `w`, from the diagonal down."""
    w[: n * 16] = 0.0
    for q in range(16):
        w[at[k] + q] = diagonal[k * 16 + q]
    for p in range(start[k], start[k + 1]):
        if neighbour[p] > k:
            for q in range(4):
                w[at[neighbour[p]] + 5 * q] = -stiffness[q]


@njit(cache=True, nogil=True)
def _finish(k, w, o, column, inverse, diagonal, lower):  # type: ignore[no-untyped-def]
    """Write column k of the factor from what is left in `w`, its diagonal block at `o`."""
    _invert_root(w, o, diagonal, inverse, k * 16)
    for p in range(column[k], column[k + 1]):
        o += 16
        _times_transposed(w, o, inverse, k * 16, lower, p * 16)


@njit(cache=True, nogil=True)
def _enlist(j, upcoming, column, row, first, following):  # type: ignore[no-untyped-def]
    """Put column j on the list of the row of its next block."""
    if upcoming[j] < column[j + 1]:
        i = row[upcoming[j]]
        following[j] = first[i]
        first[i] = j


@njit(cache=True, nogil=True, fastmath=True)
def _subtract(w, at, row, factor, begin, end, a):  # type: ignore[no-untyped-def]
    """Take blocks begin..end of `a`, each times block `factor` transposed, off `w`."""
    b = factor * 16
    t00, t10, t20, t30 = a[b + 0], a[b + 1], a[b + 2], a[b + 3]
    t01, t11, t21, t31 = a[b + 4], a[b + 5], a[b + 6], a[b + 7]
    t02, t12, t22, t32 = a[b + 8], a[b + 9], a[b + 10], a[b + 11]
    t03, t13, t23, t33 = a[b + 12], a[b + 13], a[b + 14], a[b + 15]
    for block in range(begin, end):
        p, o = block * 16, at[row[block]]
        for _ in range(4):
            a0, a1, a2, a3 = a[p], a[p + 1], a[p + 2], a[p + 3]
            x0 = w[o + 0] - a0 * t00 - a1 * t10 - a2 * t20 - a3 * t30
            x1 = w[o + 1] - a0 * t01 - a1 * t11 - a2 * t21 - a3 * t31
            x2 = w[o + 2] - a0 * t02 - a1 * t12 - a2 * t22 - a3 * t32
            x3 = w[o + 3] - a0 * t03 - a1 * t13 - a2 * t23 - a3 * t33
            w[o + 0], w[o + 1], w[o + 2], w[o + 3] = x0, x1, x2, x3
            p += 4
            o += 4


@njit(cache=True, nogil=True, fastmath=True)
def _subtract_two(w, v, at, row, begin, end, a):  # type: ignore[no-untyped-def]
    """Take the blocks behind `begin` off both: times block `begin` off `w`, times the next off `v`.

    Each is read once for two columns, which counts where the factor is larger than the cache.
    """
    b = begin * 16
    t00, t10, t20, t30 = a[b + 0], a[b + 1], a[b + 2], a[b + 3]
    t01, t11, t21, t31 = a[b + 4], a[b + 5], a[b + 6], a[b + 7]
    t02, t12, t22, t32 = a[b + 8], a[b + 9], a[b + 10], a[b + 11]
    t03, t13, t23, t33 = a[b + 12], a[b + 13], a[b + 14], a[b + 15]
    b += 16
    u00, u10, u20, u30 = a[b + 0], a[b + 1], a[b + 2], a[b + 3]
    u01, u11, u21, u31 = a[b + 4], a[b + 5], a[b + 6], a[b + 7]
    u02, u12, u22, u32 = a[b + 8], a[b + 9], a[b + 10], a[b + 11]
    u03, u13, u23, u33 = a[b + 12], a[b + 13], a[b + 14], a[b + 15]
    for block in range(begin + 1, end):
        p, o = block * 16, at[row[block]]
        for _ in range(4):
            a0, a1, a2, a3 = a[p], a[p + 1], a[p + 2], a[p + 3]
            x0 = w[o + 0] - a0 * t00 - a1 * t10 - a2 * t20 - a3 * t30
            x1 = w[o + 1] - a0 * t01 - a1 * t11 - a2 * t21 - a3 * t31
            x2 = w[o + 2] - a0 * t02 - a1 * t12 - a2 * t22 - a3 * t32
            x3 = w[o + 3] - a0 * t03 - a1 * t13 - a2 * t23 - a3 * t33
            w[o + 0], w[o + 1], w[o + 2], w[o + 3] = x0, x1, x2, x3
            x0 = v[o + 0] - a0 * u00 - a1 * u10 - a2 * u20 - a3 * u30
            x1 = v[o + 1] - a0 * u01 - a1 * u11 - a2 * u21 - a3 * u31
            x2 = v[o + 2] - a0 * u02 - a1 * u12 - a2 * u22 - a3 * u32
            x3 = v[o + 3] - a0 * u03 - a1 * u13 - a2 * u23 - a3 * u33
            v[o + 0], v[o + 1], v[o + 2], v[o + 3] = x0, x1, x2, x3
            p += 4
            o += 4


@njit(cache=True, nogil=True)
def _invert_root(w, first, diagonal, inverse, o):  # type: ignore[no-untyped-def]
    """Write the inverse of the Cholesky factor of block `first` of `w`.

    A pivot that is nothing but rounding stands for an unknown that nothing determines: it is
    left out, and comes out as 0.
    """
    root = np.zeros((4, 4))
    reciprocal = np.zeros(4)
    for q in range(4):
        for r in range(q, 4):
            value = w[first + 4 * r + q]
            for k in range(q):
                value -= root[r, k] * root[q, k]
            if r == q:
                if value > _ROUNDING * diagonal[o + 5 * q]:
                    root[q, q] = np.sqrt(value)
                    reciprocal[q] = 1.0 / root[q, q]
            else:
                root[r, q] = value * reciprocal[q]
    for q in range(4):
        for r in range(4):
            inverse[o + 4 * r + q] = 0.0
        inverse[o + 5 * q] = reciprocal[q]
        for r in range(q + 1, 4):
            value = 0.0
            for k in range(q, r):
                value -= root[r, k] * inverse[o + 4 * k + q]
            inverse[o + 4 * r + q] = value * reciprocal[r]


@njit(cache=True, nogil=True, fastmath=True)
def _times_transposed(a, p, b, o, out, to):  # type: ignore[no-untyped-def]
    """Write (block p of a) times (lower triangular block o of b) transposed into `out`."""
    for r in range(4):
        a0, a1, a2, a3 = a[p + 4 * r], a[p + 4 * r + 1], a[p + 4 * r + 2], a[p + 4 * r + 3]
        for q in range(4):
            out[to + 4 * r + q] = (
                a0 * b[o + 4 * q]
                + a1 * b[o + 4 * q + 1]
                + a2 * b[o + 4 * q + 2]
                + a3 * b[o + 4 * q + 3]
            )


@njit(cache=True, nogil=True, fastmath=True)
def solve(column, row, lower, inverse, x):  # type: ignore[no-untyped-def]
    """Solve L L^T x = b in place; `x` (N * 16,) is b at first, 4x4 blocks in order."""
    n = len(column) - 1
    y = np.zeros(16)
    for k in range(n):
        _apply(inverse, k * 16, x, k * 16, y, False)
        x[k * 16 : k * 16 + 16] = y
        for p in range(column[k], column[k + 1]):
            o = row[p] * 16
            for r in range(4):
                a = p * 16 + 4 * r
                a0, a1, a2, a3 = lower[a], lower[a + 1], lower[a + 2], lower[a + 3]
                for q in range(4):
                    x[o + 4 * r + q] -= a0 * y[q] + a1 * y[4 + q] + a2 * y[8 + q] + a3 * y[12 + q]
    for k in range(n - 1, -1, -1):
        o = k * 16
        y[:] = x[o : o + 16]
        for p in range(column[k], column[k + 1]):
            b = row[p] * 16
            for r in range(4):
                a = p * 16 + r
                a0, a1, a2, a3 = lower[a], lower[a + 4], lower[a + 8], lower[a + 12]
                for q in range(4):
                    y[4 * r + q] -= (
                        a0 * x[b + q] + a1 * x[b + 4 + q] + a2 * x[b + 8 + q] + a3 * x[b + 12 + q]
                    )
        x[o : o + 16] = y
        _apply(inverse, o, x, o, y, True)
        x[o : o + 16] = y


@njit(cache=True, nogil=True, fastmath=True)
def _apply(a, p, x, o, out, transposed):  # type: ignore[no-untyped-def]
    """Write (block p of a, or its transposed) times (block o of x) into `out` (16,)."""
    down, right = (1, 4) if transposed else (4, 1)
    for r in range(4):
        for q in range(4):
            value = 0.0
            for k in range(4):
                value += a[p + down * r + right * k] * x[o + 4 * k + q]
            out[4 * r + q] = value
