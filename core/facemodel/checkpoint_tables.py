"""What the checkpoints of HRN hold: every tensor's name and shape, for any face model.

Written down from the layers' numbers, not taken from the networks in `reconstruct`, so that each
checks the other, and a checkpoint can be checked where torch is not wanted.

Source
------
The release of HRN (github.com/youngLBW/HRN, `epoch_10.pth` and `de-retouching.pth`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

Shape = tuple[int, ...]
Table = dict[str, Shape]
"""Tensor's name -> its shape."""

COUNTER = "num_batches_tracked"
"""Batches that a batch norm has seen: of no use once trained, and absent from old files."""

_POSE_AND_LIGHT = (3, 27, 2, 1)
_RESNETS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, int, int]] = {
    # blocks a stage; sizes of the kernels in a block; widening at its end; width of the stem;
    # side of the grid of features that the heads see
    "resnet18_half": ((2, 2, 2, 2), (3, 3), 1, 32, 1),
    "resnet18_half_grid": ((2, 2, 2, 2), (3, 3), 1, 32, 4),
    "resnet18_half_grid7": ((2, 2, 2, 2), (3, 3), 1, 32, 7),
    "resnet18": ((2, 2, 2, 2), (3, 3), 1, 64, 1),
    "resnet34": ((3, 4, 6, 3), (3, 3), 1, 64, 1),
    "resnet50": ((3, 4, 6, 3), (1, 3, 1), 4, 64, 1),
}
BACKBONE_NAMES = tuple(_RESNETS)


@dataclass(frozen=True, kw_only=True)
class HrnLayout:
    """What determines the tensors of a checkpoint; the defaults are those of the release."""

    counts: tuple[int, int, int] = (80, 64, 80)
    """Modes of identity, expression and albedo of the face model."""
    backbone: str = "resnet50"
    """Of the network of coefficients: one of `BACKBONE_NAMES`."""
    mid_width: int = 64
    """Channels of the first layer of the network of the deformation map."""
    high_width: int = 64
    """The same of the displacement map's."""
    mid_blocks: int = 9
    """Residual blocks of the network of the deformation map."""
    high_blocks: int = 9
    """The same of the displacement map's."""
    image_size: int = 224
    """Side of the crop that the network of coefficients sees, px."""
    deformation_size: int = 64
    """Side of the deformation map, texels."""
    displacement_size: int = 256
    """Side of the displacement map, texels."""
    landmark_width: int = 0
    """Of the network that corrects coefficients by landmarks; 0: there is none, as released."""

    @property
    def n_coefficients(self) -> int:
        """Outputs of the network of coefficients."""
        return sum(self.counts) + sum(_POSE_AND_LIGHT)


def hrn_table(layout: HrnLayout) -> Table:
    """Return the tensors of a checkpoint: `net_recon.*`, `mid_net.*`, `high_net.*` and gains.

    And `landmark_net.*` where the layout has one.
    """
    parts = {
        "net_recon": coefficient_table(layout.counts, backbone=layout.backbone),
        "mid_net": generator_table(6, 3, width=layout.mid_width, n_blocks=layout.mid_blocks),
        "high_net": generator_table(9, 1, width=layout.high_width, n_blocks=layout.high_blocks),
    }
    if layout.landmark_width:
        parts["landmark_net"] = landmark_table(layout.counts, width=layout.landmark_width)
    table = {f"{net}.{name}": s for net, part in parts.items() for name, s in part.items()}
    return table | {"alpha": (1,), "beta": (1,)}


def coefficient_table(counts: tuple[int, int, int], *, backbone: str) -> Table:
    """Return the tensors of the network of coefficients; a group without modes has no head."""
    table = {f"backbone.{name}": shape for name, shape in _resnet(backbone)}
    _, _, widening, stem, grid = _RESNETS[backbone]
    for i, n in enumerate((*counts, *_POSE_AND_LIGHT)):
        if n:
            table[f"final_layers.{i}.weight"] = (n, 8 * stem * widening, grid, grid)
            table[f"final_layers.{i}.bias"] = (n,)
    return table


def landmark_table(counts: tuple[int, int, int], *, width: int) -> Table:
    """Return the tensors of the network that corrects coefficients by landmarks."""
    n_given = sum(counts) + sum(_POSE_AND_LIGHT) + 2 * 2 * 68
    n_changed = counts[0] + counts[1] + 6  # shape, angles and translation
    sizes = {"0": (width, n_given), "3": (width, width), "6": (n_changed, width)}
    table: Table = {}
    for name, (n_out, n_in) in sizes.items():
        table |= {f"layers.{name}.weight": (n_out, n_in), f"layers.{name}.bias": (n_out,)}
    return table


def generator_table(n_in: int, n_out: int, *, width: int = 64, n_blocks: int = 9) -> Table:
    """Return the tensors of a map's network: convolutions only, norms hold none."""
    deep = 4 * width
    kernels = {
        "model.1": (width, n_in, 7, 7),
        "model.4": (2 * width, width, 3, 3),
        "model.7": (deep, 2 * width, 3, 3),
    }
    for i in range(10, 10 + n_blocks):  # behind dropout the second convolution is number 6
        kernels |= {f"model.{i}.conv_block.{j}": (deep, deep, 3, 3) for j in (1, 6)}
    last = 10 + n_blocks
    kernels[f"model.{last}"] = (deep, 2 * width, 3, 3)  # transposed: inputs come first
    kernels[f"model.{last + 3}"] = (2 * width, width, 3, 3)
    kernels[f"model.{last + 7}"] = (n_out, width, 7, 7)
    table: Table = {}
    for name, shape in kernels.items():
        is_transposed = name in (f"model.{last}", f"model.{last + 3}")
        table |= {f"{name}.weight": shape, f"{name}.bias": (shape[1 if is_transposed else 0],)}
    return table


def deretouch_table(*, width: int = 64) -> Table:
    """Return the tensors of the de-retouching network."""
    a, b, c, d = (width << i for i in range(4))
    doubles = {"inc.conv": (3, a)}
    for i, (n_in, n_out) in enumerate(((a, b), (b, c), (c, d), (d, d)), 1):
        doubles[f"down{i}.mpconv.1"] = (n_in, n_out)
    for i, (n_in, n_out) in enumerate(((2 * d, c), (2 * c, b), (2 * b, a), (2 * a, a)), 1):
        doubles[f"up{i}.conv"] = (n_in, n_out)
    table: Table = {}
    for name, (n_in, n_out) in doubles.items():
        for j, n in ((0, n_in), (3, n_out)):
            table[f"{name}.conv.{j}.weight"] = (n_out, n, 3, 3)
            table[f"{name}.conv.{j}.bias"] = (n_out,)
            table |= dict(_norm(f"{name}.conv.{j + 1}", n_out))
    for name, n in (("outc", a), ("dsoutc4", c), ("dsoutc3", b), ("dsoutc2", a), ("dsoutc1", a)):
        table |= {f"{name}.conv.weight": (3, n, 1, 1), f"{name}.conv.bias": (3,)}
    return table


def _resnet(backbone: str) -> Iterator[tuple[str, Shape]]:
    counts, kernels, widening, stem, _ = _RESNETS[backbone]
    yield "conv1.weight", (stem, 3, 7, 7)
    yield from _norm("bn1", stem)
    n = stem
    for stage, count in enumerate(counts):
        width = stem << stage
        for block in range(count):
            name, n_out, n_inner = f"layer{stage + 1}.{block}", width * widening, n
            for k, kernel in enumerate(kernels, 1):
                n_next = n_out if k == len(kernels) else width
                yield f"{name}.conv{k}.weight", (n_next, n_inner, kernel, kernel)
                yield from _norm(f"{name}.bn{k}", n_next)
                n_inner = n_next
            if block == 0 and (stage or n != n_out):
                yield f"{name}.downsample.0.weight", (n_out, n, 1, 1)
                yield from _norm(f"{name}.downsample.1", n_out)
            n = n_out


def _norm(name: str, n: int) -> Iterator[tuple[str, Shape]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (n,)
    yield f"{name}.{COUNTER}", ()
