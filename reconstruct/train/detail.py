"""The training of the mid and high generators, put together: networks, prepared folder, feeds."""

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.arrays import Ints
from ...core.errors import InputError, ModelFileError
from ...core.facemodel.load import load_face_model
from ...core.files import sha256_file
from ..checkpoint import load_deretouch, load_hrn
from ..facetensors import FaceTensors, face_tensors
from ..hrn import Hrn
from ..networks.hrn import HrnNetworks
from ..samples.sample import Sample, Source
from .detailconfig import DetailConfig
from .detailfeed import PreparedFeed
from .detailprepared import prepare
from .detailtask import DetailTask
from .distributed import training_device
from .samplefeed import SampleFeed, held_out, people_of
from .sources import Joined


def build(config: DetailConfig) -> DetailTask:
    """Make the training of a config; works out `config.prepared` first where it is wanted.

    Raises
    ------
    InputError
        There is nothing to train on, or no coefficient network.
    ModelFileError
        A file of weights, or the face model, cannot be read, or they do not go together.
    """
    torch.manual_seed(config.loop.seed)
    device = training_device(config.loop)
    face = face_tensors(load_face_model(config.model), device=str(device))
    # pixels together, channels innermost: the high network takes half the time on processors
    laid_out: Any = detail_networks(config, face).to(device)
    networks: HrnNetworks = laid_out.to(memory_format=torch.channels_last)
    deretoucher: nn.Module | None = None
    if config.deretouch is not None and config.parts.deretouch:
        deretoucher = load_deretouch(Path(config.deretouch), device=device).network
        deretoucher.requires_grad_(False)
    hrn = Hrn.of(face, networks, deretoucher)
    hrn.coefficient_net.eval().requires_grad_(False)
    if hrn.landmark_net is not None:
        hrn.landmark_net.eval().requires_grad_(False)
    samples = SampleFeed(
        config.data, model=config.model, augment=config.augment, fine=config.fine,
        parts=config.loop.parts, seed=config.loop.seed, resident=face,
    )  # fmt: skip
    feed = samples if config.prepared is None else prepared_feed(config, hrn, samples)
    return DetailTask(config, hrn, networks, feed, samples)


def detail_networks(config: DetailConfig, face: FaceTensors) -> HrnNetworks:
    """Return networks with the coefficient network of `config.coarse` and fresh generators.

    With `config.init` the generators and gains of that file.
    """
    networks = _with_coarse(config, face)
    with torch.no_grad():
        networks.alpha.fill_(config.sizes.alpha)
        networks.beta.fill_(config.sizes.beta)
        if config.sizes.start_at_zero:
            for net in (networks.mid_net, networks.high_net):
                net.silence()
    if config.init is not None:
        known = load_hrn(Path(config.init), face.model, n_albedo=face.n_albedo).networks
        # the coefficients are not taken from it
        if replace(known.layout, landmark_width=networks.layout.landmark_width) != networks.layout:
            raise ModelFileError(
                f"{config.init}: networks of {known.layout}, but the settings say {networks.layout}"
            )
        networks.mid_net.load_state_dict(known.mid_net.state_dict())
        networks.high_net.load_state_dict(known.high_net.state_dict())
        with torch.no_grad():
            networks.alpha.copy_(known.alpha)
            networks.beta.copy_(known.beta)
    return networks


def _with_coarse(config: DetailConfig, face: FaceTensors) -> HrnNetworks:
    """Return networks with the frozen coefficient network, or one that only knows the mean."""
    dropout = config.sizes.dropout
    if not config.coarse:
        if not config.untrained:
            raise InputError(
                "no coefficient network; set coarse= to the file that its training exported"
            )
        counts = (face.n_identity, face.n_expression, face.n_albedo)
        return HrnNetworks(config.layout(counts, config.backbone), dropout=dropout)
    coarse = load_hrn(Path(config.coarse), face.model, n_albedo=face.n_albedo).networks
    layout = config.layout(
        coarse.layout.counts, coarse.layout.backbone, landmark_width=coarse.layout.landmark_width
    )
    networks = HrnNetworks(layout, dropout=dropout)
    networks.net_recon, networks.landmark_net = coarse.net_recon, coarse.landmark_net
    return networks


def prepared_feed(config: DetailConfig, hrn: Hrn, samples: SampleFeed) -> PreparedFeed:
    """Work out the prepared folder, and return its feed."""
    assert config.prepared is not None
    folder = Path(config.prepared)
    key = {
        "coarse": sha256_file(Path(config.coarse)) if config.coarse else "",
        "data": {**asdict(config.data), "batch": 0, "wild_share": 0, "n_validation": 0},
        "model": config.model,
        "texels": [config.sizes.deformation_size, config.sizes.displacement_size],
    }
    prepare(
        hrn, _Trained(samples, config.n_prepared), folder, key=key, augment=config.augment,
        seed=config.loop.seed, copies=config.copies, fine=config.fine, jitter=config.jitter,
        waits=os.environ.get("RANK", "0") != "0",
    )  # fmt: skip
    return PreparedFeed(folder, config.data, parts=config.loop.parts, seed=config.loop.seed)


class _Trained:
    """The samples that are trained on: those of people not held out, then the wild ones.

    Parameters
    ----------
    n_most : int, optional
        So many of them, evenly spread.
    """

    def __init__(self, samples: SampleFeed, n_most: int | None) -> None:
        held = held_out(people_of(samples.scans), samples.data.held_out)
        own: Ints = np.flatnonzero(~held).astype(np.int32)
        self.source: Source = samples.scans
        if samples.wild is not None:
            self.source = Joined([samples.scans, samples.wild])
            wild = len(samples.scans) + np.arange(len(samples.wild), dtype=np.int32)
            own = np.concatenate([own, wild])
        n = len(own) if n_most is None else min(n_most, len(own))
        self.rows = own[np.linspace(0, len(own) - 1, n).round().astype(int)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        return self.source[int(self.rows[index])]
