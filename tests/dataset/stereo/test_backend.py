"""One seam chooses numba or torch; a build takes either."""

import functools

import numpy as np
import pytest

from facekit.core.config import with_overrides
from facekit.core.devices import Device
from facekit.core.errors import ConfigError, EstimationError, MissingDependencyError
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.meshio import load_mesh
from facekit.dataset import build as build_module
from facekit.dataset import take as take_module
from facekit.dataset.build import BuildConfig, build_dataset
from facekit.dataset.stereo import patchmatch, sweep
from facekit.dataset.stereo.backend import Backend, backend_of
from facekit.dataset.stereo.sweep import SweepConfig

TINY = BuildConfig(megapixels=1.0, start_megapixels=0.005)  # 72 x 80 px, then 144 x 160


@pytest.fixture
def torch_for_cuda(monkeypatch):
    """Make builds for CUDA run torch on the processor."""
    import torch

    from facekit.dataset.stereo import torch_patchmatch, torch_sweep

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    loops = Backend(
        match_view=functools.partial(torch_patchmatch.match_view, device="cpu"),
        sweep_surface=functools.partial(torch_sweep.sweep_surface, device="cpu"),
    )
    asked = []
    monkeypatch.setattr(take_module, "backend_of", lambda device: asked.append(device) or loops)
    monkeypatch.setattr(build_module, "chosen_device", lambda _: Device.CUDA)
    yield asked
    torch.set_num_threads(before)


def test_the_processor_has_the_compiled_loops():
    loops = backend_of(Device.CPU)
    assert loops.match_view is patchmatch.match_view
    assert loops.sweep_surface is sweep.sweep_surface


def test_cuda_has_those_of_torch(monkeypatch):
    from facekit.dataset.stereo import torch_patchmatch, torch_sweep

    def echo(*given, **named):
        return given, named

    monkeypatch.setattr(torch_patchmatch, "match_view", echo)
    monkeypatch.setattr(torch_sweep, "sweep_surface", echo)
    loops = backend_of(Device.CUDA)
    for loop in (loops.match_view, loops.sweep_surface):
        assert loop(1, 2, seed=3) == ((1, 2), {"seed": 3, "device": "cuda"})


def test_a_full_gpu_is_said_in_a_sentence(monkeypatch):
    import torch

    from facekit.dataset.stereo import torch_sweep

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nGPU 0 ...")

    monkeypatch.setattr(torch_sweep, "sweep_surface", full)
    with pytest.raises(EstimationError, match="the GPU's memory ran out; choose device cpu"):
        backend_of(Device.CUDA).sweep_surface(None, [], SweepConfig())


def test_device_is_a_setting():
    assert BuildConfig().device is Device.AUTO
    assert with_overrides(BuildConfig(), ["device=cuda"]).device is Device.CUDA
    with pytest.raises(ConfigError, match="expected one of auto, cpu, cuda"):
        with_overrides(BuildConfig(), ["device=gpu"])


def test_missing_cuda_is_said_before_any_work(ball, tmp_path, monkeypatch):
    def no_cuda(_):
        raise MissingDependencyError("device cuda: none")

    monkeypatch.setattr(build_module, "chosen_device", no_cuda)
    session = ball.session(tmp_path / "session")
    with pytest.raises(MissingDependencyError, match="device cuda"):
        build_dataset(session, ball.rig, tmp_path / "build", TINY)
    assert not (tmp_path / "build").exists()


def test_a_build_in_torch_gives_the_same_surface(ball, tmp_path, torch_for_cuda):
    """And what one began the other goes on with: the device is no part of the key."""
    session = ball.session(tmp_path / "session")
    figures = build_dataset(session, ball.rig, tmp_path / "torch", TINY)["takes"]["smile"]
    assert set(torch_for_cuda) == {Device.CUDA}
    mesh = load_mesh(tmp_path / "torch/smile/mesh.ply")
    error = np.linalg.norm(mesh.vertices, axis=1) - ball.radius
    facing = mesh.vertices[:, 2] > 0.6 * ball.radius
    assert np.median(np.abs(error[facing])) < 0.2 * ball.footprint
    made = (tmp_path / "torch/smile/mesh.ply").stat().st_mtime_ns
    torch_for_cuda.clear()
    again = build_dataset(
        session, ball.rig, tmp_path / "torch", with_overrides(TINY, ["device=cpu"])
    )
    assert (tmp_path / "torch/smile/mesh.ply").stat().st_mtime_ns == made
    assert torch_for_cuda == []
    assert again["takes"]["smile"]["vertices"] == figures["vertices"]


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_a_build_on_cuda_gives_the_surface_of_the_processor(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    meshes = []
    for name in ("cpu", "cuda"):
        config = with_overrides(TINY, [f"device={name}"])
        build_dataset(session, ball.rig, tmp_path / name, config)
        meshes.append(load_mesh(tmp_path / name / "smile/mesh.ply"))
    query = SurfaceQuery(meshes[0].vertices, meshes[0].faces)
    far = query.closest(meshes[1].vertices).distance / ball.footprint
    assert np.median(far) < 0.03
    assert np.percentile(far, 95) < 0.3
