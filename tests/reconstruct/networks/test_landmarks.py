"""The network that corrects coefficients by landmarks: what it changes, what it leaves alone."""

import pytest
import torch
from torch import Tensor

from facekit.core.facemodel.checkpoint_tables import HrnLayout, hrn_table
from facekit.reconstruct.coefficients import Coefficients, split
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.hrn import Hrn
from facekit.reconstruct.networks.hrn import HrnNetworks
from facekit.reconstruct.networks.landmarks import LandmarkNet, by_landmarks
from facekit.reconstruct.pose import HrnCamera, posed


def net_of(face: FaceTensors, *, taught: bool = True) -> LandmarkNet:
    torch.manual_seed(0)
    net = LandmarkNet((face.n_identity, face.n_expression, face.n_albedo), width=16).eval()
    if taught:
        torch.nn.init.normal_(net.layers[-1].weight, std=0.1)
    return net


def some_faces(face: FaceTensors) -> Coefficients:
    generator = torch.Generator().manual_seed(1)
    return split(0.1 * torch.randn(2, face.n_coefficients, generator=generator), face)


def own_marks(face: FaceTensors, found: Coefficients) -> tuple[Tensor, Tensor]:
    """Return the landmarks (2, 68, 3) of faces, and (2, 68, 2) where a crop shows them."""
    marks = face.shape(found.identity, found.expression)[:, face.landmarks]
    return marks, HrnCamera().project(posed(marks, found.angles, found.translation))


def test_untrained_it_changes_nothing(head_face: FaceTensors) -> None:
    found = some_faces(head_face)
    marks, places = own_marks(head_face, found)
    net = net_of(head_face, taught=False)
    told = by_landmarks(net, found, marks, places + 5, HrnCamera())
    assert torch.equal(told.joined(), found.joined())


def test_shape_and_pose_follow_landmarks_and_colour_and_light_stay(head_face: FaceTensors) -> None:
    found = some_faces(head_face)
    marks, places = own_marks(head_face, found)
    net = net_of(head_face)
    told = [by_landmarks(net, found, marks, places + d, HrnCamera()) for d in (0, 5)]
    for name in ("identity", "expression", "angles", "translation"):
        assert not torch.allclose(getattr(told[0], name), getattr(told[1], name), atol=1e-4)
    for name in ("albedo", "gamma"):
        assert torch.equal(getattr(told[1], name), getattr(found, name))


def test_a_landmark_that_nobody_found_says_nothing(head_face: FaceTensors) -> None:
    """It counts as one where the face has it already."""
    found = some_faces(head_face)
    marks, places = own_marks(head_face, found)
    unknown, there = places + 3.0, places + 3.0
    unknown[:, :17], there[:, :17] = torch.nan, places[:, :17]
    net = net_of(head_face)
    first = by_landmarks(net, found, marks, unknown, HrnCamera())
    second = by_landmarks(net, found, marks, there, HrnCamera())
    assert torch.equal(first.joined(), second.joined())


def test_a_mistaken_landmark_is_not_believed(head_face: FaceTensors) -> None:
    found = some_faces(head_face)
    marks, places = own_marks(head_face, found)
    wrong, unknown = places + 3.0, places + 3.0
    wrong[:, 30], unknown[:, 30] = places[:, 30] + 60.0, torch.nan
    net = net_of(head_face)
    told = [by_landmarks(net, found, marks, given, HrnCamera()) for given in (wrong, unknown)]
    assert torch.equal(told[0].joined(), told[1].joined())


def test_a_crop_of_other_pixels_says_the_same(head_face: FaceTensors) -> None:
    found = some_faces(head_face)
    marks, places = own_marks(head_face, found)
    net = net_of(head_face)
    small = by_landmarks(net, found, marks, places + 2, HrnCamera())
    large = by_landmarks(net, found, marks, 2 * (places + 2), HrnCamera().resized(448))
    torch.testing.assert_close(small.joined(), large.joined(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("width", [0, 16])
def test_a_forward_pass_takes_landmarks_where_its_weights_know_them(
    head_face: FaceTensors, width: int
) -> None:
    counts = (head_face.n_identity, head_face.n_expression, head_face.n_albedo)
    layout = HrnLayout(
        counts=counts, backbone="resnet18_half", mid_width=4, high_width=4, mid_blocks=0,
        high_blocks=0, landmark_width=width,
    )  # fmt: skip
    networks = HrnNetworks(layout).eval()
    assert {n: tuple(t.shape) for n, t in networks.state_dict().items()} == hrn_table(layout)
    if networks.landmark_net is not None:
        networks.landmark_net = net_of(head_face)
    hrn = Hrn.of(head_face, networks).eval()
    crop = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        plain = hrn.coefficients(crop)
        _, places = own_marks(head_face, plain)
        aided = hrn.coefficients(crop, places + 5)
    assert torch.equal(aided.identity, plain.identity) == (width == 0)
