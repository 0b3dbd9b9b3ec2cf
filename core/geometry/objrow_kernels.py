"""Compiled loops of `objrows.py`: rows of numbers as text, digit for digit as Python writes them.

A number of d decimals is the whole number nearest to 10^d times it; that product is known to
twice the precision of a float, so that ties and near ties fall as in exact arithmetic.

Source
------
Dekker, A floating-point technique for extending the available precision, 1971: the product.
"""

import math

import numpy as np
from numba import njit

LIMIT = 9.0e15
"""Products of this size and beyond are not whole numbers of a float any more."""
WIDTH = 26
"""Most bytes of a number, its separator included."""
_SPLIT = 134217729.0  # 2^27 + 1
_ZERO, _POINT, _MINUS = 48, 46, 45


@njit(nogil=True, cache=True)
def write_decimals(values, decimals, prefix, out):  # type: ignore[no-untyped-def]
    """Write rows (N, k) of finite numbers; return the bytes used, -1 if one is too large."""
    scale = 10.0**decimals
    at = 0
    for i in range(values.shape[0]):
        at = _copy(prefix, out, at)
        for j in range(values.shape[1]):
            x = values[i, j]
            if not abs(x) * scale < LIMIT:
                return -1
            out[at] = 32
            at += 1
            if x < 0 or (x == 0 and math.copysign(1.0, x) < 0):
                out[at] = _MINUS
                at += 1
            whole = _nearest(abs(x), scale)
            unit = np.int64(scale)
            at = _digits(whole // unit, 1, out, at)
            out[at] = _POINT
            at = _digits(whole % unit, decimals, out, at + 1)
        out[at] = 10
        at += 1
    return at


@njit(nogil=True, cache=True)
def write_whole(values, paired, prefix, out):  # type: ignore[no-untyped-def]
    """Write rows (N, k) of whole numbers from 0; `paired`: every second follows a slash."""
    at = 0
    for i in range(values.shape[0]):
        at = _copy(prefix, out, at)
        for j in range(values.shape[1]):
            out[at] = 47 if paired and j % 2 else 32
            at = _digits(np.int64(values[i, j]), 1, out, at + 1)
        out[at] = 10
        at += 1
    return at


@njit(nogil=True, cache=True, inline="always")
def _copy(prefix, out, at):  # type: ignore[no-untyped-def]
    for k in range(len(prefix)):
        out[at + k] = prefix[k]
    return at + len(prefix)


@njit(nogil=True, cache=True)
def _nearest(x, scale):  # type: ignore[no-untyped-def]
    """Return the whole number nearest to x * scale, the even one of two as near; x >= 0."""
    product = x * scale
    high, other = _SPLIT * x, _SPLIT * scale
    x_high, s_high = high - (high - x), other - (other - scale)
    x_low, s_low = x - x_high, scale - s_high
    rest = ((x_high * s_high - product) + x_high * s_low + x_low * s_high) + x_low * s_low
    whole = math.floor(product)
    part = product - whole
    number = np.int64(whole)
    if part > 0.5 or (part == 0.5 and (rest > 0 or (rest == 0 and number % 2 == 1))):
        number += 1
    return number


@njit(nogil=True, cache=True)
def _digits(number, least, out, at):  # type: ignore[no-untyped-def]
    """Write a whole number with at least so many digits; return where it ends."""
    n, rest = 1, number // 10
    while rest > 0:
        n += 1
        rest //= 10
    n = max(n, least)
    for k in range(n):
        out[at + n - 1 - k] = _ZERO + number % 10
        number //= 10
    return at + n
