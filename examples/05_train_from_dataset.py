"""Train one epoch of a small network from a dataset folder: `python 05_… OUT`.

It learns to tell the displacement map from the deformation map; 40 kB of weights prove
nothing about faces, but the loop is the one that a real network needs. Reads OUT/dataset as
`facekit export --hdf5` writes it; without one, a drawn stand-in is written there first.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from facekit.benchmarks.dataset_bench_store import write_drawn_dataset
from facekit.dataset.samples import FaceDataset

KEYS = ("maps/deformation", "maps/displacement", "maps/valid")


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/example") / "dataset"
    if not (out / "dataset.json").is_file():
        write_drawn_dataset(out, np.random.default_rng(0), n_subjects=6)
    torch.manual_seed(0)
    loader = DataLoader(
        FaceDataset(out, keys=KEYS), batch_size=2, shuffle=True, num_workers=2,
        multiprocessing_context="spawn",
    )  # fmt: skip
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 1, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    seen = 0
    for batch in loader:
        deformation = batch["maps/deformation"].permute(0, 3, 1, 2)
        wanted, valid = batch["maps/displacement"][:, None], batch["maps/valid"][:, None]
        found = nn.functional.interpolate(network(deformation), wanted.shape[-2:], mode="bilinear")
        loss = ((found - wanted)[valid] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(wanted)
        print(f"{seen} captures, loss {loss.item():.5f} mm²")


if __name__ == "__main__":  # workers that are spawned import this file
    main()
