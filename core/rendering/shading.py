"""Light as nine spherical harmonics a colour, in the constants and signs of Deep3D and HRN.

    colour[c] = albedo[c] * sum_i Y_i(n) * (gamma[c, i] + ambient_i),  ambient = (0.8, 0, ...)

`n` is the outward normal in the frame of the camera: x to the image's right, y up, z to the
camera. Nothing is clamped. With gamma all zero the shading is 0.709.

Source
------
Ramamoorthi and Hanrahan, An Efficient Representation for Irradiance Environment Maps, SIGGRAPH
2001; order and signs: github.com/sicxu/Deep3DFaceRecon_pytorch, that HRN takes over.
"""

import math

import torch
from torch import Tensor

AMBIENT = 0.8
"""Added to the first coefficient of each colour."""
N_BANDS = 9

# the cosine lobe's band factor times the harmonic's own
K0 = math.pi / math.sqrt(4 * math.pi)  # 0.886227
K1 = 2 * math.pi / math.sqrt(3) * math.sqrt(3 / (4 * math.pi))  # 1.772454
K2 = 2 * math.pi / math.sqrt(8) * 3 * math.sqrt(5 / (12 * math.pi))  # 2.427032
K3 = K2 / (2 * math.sqrt(3))  # 0.700624
K4 = K2 / 2  # 1.213516


def sh_basis(normals: Tensor) -> Tensor:
    """Return the nine harmonics (..., 9) at `normals` (..., 3), of any length as they are."""
    x, y, z = normals.unbind(dim=-1)
    return torch.stack(
        [
            torch.full_like(x, K0),
            -K1 * y,
            K1 * z,
            -K1 * x,
            K2 * x * y,
            -K2 * y * z,
            K3 * (3 * z * z - 1),
            -K2 * x * z,
            K4 * (x * x - y * y),
        ],
        dim=-1,
    )


def irradiance(normals: Tensor, gamma: Tensor) -> Tensor:
    """Return what the light makes of white: (B, ..., 3).

    Parameters
    ----------
    normals : (B, ..., 3)
        Outward, in the camera's frame.
    gamma : (B, 3, 9)
        A row a colour; the ambient part is added here.
    """
    ambient = torch.zeros(N_BANDS, dtype=gamma.dtype, device=gamma.device)
    ambient[0] = AMBIENT
    basis = sh_basis(normals)
    lit = basis.flatten(1, -2) @ (gamma + ambient).transpose(1, 2)
    return lit.reshape(*normals.shape[:-1], gamma.shape[1])


def shade(albedo: Tensor, normals: Tensor, gamma: Tensor) -> Tensor:
    """Return the lit colour (B, ..., 3) of `albedo` (B, ..., 3); see `irradiance`."""
    return albedo * irradiance(normals, gamma)


def shaded_map(albedo: Tensor, normals: Tensor, gamma: Tensor) -> Tensor:
    """Return the lit colours (B, 3, S, S) of maps of albedo and normals; see `irradiance`."""
    lit = shade(albedo.permute(0, 2, 3, 1), normals.permute(0, 2, 3, 1), gamma)
    return lit.permute(0, 3, 1, 2)
