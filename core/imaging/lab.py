"""CIE Lab and the CIEDE2000 colour difference."""

import numpy as np

from ..arrays import AnyFloats, Floats

XYZ_FROM_LINEAR_SRGB = np.array(
    [
        [0.4123908, 0.3575843, 0.1804808],
        [0.2126390, 0.7151687, 0.0721923],
        [0.0193308, 0.1191948, 0.9505322],
    ]
)
"""IEC 61966-2-1."""

WHITE_D65 = XYZ_FROM_LINEAR_SRGB.sum(axis=1)


def lab_from_linear(linear: AnyFloats) -> Floats:
    """Take linear sRGB light (..., 3), white at 1, to CIE Lab under D65.

    Source
    ------
    CIE 15:2004, section 8.2.1.
    """
    xyz = np.asarray(linear, dtype=np.float64) @ XYZ_FROM_LINEAR_SRGB.T / WHITE_D65
    xyz = np.maximum(xyz, 0)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def delta_e_2000(lab_a: Floats, lab_b: Floats) -> Floats:
    """Return the CIEDE2000 difference of (..., 3) Lab colours.

    Source
    ------
    Sharma, Wu and Dalal, Color Research and Application 30(1), 2005, doi:10.1002/col.20070,
    eqs. (2)-(22).
    """
    (L1, a1, b1), (L2, a2, b2) = np.moveaxis(lab_a, -1, 0), np.moveaxis(lab_b, -1, 0)
    C_mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    G = 0.5 * (1 - np.sqrt(C_mean**7 / (C_mean**7 + 25.0**7)))  # (4)
    a1, a2 = (1 + G) * a1, (1 + G) * a2
    C1, C2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    colored = C1 * C2 > 0
    turn = np.where(colored, (h2 - h1 + 180) % 360 - 180, 0.0)  # (10)
    dH = 2 * np.sqrt(C1 * C2) * np.sin(np.radians(turn) / 2)  # (11)
    L, C = (L1 + L2) / 2, (C1 + C2) / 2
    h = np.where(colored, (h1 + turn / 2) % 360, h1 + h2)  # (14)
    T = (
        1
        - 0.17 * np.cos(np.radians(h - 30))
        + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6))
        - 0.20 * np.cos(np.radians(4 * h - 63))
    )  # (15)
    S_L = 1 + 0.015 * (L - 50) ** 2 / np.sqrt(20 + (L - 50) ** 2)
    S_C = 1 + 0.045 * C
    S_H = 1 + 0.015 * C * T
    R_C = 2 * np.sqrt(C**7 / (C**7 + 25.0**7))
    R_T = -np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2)))) * R_C  # (21)
    lightness, chroma, hue = (L2 - L1) / S_L, (C2 - C1) / S_C, dH / S_H
    return np.asarray(np.sqrt(lightness**2 + chroma**2 + hue**2 + R_T * chroma * hue))  # (22)
