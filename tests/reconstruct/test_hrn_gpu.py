"""HRN on a CUDA device: the processor's numbers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.coefficients import split
from facekit.reconstruct.facetensors import face_tensors
from facekit.reconstruct.hrn import Hrn


class _Half(nn.Module):
    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(9 if n_out == 1 else 6, n_out, 9, padding=4)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = torch.tanh(self.layer(maps))
        return out


@pytest.mark.gpu
@pytest.mark.parametrize("compat", [False, True])
def test_the_forward_pass_is_the_same_on_cuda(compat: bool) -> None:
    """Rasterised edges may fall to either side: 99 % of the numbers agree, and all means."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    face = face_tensors(procedural_head())
    hrn = Hrn(face, nn.Identity(), _Half(3), _Half(1), 0.5, 0.2, displacement_size=128).eval()
    vector = 0.3 * torch.randn(2, face.n_coefficients)
    vector[:, -3:] *= 0.1
    # smooth as a photograph: in white noise a texel that rounds to the next pixel reads anything
    blotches = torch.rand(2, 3, 32, 32)
    crop = functional.interpolate(blotches, size=512, mode="bilinear", align_corners=False)
    mask = torch.ones(2, 1, 224, 224)
    outside = 1 - face.chart_mask(128).float().reshape(1, 1, 128, 128)
    well_inside = 1 - functional.max_pool2d(outside, 3, stride=1, padding=1)
    with torch.no_grad():
        here = hrn.refine(split(vector, face), crop, mask, compat=compat)
        hrn.cuda()
        found = split(vector.cuda(), face)
        there = hrn.refine(found, crop.cuda(), mask.cuda(), compat=compat)
    for name, value in vars(here).items():
        if isinstance(value, Tensor):
            error = (getattr(there, name).cpu() - value).abs()
            if name == "detail_normals":
                # the released grid goes on past the chart, in triangles of no area
                error = error * well_inside
            assert (error < 2e-3).float().mean() > 0.99, name
            assert error.mean() < 2e-3, name
    images = hrn.refine(found, crop.cuda(), mask.cuda(), compat=compat)
    images.high_image.sum().backward()
    assert hrn.beta.grad is not None and torch.isfinite(hrn.beta.grad).all()
