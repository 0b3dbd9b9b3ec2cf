"""The training of the coefficient network: photographs of faces -> shape, colour, pose, light.

Supervised where samples have truth, weakly supervised as Deep3D everywhere; see `coarseterms`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import ModelFileError
from ...core.facemodel.load import load_face_model
from ..checkpoint import load_hrn, save_hrn
from ..coefficients import Coefficients, split
from ..facetensors import FaceTensors, face_tensors
from ..losses import LossWeights
from ..networks.coefficient import CoefficientNet
from ..networks.hrn import HrnNetworks
from ..networks.landmarks import LandmarkNet, by_landmarks
from ..pose import HrnCamera
from ..samples.augment import Batch
from .coarseconfig import CoarseConfig
from .coarsescore import distances, figures_of, summary
from .coarseterms import FaceAreas, Terms, drawn_coarse, face_areas, pictured, supervised, weak
from .distributed import training_device
from .facepoints import FacePoints
from .recognition import Recognise, load_recognition
from .samplefeed import SampleFeed
from .task import TOTAL, PlainTask

EXPORTED = "coarse.safetensors"
"""The file in the folder of an export."""
_SCORED_POINTS = 8000  # of the face: all of the front of the built-in head
_PANEL_ROWS = 6
_N_MEASURED = 4  # batches of the features of weights to begin with
_BIAS = 10.0  # rate of a head's bias, times that of its weights
_MOMENTUM = 0.02  # of the features' mean and variance: some fifty batches


class CoarseTask(PlainTask):
    """Trains `network`, a `CoefficientNet`, and beside it a network of landmarks, if one is given.

    Both answers, with and without landmarks, are held against the truth.
    """

    name = "coarse"

    def __init__(
        self,
        config: CoarseConfig,
        face: FaceTensors,
        network: CoefficientNet,
        feed: SampleFeed,
        *,
        landmark_net: LandmarkNet | None = None,
        recognise: Recognise | None = None,
    ) -> None:
        self.config, self.face, self.network, self.feed = config, face, network, feed
        self.landmark_net = landmark_net
        self.recognise = recognise
        self.camera = HrnCamera()
        self.points = FacePoints(face, n_points=config.points)
        self.areas: FaceAreas = face_areas(face)
        self.standard = standardiser(network) if config.standardise else nn.Identity()
        self.standard.to(face.mean.device)
        modules: dict[str, nn.Module] = {"net_recon": network, "standard": self.standard}
        optimiser = _optimiser(network, config)
        if landmark_net is not None:
            modules["landmark_net"] = landmark_net
            optimiser.add_param_group({"params": list(landmark_net.parameters())})
        self.optimisers = {"net_recon": optimiser}
        self.modules: Mapping[str, nn.Module] = modules
        self._held: tuple[list[Batch], list[str]] | None = None
        self._scored: FacePoints | None = None

    def losses(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """Return the weighted terms, and `total`."""
        features = self.network.backbone(_last(batch.crop))
        if isinstance(self.standard, nn.BatchNorm2d):  # the first batches have equal parts
            self.standard.momentum = max(_MOMENTUM, 1 / (step + 1))
        # the heads, too: pose is finer than a half number tells
        with torch.autocast(features.device.type, enabled=False):
            found = split(self.network.of_features(self.standard(features.float())), self.face)
            terms = self._told(found, batch)
            if self.landmark_net is not None:
                aided = self._told(self._aided(found, self._noisy(batch.landmarks)), batch)
                terms = {name: (value + aided[name]) / 2 for name, value in terms.items()}
            if self.config.pictures:
                rows = drawn_rows(len(batch.crop), self.config.pictures, step)
                terms |= pictured(
                    self.face, self.areas, _rows(found, rows), _rows(batch, rows),
                    self.camera.resized(self.config.picture_px), recognise=self.recognise,
                )  # fmt: skip
            return weighted(terms, self.config.weights)

    def _told(self, found: Coefficients, batch: Batch) -> Terms:
        """Return the terms that need no picture."""
        return supervised(self.points, found, batch, self.camera) | weak(
            self.points, found, batch, self.camera
        )

    def _aided(self, found: Coefficients, landmarks: Tensor) -> Coefficients:
        """Return coefficients corrected by landmarks (B, 68, 2), px of the crop."""
        assert self.landmark_net is not None
        marks = self.points.shape(found.identity, found.expression)[:, -68:]
        return by_landmarks(self.landmark_net, found, marks, landmarks, self.camera)

    def _noisy(self, landmarks: Tensor) -> Tensor:
        """Return landmarks (B, 68, 2) as worse detectors find them, some of them not at all."""
        at = landmarks.device
        sigma = self.config.landmark_px * torch.rand(len(landmarks), 1, 1, device=at)
        noisy = landmarks + sigma * torch.randn(landmarks.shape, device=at)
        told = torch.rand(*landmarks.shape[:2], 1, device=at) < self.config.landmark_share
        return torch.where(told, noisy, torch.nan)

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """Return median distances of coarse faces, mm, on the people held out; see `coarsescore`.

        Empty where nobody is.
        """
        if self._held is None:
            self._held = self.feed.validation()
        batches, people = self._held
        if not people:
            return {}
        if self._scored is None:
            self._scored = FacePoints(self.face, n_points=_SCORED_POINTS)
        rows: dict[str, list[float]] = {}
        for batch in batches:
            here = batch.to(self.face.mean.device)
            found, alone = self.found(here.crop), None
            if self.landmark_net is not None:
                alone = self._scored.shape(found.identity, found.expression)
                found = self._aided(found, here.landmarks)
            figures = figures_of(self._scored, found, here, self.camera)
            if alone is not None:
                apart = distances(self._scored, alone, here)
                figures["without_landmarks_median_mm"] = apart.tolist()
            for name, values in figures.items():
                rows.setdefault(name, []).extend(values)
        return summary(people, rows)

    @torch.no_grad()
    def panels(self, step: int) -> Mapping[str, Tensor]:
        """Return photographs of people held out, beside the coarse faces found in them."""
        if self._held is None:
            self._held = self.feed.validation()
        if not self._held[0]:
            return {}
        crop = self._held[0][0].crop[:_PANEL_ROWS].to(self.face.mean.device)
        found = self.found(crop)
        albedo = self.face.vertex_albedo(found.albedo)
        everywhere = torch.ones_like(self.areas.photographed)
        drawn = drawn_coarse(self.face, everywhere, found, albedo, self.camera)
        over = torch.where(drawn.mask > 0, drawn.image, crop).clamp(0, 1)
        rows = torch.cat([crop, over], dim=2)  # the photographs above
        return {"faces": rows.permute(1, 2, 0, 3).flatten(2)}

    def found(self, crop: Tensor) -> Coefficients:
        """Return the network's coefficients of crops (B, 3, 224, 224)."""
        features = self.standard(self.network.backbone(_last(crop)))
        return split(self.network.of_features(features), self.face)

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write weights for `facekit reconstruct`, whose maps of detail are zero: `EXPORTED`."""
        face = self.face
        layout = self.config.layout((face.n_identity, face.n_expression, face.n_albedo))
        networks = HrnNetworks(layout)
        networks.net_recon.load_state_dict(self.network.state_dict())
        if networks.landmark_net is not None and self.landmark_net is not None:
            networks.landmark_net.load_state_dict(self.landmark_net.state_dict())
        if isinstance(self.standard, nn.BatchNorm2d):
            fold(self.standard, networks.net_recon)
        with torch.no_grad():
            for gain in (networks.alpha, networks.beta):
                gain.zero_()
        save_hrn(folder / EXPORTED, networks.eval(), face.model, training=dict(record))


def _last(crop: Tensor) -> Tensor:
    """Return pictures laid out as convolutions on the processor are quickest."""
    return crop.contiguous(memory_format=torch.channels_last)


def build(config: CoarseConfig) -> CoarseTask:
    """Make the training of a config.

    Raises
    ------
    InputError
        There is nothing to train on, or it is another face model's.
    ModelFileError
        The face model, the weights to begin with or the recognition network cannot be read.
    """
    torch.manual_seed(config.loop.seed)
    device = training_device(config.loop)
    face = face_tensors(load_face_model(config.model), device=str(device))
    networks = _networks(config, face)
    network: Any = networks.net_recon.to(device)
    network = network.to(memory_format=torch.channels_last)
    landmark_net = networks.landmark_net
    recognise = None
    if config.recognition is not None:
        recognise = load_recognition(Path(config.recognition), device=device)
    feed = SampleFeed(
        config.data, model=config.model, augment=config.augment, parts=config.loop.parts,
        seed=config.loop.seed, resident=face, relief=False,
    )  # fmt: skip
    task = CoarseTask(
        config, face, network, feed, recognise=recognise,
        landmark_net=None if landmark_net is None else landmark_net.to(device),
    )  # fmt: skip
    if config.init is not None and isinstance(task.standard, nn.BatchNorm2d):
        crops = [feed.batch(k, 0, 0, 1).crop.to(device) for k in range(_N_MEASURED)]
        network.eval()
        with torch.no_grad():
            features = torch.cat([network.backbone(_last(crop)) for crop in crops])
        unfold(task.standard, network.train(), features)
    return task


def weighted(terms: Terms, weights: LossWeights) -> Terms:
    """Return the terms times their weights, and `total`, their sum."""
    each = {name: getattr(weights, name) * value for name, value in terms.items()}
    return each | {TOTAL: torch.stack(list(each.values())).sum()}


def standardiser(network: CoefficientNet) -> nn.BatchNorm2d:
    """Return what gives features the mean 0 and the variance 1 while the heads learn.

    As they come out of the backbone all are positive and much alike in all pictures: a step would
    change every answer by the same, and hardly tell one picture from another. `fold` takes it
    into the heads.
    """
    n = network.backbone.n_features
    return nn.BatchNorm2d(n, affine=False, momentum=_MOMENTUM)


@torch.no_grad()
def fold(standard: nn.BatchNorm2d, network: CoefficientNet) -> None:
    """Change the heads so that they answer to plain features as they did to standard ones."""
    assert standard.running_mean is not None
    assert standard.running_var is not None
    at = next(network.parameters()).device
    mean, variance = standard.running_mean.to(at), standard.running_var.to(at)
    for head in network.final_layers:
        if isinstance(head, nn.Conv2d):
            head.weight.mul_((variance + standard.eps).rsqrt()[:, None, None])
            assert head.bias is not None
            head.bias.sub_(head.weight.sum(dim=(2, 3)) @ mean)


@torch.no_grad()
def unfold(standard: nn.BatchNorm2d, network: CoefficientNet, features: Tensor) -> None:
    """Change the heads so that they answer to standard features as they did to plain ones.

    Parameters
    ----------
    features : (N, n_features, grid, grid)
        Of some pictures: their mean and variance are taken for all pictures'.
    """
    mean, variance = standard.running_mean, standard.running_var
    assert mean is not None
    assert variance is not None
    mean.copy_(features.mean(dim=(0, 2, 3)))
    variance.copy_(features.var(dim=(0, 2, 3)))
    for head in network.final_layers:
        if isinstance(head, nn.Conv2d):
            assert head.bias is not None
            head.bias.add_(head.weight.sum(dim=(2, 3)) @ mean)
            head.weight.mul_((variance + standard.eps).sqrt()[:, None, None])


def drawn_rows(n: int, n_drawn: int, step: int) -> Tensor:
    """Return which of `n` samples are drawn in a step: evenly spread, others each time."""
    k = min(n, n_drawn)
    return (torch.arange(k) * n // k + step) % n


def _rows(items: Any, rows: Tensor) -> Any:
    """Return some samples of a dataclass of tensors."""
    return replace(items, **{name: value[rows] for name, value in vars(items).items()})


def _networks(config: CoarseConfig, face: FaceTensors) -> HrnNetworks:
    """Return the networks to begin with; only those of coefficients are trained."""
    counts = (face.n_identity, face.n_expression, face.n_albedo)
    networks = HrnNetworks(config.layout(counts))
    if config.init is not None:
        found = load_hrn(Path(config.init), face.model, n_albedo=face.n_albedo).networks
        if found.layout.backbone != config.backbone:
            raise ModelFileError(
                f"{config.init}: its backbone is {found.layout.backbone}; set backbone="
                f"{found.layout.backbone}"
            )
        networks.net_recon = found.net_recon
        width = found.layout.landmark_width
        if width and width != config.landmark_width:
            raise ModelFileError(
                f"{config.init}: has a landmark network; set landmark_width={width}"
            )
        networks.landmark_net = found.landmark_net or networks.landmark_net
    elif config.backbone_init is not None:
        _load_backbone(networks.net_recon, Path(config.backbone_init))
    return networks.train()


def _load_backbone(network: CoefficientNet, path: Path) -> None:
    """Give the backbone the weights of a classifier's, such as ImageNet's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        tensors = {name: t for name, t in tensors.items() if not name.startswith("fc.")}
        network.backbone.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise ModelFileError(f"{path}: not the weights of this backbone ({said})") from error


def _optimiser(network: CoefficientNet, config: CoarseConfig) -> torch.optim.Optimizer:
    rate = config.loop.learning_rate
    groups: list[dict[str, Any]] = [{"params": list(network.backbone.parameters()), "lr": rate}]
    for head, times in zip(network.final_layers, config.rates.of_heads(), strict=True):
        for name, parameter in head.named_parameters():
            # plain features, all positive, move the mean answer with every step; standard ones
            # leave that to the bias
            quick = _BIAS if config.standardise and name == "bias" else 1.0
            groups.append({"params": [parameter], "lr": rate * times * quick})
    return torch.optim.AdamW(groups, lr=rate, weight_decay=config.weight_decay)
