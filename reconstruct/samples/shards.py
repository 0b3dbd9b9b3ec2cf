"""Photographs of a `facekit-hdf5` dataset as samples, with its ground truth.

Each photograph that stereo used and that shows the face from before is a sample. Lenses are
straightened: a stored crop is one of an ideal camera.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Bools, Bytes, Floats, Floats32
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera, undistort
from ...core.geometry.transform import apply, compose, invert
from ...core.imaging.resample import scale_image, undistorted_strips
from ...dataset.audit import open_shard
from ...dataset.manifest import SubjectEntry, read_manifest
from ...dataset.samples import FaceDataset, Verify
from ...dataset.shardcheck import CaptureFigures
from ...dataset.topologyfile import topology_of
from ..align import five_points
from ..facetensors import reference_points
from .outline import outline
from .sample import DISPLACEMENT_SIZE, Sample, Truth
from .storedcrop import stored_crop

_TRUTH = (
    "cameras/K", "cameras/RT", "cameras/dist", "cameras/size", "cameras/id", "mesh/vertices",
    "mesh/support", "mesh/identity", "mesh/expression", "mesh/pose", "maps/displacement",
    "maps/valid",
)  # fmt: skip
_PLACES = ("cameras/id", "cameras/valid", "cameras/RT", "mesh/pose")
_N_BROWN = 5  # of the eight coefficients of a lens those that facekit's cameras have
_LEAST_VALID = 0.75  # of a texel's area that is known


@dataclass(frozen=True, kw_only=True)
class _View:
    """A photograph of the dataset."""

    capture: int
    """Row of the captures."""
    camera: str
    person: str


@dataclass
class _Reader:
    """Single fields of captures; of those that have them."""

    root: Path
    split: str | None
    captures: list[tuple[SubjectEntry, CaptureFigures]]
    data: dict[str, tuple[FaceDataset, NDArray[Any]]] = field(default_factory=dict)

    def read(self, key: str, capture: int) -> NDArray[Any] | None:
        """Return a field of a capture; None where it has none."""
        group, _, name = key.partition("/")
        if key not in self.data:
            listed = {"images": "views", "masks": "masks"}.get(group)
            has = [
                (name in getattr(c, listed)) if listed else (key in c.fields)
                for _, c in self.captures
            ]
            rows = np.where(has, np.cumsum(has) - 1, -1)
            found = FaceDataset(
                self.root, keys=(key,), split=self.split, verify=Verify.OFF, skip_incomplete=True
            )
            self.data[key] = found, rows
        dataset, rows = self.data[key]
        return None if rows[capture] < 0 else np.asarray(dataset[int(rows[capture])][key])


class ShardSource:
    """Photographs of a dataset, as samples with truth.

    Parameters
    ----------
    root : path
        Folder with `dataset.json`.
    model : FaceModel
        That is trained; the dataset has to be registered with it.
    split : str, optional
        `train`, `val` or `test`; all by default.
    size : int
        Pixels a side of the stored crops.
    most_yaw_deg : float
        Photographs that see the face more from the side are left out.
    verify : Verify or str
        When a shard is held against its seal, see `FaceDataset`.

    Raises
    ------
    InputError
        The dataset cannot be read, is of another face model, or has no such photograph.
    """

    def __init__(
        self, root: Path | str, model: FaceModel, *, split: str | None = None, size: int = 384,
        most_yaw_deg: float = 75.0, verify: Verify | str = Verify.FIRST,
    ) -> None:  # fmt: skip
        self.root, self.model, self.size = Path(root), model, size
        self._reference = reference_points(model)
        self._truth = FaceDataset(self.root, keys=_TRUTH, split=split, verify=verify)
        subjects = [s for s in read_manifest(self.root).subjects if split in (None, s.split)]
        for subject in subjects:
            _check_topology(self.root / subject.path, model)
        self._reader = _Reader(
            root=self.root, split=split,
            captures=[(s, capture) for s in subjects for capture in s.captures],
        )  # fmt: skip
        self._views = self._seen_from_before(split, most_yaw_deg)
        if not self._views:
            raise InputError(f"{self.root}: no photograph shows a face from before ({split=})")
        self._last: tuple[int, dict[str, Any], Truth] | None = None

    @property
    def people(self) -> list[str]:
        """Of whom each sample is."""
        return [view.person for view in self._views]

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> Sample:
        """Cut one photograph.

        Raises
        ------
        InputError
            Its shard is damaged, or its lens is one that cannot be straightened.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        view = self._views[index]
        fields, truth = self._capture(view.capture)
        row = fields["cameras/id"].index(view.camera)
        camera = self._camera(fields, row, where=f"{self.root}: {view.person}/{view.camera}")
        photograph = self._reader.read(f"images/{view.camera}", view.capture)
        mask = self._reader.read(f"masks/{view.camera}", view.capture)
        assert photograph is not None
        image_camera = camera.scaled(photograph.shape[1], photograph.shape[0])
        cam_from_head = compose(camera.cam_from_world, fields["mesh/pose"])
        landmarks = self._landmarks(view.capture, row, camera, truth, cam_from_head)
        landmarks = landmarks * (image_camera.width / camera.width)
        crop = stored_crop(landmarks, size=self.size, reference5=self._reference)
        K = crop.K_of(image_camera.K)
        if mask is None:
            mask = np.ones(photograph.shape[:2], bool)
            own = outline(_projected(truth.vertices, K, cam_from_head), self.model.faces, self.size)
        else:
            own = np.full((self.size, self.size), 255, np.uint8)
        shown = crop.cut(_straightened(mask.astype(np.float32), image_camera))[..., 0] > 127
        return Sample(
            image=crop.cut(_straightened(photograph, image_camera)),
            mask=np.where(shown, own, 0).astype(np.uint8),
            landmarks=crop.points(landmarks).astype(np.float32),
            person=view.person,
            truth=Truth(**{**vars(truth), "K": K, "cam_from_head": cam_from_head}),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def _seen_from_before(self, split: str | None, most_yaw_deg: float) -> list[_View]:
        """Return the photographs to be used, in the dataset's order."""
        views = []
        places = FaceDataset(self.root, keys=_PLACES, split=split, verify=Verify.OFF)
        for i, (subject, capture) in enumerate(self._reader.captures):
            fields = places[i]
            ahead = fields["mesh/pose"][:, 2]  # +z of the head, out of the face
            middle = fields["mesh/pose"][:, 3]
            for row, name in enumerate(fields["cameras/id"]):
                if name not in capture.views or not fields["cameras/valid"][row]:
                    continue
                RT = fields["cameras/RT"][row]
                away = -RT[:, :3].T @ RT[:, 3] - middle
                cosine = float(away @ ahead) / max(float(np.linalg.norm(away)), 1e-9)
                if cosine > np.cos(np.radians(most_yaw_deg)):
                    views.append(_View(capture=i, camera=name, person=subject.id))
        places.close()
        return views

    def _capture(self, capture: int) -> tuple[dict[str, Any], Truth]:
        """Return the fields of a capture and its truth but for the camera; the last is kept."""
        if self._last is None or self._last[0] != capture:
            fields = self._truth[capture]
            self._last = (capture, fields, self._truth_of(fields))
        return self._last[1:]

    def _truth_of(self, fields: dict[str, Any]) -> Truth:
        for name, n in (
            ("identity", self.model.n_identity),
            ("expression", self.model.n_expression),
        ):
            if len(fields[f"mesh/{name}"]) != n:
                raise InputError(
                    f"{self.root}: {len(fields[f'mesh/{name}'])} coefficients of {name}, but the "
                    f"face model {self.model.name} has {n}; export the dataset anew with this one"
                )
        displacement, valid = resized_relief(
            fields["maps/displacement"], fields["maps/valid"], DISPLACEMENT_SIZE
        )
        in_head = apply(invert(fields["mesh/pose"]), fields["mesh/vertices"].astype(np.float64))
        return Truth(
            vertices=in_head.astype(np.float32),
            support=fields["mesh/support"].astype(np.float32),
            identity=fields["mesh/identity"].astype(np.float32),
            expression=fields["mesh/expression"].astype(np.float32),
            K=np.eye(3),
            cam_from_head=np.eye(3, 4),
            displacement=displacement,
            displacement_valid=valid,
        )

    def _camera(self, fields: dict[str, Any], row: int, *, where: str) -> Camera:
        distortion = fields["cameras/dist"][row]
        if np.any(distortion[_N_BROWN:]):
            raise InputError(
                f"{where}: its lens has the coefficients k4 to k6, which facekit cannot "
                "straighten; export the dataset with undistorted photographs"
            )
        width, height = (int(n) for n in fields["cameras/size"][row])
        return Camera(
            name=fields["cameras/id"][row], width=width, height=height,
            K=fields["cameras/K"][row], cam_from_world=fields["cameras/RT"][row],
            distortion=distortion[:_N_BROWN].astype(np.float64),
        )  # fmt: skip

    def _landmarks(
        self, capture: int, row: int, camera: Camera, truth: Truth, cam_from_head: Floats
    ) -> Floats:
        """Return (68, 2) px of the straightened photograph: as found, else where they are."""
        exact = _projected(truth.vertices[self.model.landmarks68], camera.K, cam_from_head)
        given = self._reader.read("landmarks/pixels", capture)
        if given is None:
            return exact
        found = np.asarray(given[row], np.float64)
        if camera.is_distorted:
            ideal = undistort(camera.normalise(found), camera.distortion)
            found = ideal @ camera.K[:2, :2].T + camera.K[:2, 2]
        return found if np.isfinite(five_points(found)).all() else exact


def resized_relief(displacement: Floats32, valid: Bools, size: int) -> tuple[Floats32, Bools]:
    """Return a displacement map (n, n), mm, and its valid texels in `size` a side.

    A texel has the mean of what is known of its area, and is valid where that is most of it.
    """
    if displacement.shape == (size, size):
        return np.where(valid, displacement, 0).astype(np.float32), valid
    known = valid.astype(np.float32)
    both = np.stack([np.where(valid, displacement, 0).astype(np.float32), known], axis=-1)
    summed, share = np.moveaxis(scale_image(both, size, size), -1, 0)
    sound = share >= _LEAST_VALID
    return np.where(sound, summed / np.maximum(share, 1e-6), 0).astype(np.float32), sound


def _projected(points: Floats32, K: Floats, cam_from_head: Floats) -> Floats:
    """Return px (N, 2) of points (N, 3) before an ideal camera."""
    x, y, w = K @ apply(cam_from_head, points.astype(np.float64)).T
    return np.column_stack([x / w, y / w])


def _straightened(image: Bytes | Floats32, camera: Camera) -> Bytes | Floats32:
    """Return an image as `camera.undistorted()` takes it."""
    if not camera.is_distorted:
        return image
    out = np.zeros((camera.height, camera.width, *image.shape[2:]), np.float32)
    for rows, pixels in undistorted_strips(image, camera):
        out[rows] = pixels
    return np.clip(out, 0, 1)


def _check_topology(path: Path, model: FaceModel) -> None:
    """Refuse a shard of another face model than the one that is trained."""
    wanted = topology_of(model).attributes()
    with open_shard(path) as file:
        found = dict(file["topology"].attrs) if "topology" in file else {}
    for name, what in (("topology_sha256", "triangles"), ("uv_sha256", "chart")):
        if found.get(name) != wanted[name]:
            raise InputError(
                f"{path}: its faces are of the model {str(found.get('model'))[:40]!r}, whose "
                f"{what} are not those of {model.name!r}, which is trained; train that model "
                "instead, or register and export the captures with this one"
            )
