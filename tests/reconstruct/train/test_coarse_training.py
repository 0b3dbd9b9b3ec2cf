"""The training of the coefficient network: score, pictures, export, weights to begin with."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from facekit.cli import main
from facekit.core.config import from_mapping, load_yaml
from facekit.core.errors import ConfigError, ModelFileError
from facekit.reconstruct.checkpoint import load_hrn
from facekit.reconstruct.coefficients import zero_coefficients
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.networks.coefficient import CoefficientNet
from facekit.reconstruct.pose import HrnCamera, posed, rotation
from facekit.reconstruct.samples.augment import Batch
from facekit.reconstruct.samples.virtual import VirtualConfig
from facekit.reconstruct.train.coarse import EXPORTED, CoarseTask, build, unfold
from facekit.reconstruct.train.coarseconfig import CoarseConfig
from facekit.reconstruct.train.coarsescore import distances, figures_of, summary
from facekit.reconstruct.train.config import LoopConfig
from facekit.reconstruct.train.facepoints import FacePoints
from facekit.reconstruct.train.presets import settings_file
from facekit.reconstruct.train.recognition import load_recognition
from facekit.reconstruct.train.samplefeed import DataConfig, SampleFeed

SMALL = CoarseConfig(
    data=DataConfig(virtual=VirtualConfig(), batch=2),
    backbone="resnet18_half", points=500, pictures=1, picture_px=48,
    mid_width=4, high_width=4, mid_blocks=1, high_blocks=1,
)  # fmt: skip


def a_batch(face: FaceTensors, n: int = 2) -> Batch:
    """Give photographs that show nothing, of people who are known."""
    g = torch.Generator().manual_seed(0)
    identity = 0.8 * torch.randn(n, face.n_identity, generator=g)
    expression = torch.zeros(n, face.n_expression)
    shape = face.shape(identity, expression)
    pixels = HrnCamera().project(posed(shape, torch.zeros(n, 3), torch.zeros(n, 3)))
    return Batch(
        crop=torch.rand(n, 3, 224, 224, generator=g),
        fine=torch.zeros(n, 3, 0, 0),
        mask=torch.ones(n, 1, 224, 224),
        landmarks=pixels[:, face.landmarks],
        has_truth=torch.ones(n, dtype=torch.bool),
        vertices=shape,
        support=torch.ones(n, face.n_vertices),
        identity=identity,
        expression=expression,
        pixels=pixels,
        displacement=torch.zeros(n, 1, 4, 4),
        displacement_valid=torch.zeros(n, 1, 4, 4),
    )


def network_grid(task: CoarseTask) -> int:
    """Side of the grid of features."""
    return task.network.backbone.grid


class Held(SampleFeed):
    """A feed that holds one batch out, two photographs of each of two people."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(SMALL.data, model="builtin", augment=None)
        self.held = batch

    def validation(self) -> tuple[list[Batch], list[str]]:
        return [self.held], ["a", "a", "b", "b"][: len(self.held)]


def task_of(face: FaceTensors, config: CoarseConfig = SMALL, n: int = 2) -> CoarseTask:
    counts = (face.n_identity, face.n_expression, face.n_albedo)
    torch.manual_seed(0)
    network = CoefficientNet(counts, backbone=config.backbone)
    return CoarseTask(config, face, network, Held(a_batch(face, n)))


@pytest.fixture(scope="module")
def front(head_face: FaceTensors) -> FacePoints:
    return FacePoints(head_face, n_points=8000)


def test_the_truth_has_no_distance_wherever_it_lies(
    head_face: FaceTensors, front: FacePoints
) -> None:
    batch = a_batch(head_face)
    R = rotation(torch.tensor([[0.1, 0.2, -0.1], [-0.2, 0.0, 0.1]]))
    moved = batch.vertices @ R.transpose(1, 2) + torch.tensor([0.3, -0.1, 0.2])
    assert (distances(front, front.of(moved), batch) < 2e-3).all()


def test_a_known_bulge_has_its_height(head_face: FaceTensors, front: FacePoints) -> None:
    """Waves of 1 mm along the normals, which no motion makes smaller.

    The median of |sin| is 0.71, whatever the phase.
    """
    batch = a_batch(head_face)
    normals = front.normals(batch.vertices)
    true = front.of(batch.vertices)
    wave = torch.sin(2 * np.pi * (true[..., :1] + 0.3 * true[..., 1:2]) / 0.06)
    found = distances(front, true + 0.01 * wave * normals, batch)
    assert found.tolist() == pytest.approx([0.71, 0.71], abs=0.06)


def test_unknown_vertices_are_not_judged(head_face: FaceTensors, front: FacePoints) -> None:
    batch = a_batch(head_face)
    right = batch.vertices[..., 0] < 0
    shape = batch.vertices + torch.where(right, 0.1, 0.0)[..., None]
    known = replace(batch, support=(~right).float())
    assert (distances(front, front.of(shape), known) < 2e-3).all()
    assert (distances(front, front.of(shape), batch) > 0.5).all()


def test_a_person_counts_once_however_often_photographed() -> None:
    rows = {"median_mm": [1.0, 1.0, 1.0, 3.0], "landmark_px": [0.0, 3.0, 6.0, 1.0]}
    found = summary(["a", "a", "a", "b"], rows)
    assert found == {"median_mm": 2.0, "landmark_px": 2.0, "score": 2.0, "n_people": 2.0}


def test_an_untrained_network_scores_as_the_mean_face(head_face: FaceTensors) -> None:
    task = task_of(head_face, n=4)
    task.network.eval()
    found = task.validate(0)
    assert found["median_mm"] == found["mean_face_median_mm"] == found["score"] > 0.2
    assert found["n_people"] == 2
    panels = task.panels(0)
    assert panels["faces"].shape == (3, 2 * 224, 4 * 224)
    assert 0 <= panels["faces"].min() <= panels["faces"].max() <= 1


def test_figures_of_pixels_are_pixels(head_face: FaceTensors, front: FacePoints) -> None:
    batch = a_batch(head_face)
    true = replace(
        zero_coefficients(head_face, 2), identity=batch.identity, expression=batch.expression
    )
    moved = replace(batch, pixels=batch.pixels + torch.tensor([3.0, 4.0]))
    found = figures_of(front, true, moved, HrnCamera())
    assert found["landmark_px"] == pytest.approx([5.0, 5.0], abs=1e-3)
    assert found["dense_px"] == pytest.approx([5.0, 5.0], abs=1e-3)


def test_all_terms_have_names_and_a_step_changes_all_heads(head_face: FaceTensors) -> None:
    task = task_of(head_face)
    batch = a_batch(head_face)
    terms = task.losses(0, batch)
    assert set(terms) == {
        "shape", "aligned", "pose", "reprojection", "truth", "landmark", "coefficients", "gamma",
        "photo", "reflectance", "total",
    }  # fmt: skip
    before = [head.weight.detach().clone() for head in task.network.final_layers]  # type: ignore[union-attr]
    terms["total"].backward()
    task.optimisers["net_recon"].step()
    after = [head.weight.detach() for head in task.network.final_layers]  # type: ignore[union-attr]
    moves = [float((new - old).abs().max()) for old, new in zip(before, after, strict=True)]
    # Adam's first step is the learning rate of each group
    rate = SMALL.loop.learning_rate
    wanted = [rate * times for times in SMALL.rates.of_heads()]
    assert moves == pytest.approx(wanted, rel=0.05)


def test_an_export_is_a_checkpoint_whose_maps_are_silent(
    head_face: FaceTensors, tmp_path: Path
) -> None:
    task = task_of(head_face)
    with torch.no_grad():
        for parameter in task.network.parameters():
            parameter.add_(0.01)
    task.export(tmp_path, {"steps": 3, "data": ["x"]})
    found = load_hrn(tmp_path / EXPORTED, head_face.model, n_albedo=head_face.n_albedo)
    assert found.info.training["steps"] == 3
    assert found.info.layout.backbone == "resnet18_half"
    assert float(found.networks.alpha.detach()) == float(found.networks.beta.detach()) == 0.0
    crop = torch.rand(1, 3, 224, 224)
    task.network.eval()
    with torch.no_grad():
        assert torch.equal(found.networks.net_recon(crop), task.network(crop))
    begun = build(replace(SMALL, init=str(tmp_path / EXPORTED)))
    for name, tensor in begun.network.state_dict().items():
        assert torch.equal(tensor, task.network.state_dict()[name])
    with pytest.raises(ModelFileError, match="set backbone=resnet18_half"):
        build(replace(SMALL, init=str(tmp_path / EXPORTED), backbone="resnet18"))


def test_a_network_of_landmarks_learns_beside_the_coefficients(
    head_face: FaceTensors, tmp_path: Path
) -> None:
    """Landmarks without noise, of faces that the pictures do not tell: they are worth something."""
    config = replace(
        SMALL, loop=LoopConfig(learning_rate=3e-3), landmark_width=32, landmark_px=0.0,
        landmark_share=1.0, pictures=0,
    )  # fmt: skip
    task = build(config)
    task.feed = Held(a_batch(head_face, 4))
    batch = a_batch(head_face, 4)
    before = task.validate(0)
    assert before["without_landmarks_median_mm"] == before["median_mm"]
    optimiser = task.optimisers["net_recon"]
    task.network.requires_grad_(False)  # the photographs show nothing
    for step in range(40):
        optimiser.zero_grad()
        task.losses(step, batch)["total"].backward()
        optimiser.step()
    for module in task.modules.values():
        module.eval()
    after = task.validate(40)
    assert after["median_mm"] < 0.8 * after["without_landmarks_median_mm"]
    task.export(tmp_path, {})
    again = build(replace(config, init=str(tmp_path / EXPORTED)))
    assert task.landmark_net is not None
    assert again.landmark_net is not None
    for name, tensor in again.landmark_net.state_dict().items():
        assert torch.equal(tensor, task.landmark_net.state_dict()[name])
    with pytest.raises(ModelFileError, match="set landmark_width=32"):
        build(replace(config, init=str(tmp_path / EXPORTED), landmark_width=0))


@pytest.mark.parametrize("backbone", ["resnet18_half", "resnet18_half_grid"])
def test_features_standardised_while_learning_are_plain_in_an_export(
    head_face: FaceTensors, tmp_path: Path, backbone: str
) -> None:
    """The exported network, without the layer, answers as the one that learnt with it."""
    config = replace(SMALL, standardise=True, backbone=backbone)
    task = task_of(head_face, config)
    assert set(task.modules) == {"net_recon", "standard"}
    with torch.no_grad():
        for head in task.network.final_layers:
            head.weight.normal_(0, 0.05 / network_grid(task))  # type: ignore[union-attr, operator]
        for _ in range(3):
            task.losses(0, a_batch(head_face))
    for module in task.modules.values():
        module.eval()
    task.export(tmp_path, {})
    found = load_hrn(tmp_path / EXPORTED, head_face.model, n_albedo=head_face.n_albedo)
    crop = a_batch(head_face).crop
    with torch.no_grad():
        wanted = task.found(crop).joined()
        torch.testing.assert_close(found.networks.net_recon(crop), wanted, atol=2e-4, rtol=1e-3)
    assert wanted.abs().max() > 0.1
    again = task_of(head_face, config)
    again.network.load_state_dict(found.networks.net_recon.state_dict())
    again.network.eval()
    again.standard.eval()
    with torch.no_grad():
        unfold(again.standard, again.network, again.network.backbone(crop))
        torch.testing.assert_close(again.found(crop).joined(), wanted, atol=2e-4, rtol=1e-3)


def test_a_backbone_may_begin_with_a_classifiers_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    donor = CoefficientNet((1, 1, 1), backbone="resnet18_half").backbone.state_dict()
    save_file({**donor, "fc.weight": torch.zeros(2, 256)}, tmp_path / "classifier.safetensors")
    task = build(replace(SMALL, backbone_init=str(tmp_path / "classifier.safetensors")))
    assert torch.equal(task.network.backbone.conv1.weight, donor["conv1.weight"])
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match=r"other.safetensors: not the weights"):
        build(replace(SMALL, backbone_init=str(tmp_path / "other.safetensors")))


def save_script(network: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(network, torch.zeros(1, 3, 112, 112)).save(str(path))


class _Recogniser(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(image, 4).flatten(1)


def test_a_recognition_network_of_the_users_is_heard(
    head_face: FaceTensors, tmp_path: Path
) -> None:
    """Its term reaches the shape of photographs without truth, and leaves out unknown points."""
    path = tmp_path / "recogniser.pt"
    save_script(_Recogniser(), path)
    task = task_of(head_face)
    task.recognise = load_recognition(path)
    batch = replace(a_batch(head_face), has_truth=torch.zeros(2, dtype=torch.bool))
    perceptual = task.losses(0, batch)["perceptual"]
    perceptual.backward()
    gradient = task.network.final_layers[0].weight.grad  # type: ignore[union-attr]
    assert isinstance(gradient, Tensor)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).any()
    batch.landmarks[:, 30] = torch.nan
    assert float(task.losses(0, batch)["perceptual"].detach()) == 0.0


@pytest.mark.parametrize("content", [b"", b"not a program", None])
def test_what_is_no_recognition_network_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "recogniser.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"recogniser.pt"):
        load_recognition(path)


@pytest.mark.parametrize("name", ["coarse-small", "coarse-hrn", "coarse-smoke"])
def test_settings_that_ship_can_be_read(name: str) -> None:
    path = settings_file(name)
    config = from_mapping(CoarseConfig, load_yaml(path), where=name)
    assert config.layout((1, 2, 3)).backbone == config.backbone


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="one of resnet18_half"):
        CoarseConfig(backbone="resnet19")
    with pytest.raises(ConfigError, match="points = 3"):
        CoarseConfig(points=3)


@pytest.mark.slow
def test_the_smoke_training_learns(tmp_path: Path) -> None:
    """Every loss that is not a regulariser falls, within a minute of a core."""
    out = tmp_path / "run"
    done = CliRunner().invoke(
        main, ["train", "coarse", "--smoke", "--json", "--out", str(out)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    for name in ("shape", "aligned", "pose", "reprojection", "landmark", "photo", "total"):
        assert told["last"][name] < told["first"][name], name
    assert (out / "weights" / EXPORTED).is_file()
