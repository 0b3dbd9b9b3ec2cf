"""HRN's forward pass: one crop -> coarse, mid and high frequency face, maps and renders.

1. The coefficient network looks at the 224 px crop: shape M0, albedo A0, pose, light.
2. The 512 px crop is unwrapped with M0: texture T; the face mask likewise: validity V.
3. The mid network makes a deformation map D of positions P and T: M1 = M0 + D at the vertices.
4. The crop is unwrapped again with M1: T'. The high network makes a displacement map d of P,
   T' and D, which bends the shading normals of M1.
5. The de-retouching network moves spots of the texture into the albedo: A'.

All steps are differentiable and work on batches. `compat` follows the released code and its
quirks to the number, for the released weights (see `unwrap`, `detailnormals`, `maprender`); by
default textures are sampled where they are and only where they are seen, normals are outward
unit vectors, colours stay in [0, 1], and A' is made of T', as the paper's figure has it.

Source
------
Lei et al., A Hierarchical Representation Network for Accurate and Detailed Face Reconstruction
from In-The-Wild Images, CVPR 2023; github.com/youngLBW/HRN.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import InputError
from ..core.rendering.rasterizer import Rasterizer
from ..core.rendering.shading import shaded_map
from .align import MODEL_UNIT_MM
from .coefficients import Coefficients, split
from .detailnormals import (
    NO_FLIP,
    RELEASED_FLIP,
    chart_quads,
    detail_normals,
    outward_sign,
    released_quads,
)
from .facetensors import FaceTensors
from .maprender import draw
from .networks.deretouch import blend_layer
from .networks.hrn import MAP_SCALE, HrnNetworks
from .networks.landmarks import by_landmarks
from .networks.softlight import deretouched_albedo, soft_light
from .pose import HrnCamera, posed, rotated, rotation
from .unwrap import Texels, soft_validity, softened, texels_of, unwrap
from .vectors import unit


@dataclass(frozen=True, kw_only=True)
class HrnOutput:
    """What the forward pass knows of a batch of faces. Model units are 100 mm.

    Maps are (B, C, S, S), row 0 at v = 1, 0 outside of the chart. World frame: the camera's,
    x to the image's right, y up, z to the camera.
    """

    coefficients: Coefficients
    coarse: Tensor
    """(B, V, 3) M0, unposed, model units."""
    mid: Tensor
    """(B, V, 3) M1, unposed, model units."""
    posed_coarse: Tensor
    """(B, V, 3) M0, world frame, model units."""
    posed_mid: Tensor
    """(B, V, 3) M1, world frame, model units."""
    deformation: Tensor
    """(B, 3, d, d) model units, unposed frame; goes on beyond the chart. With `compat` texel
    (r, c) lies at u = c / d, v = 1 - r / d, else at the texels' centres."""
    displacement: Tensor
    """(B, 1, n, n) model units, as the network means it: see `displacement_mm`."""
    outward: float
    """1 where a positive displacement is a bump; -1 for weights trained the other way round."""
    texture: Tensor
    """(B, 3, n, n) T: the photograph, unwrapped with M0."""
    realigned_texture: Tensor
    """(B, 3, n, n) T': with M1."""
    texture_valid: Tensor
    """(B, 1, n, n), 1 where T' shows the face."""
    valid: Tensor
    """(B, 1, n, n) in [0, 1], soft: V, what the maps were multiplied by (the deformation on both
    sides of the chart's edge)."""
    coarse_albedo: Tensor
    """(B, 3, n, n) A0, display-encoded RGB."""
    albedo: Tensor
    """(B, 3, n, n) A'."""
    detail_normals: Tensor
    """(B, 3, n, n) world frame."""
    coarse_image: Tensor
    """(B, 3, s, s) M0 with A0, black where there is no face."""
    mid_image: Tensor
    """(B, 3, s, s) M1 with A'."""
    high_image: Tensor
    """(B, 3, s, s) M1 with A' and the detail's normals."""
    coarse_mask: Tensor
    """(B, 1, s, s), 1 where `coarse_image` shows the face."""
    mask: Tensor
    """(B, 1, s, s), the same of the other two."""

    def deformation_mm(self) -> Tensor:
        """Return (B, d, d, 3) mm, head frame."""
        return self.deformation.permute(0, 2, 3, 1) * MODEL_UNIT_MM

    def displacement_mm(self) -> Tensor:
        """Return (B, n, n) mm along M1's smooth normals, + outward."""
        return self.displacement[:, 0] * (MODEL_UNIT_MM * self.outward)

    def head_normals(self) -> Tensor:
        """Return (B, n, n, 3): `detail_normals` turned back into the head frame."""
        back = rotation(self.coefficients.angles)
        return self.detail_normals.permute(0, 2, 3, 1) @ back[:, None]


class Hrn(nn.Module):
    """The networks of HRN round a face model.

    Parameters
    ----------
    face : FaceTensors
    coefficient_net : (B, 3, 224, 224) RGB in [0, 1] -> (B, n) coefficients
    mid_net : (B, 6, d, d) -> (B, 3, d, d) in -1..1
        Of positions in model units and texture in -1..1.
    high_net : (B, 9, n, n) -> (B, 1, n, n) in -1..1
        Of positions, texture and deformation.
    alpha, beta : (1,) or float
        Gains of the two maps, learnt with them.
    deretoucher : (B, 3, s, s) in -1..1 -> (B, 3, s, s) in 0..1, optional
        Without it A' is A0.
    retouched_input : bool
        The high network sees T' without the spots, as a network trained so needs it; not with
        `compat`.
    deformation_size, displacement_size : int
        d and n, texels a side.
    camera : HrnCamera
        Of the crop that the coefficient network sees.
    landmark_net : LandmarkNet, optional
        Corrects the coefficients by landmarks, where there are any.
    """

    quads: Tensor
    released_quads: Tensor

    def __init__(
        self,
        face: FaceTensors,
        coefficient_net: nn.Module,
        mid_net: nn.Module,
        high_net: nn.Module,
        alpha: Tensor | float,
        beta: Tensor | float,
        deretoucher: nn.Module | None = None,
        *,
        retouched_input: bool = False,
        deformation_size: int = 64,
        displacement_size: int = 256,
        camera: HrnCamera | None = None,
        landmark_net: nn.Module | None = None,
        rasterizer: Rasterizer | None = None,
    ) -> None:
        super().__init__()
        self.face = face
        self.coefficient_net, self.mid_net, self.high_net = coefficient_net, mid_net, high_net
        self.landmark_net = landmark_net
        self.alpha, self.beta = _gain(alpha), _gain(beta)
        self.deretoucher, self.retouched_input = deretoucher, retouched_input
        self.deformation_size, self.displacement_size = deformation_size, displacement_size
        self.camera = camera or HrnCamera()
        self.rasterizer = rasterizer
        own = torch.from_numpy(chart_quads(face.model, displacement_size)).to(face.mean)
        released = torch.from_numpy(released_quads(displacement_size)).to(face.mean)
        self.register_buffer("quads", own, persistent=False)
        self.register_buffer("released_quads", released, persistent=False)

    @classmethod
    def of(
        cls,
        face: FaceTensors,
        networks: HrnNetworks,
        deretoucher: nn.Module | None = None,
        *,
        retouched_input: bool = False,
        rasterizer: Rasterizer | None = None,
    ) -> "Hrn":
        """Put the networks of a checkpoint round a face model."""
        return cls(
            face,
            networks.net_recon,
            networks.mid_net,
            networks.high_net,
            networks.alpha,
            networks.beta,
            deretoucher,
            retouched_input=retouched_input,
            deformation_size=networks.layout.deformation_size,
            displacement_size=networks.layout.displacement_size,
            camera=HrnCamera().resized(networks.layout.image_size),
            landmark_net=networks.landmark_net,
            rasterizer=rasterizer,
        )

    def forward(
        self,
        crop224: Tensor,
        crop512: Tensor,
        mask: Tensor | None = None,
        landmarks: Tensor | None = None,
        *,
        compat: bool = False,
    ) -> HrnOutput:
        """Reconstruct a batch of faces.

        Parameters
        ----------
        crop224, crop512 : (B, 3, 224, 224), (B, 3, S, S) RGB in [0, 1], display-encoded
            The same crop in two sizes (see `align`); the second gives the texture.
        mask : (B, 1, 224, 224) in [0, 1], optional
            The visible skin of the face; by default all of it.
        landmarks : (B, 68, 2), optional
            As for `coefficients`.

        Raises
        ------
        InputError
            The crops do not go together, or the network is another face model's.
        """
        self._check(crop224, crop512, mask)
        return self.refine(self.coefficients(crop224, landmarks), crop512, mask, compat=compat)

    def coefficients(self, crop224: Tensor, landmarks: Tensor | None = None) -> Coefficients:
        """Return the coefficients of a batch of faces.

        Parameters
        ----------
        landmarks : (B, 68, 2), optional
            Px of `crop224`, y up; NaN unknown. Of use to weights with a landmark network alone.
        """
        found = split(self.coefficient_net(crop224), self.face)
        if self.landmark_net is None or landmarks is None:
            return found
        marks = self.face.shape(found.identity, found.expression)[:, self.face.landmarks]
        return by_landmarks(self.landmark_net, found, marks, landmarks, self.camera)

    def refine(
        self,
        found: Coefficients,
        crop512: Tensor,
        mask: Tensor | None = None,
        *,
        compat: bool = False,
    ) -> HrnOutput:
        """Reconstruct from coefficients already known: all but the coefficient network."""
        face, size = self.face, self.displacement_size
        coarse = face.shape(found.identity, found.expression)
        posed_coarse, at_coarse = self.lay(coarse, found)
        texture, seen = unwrap(at_coarse, crop512, self.camera, compat=compat)
        sure = self.validity(at_coarse, seen, mask, compat=compat)
        valid = sure if compat else sure * at_coarse.inside
        positions = face.to_uv(coarse, size)
        deformation = self.deform(positions, texture, sure)
        mid = coarse + face.at_vertices(deformation, compat=compat)
        posed_mid, at_mid = self.lay(mid, found)
        realigned, texture_valid = unwrap(at_mid, crop512, self.camera, compat=compat)
        bare = realigned if compat else self.bare(realigned)
        displacement = self.displace(positions, bare, deformation, valid)
        coarse_albedo = resized(face.albedo(found.albedo), size)
        albedo = self.retouch(coarse_albedo, texture if compat else realigned, compat=compat)
        normals = self.bent_normals(at_mid, displacement, compat=compat)
        images = [
            draw(
                face, points, shaded_map(colours, bent, found.gamma), self.camera,
                rasterizer=self.rasterizer, compat=compat,
            )
            for points, colours, bent in (
                (posed_coarse, coarse_albedo, self.smooth_normals(at_coarse, compat=compat)),
                (posed_mid, albedo, self.smooth_normals(at_mid, compat=compat)),
                (posed_mid, albedo, normals),
            )
        ]  # fmt: skip
        return HrnOutput(
            coefficients=found,
            coarse=coarse,
            mid=mid,
            posed_coarse=posed_coarse,
            posed_mid=posed_mid,
            deformation=deformation,
            displacement=displacement,
            outward=outward_sign(face) if compat else 1.0,
            texture=texture,
            realigned_texture=realigned,
            texture_valid=texture_valid,
            valid=valid,
            coarse_albedo=coarse_albedo,
            albedo=albedo,
            detail_normals=normals,
            coarse_image=images[0].image,
            mid_image=images[1].image,
            high_image=images[2].image,
            coarse_mask=images[0].mask,
            mask=images[1].mask,
        )

    def lay(self, shape: Tensor, found: Coefficients) -> tuple[Tensor, Texels]:
        """Return the posed vertices of an unposed shape, and the chart's texels on them."""
        points = posed(shape, found.angles, found.translation)
        normals = rotated(self.face.vertex_normals(shape), found.angles)
        texels = texels_of(
            self.face, points, normals, self.camera,
            size=self.displacement_size, rasterizer=self.rasterizer,
        )  # fmt: skip
        return points, texels

    def validity(
        self, texels: Texels, seen: Tensor, mask: Tensor | None, *, compat: bool = False
    ) -> Tensor:
        """Return V (B, 1, n, n): where the photograph shows the face, with a soft edge.

        Parameters
        ----------
        texels, seen
            Of M0, and where `unwrap` found the photograph's colours.
        mask : (B, 1, s, s), optional
            The visible face; by default all of it.
        """
        if mask is None:
            given = seen
        else:
            given = unwrap(texels, mask, self.camera, compat=compat)[0]
            given = given if compat else given * seen
        if compat:
            return softened(given, compat=True)
        return soft_validity(given, texels.inside)

    def deform(self, positions: Tensor, texture: Tensor, sure: Tensor) -> Tensor:
        """Return the deformation map (B, 3, d, d) of maps (B, 3 | 3 | 1, n, n): P, T and V."""
        d = self.deformation_size
        given = torch.cat([resized(positions, d), 2 * resized(texture, d) - 1], dim=1)
        return MAP_SCALE * self.alpha * self.mid_net(given) * resized(sure, d)

    def displace(
        self, positions: Tensor, texture: Tensor, deformation: Tensor, valid: Tensor
    ) -> Tensor:
        """Return the displacement map (B, 1, n, n) of P, T', the deformation map and V."""
        wide = resized(deformation, self.displacement_size)
        given = torch.cat([positions, 2 * texture - 1, wide], dim=1)
        return MAP_SCALE * self.beta * self.high_net(given) * valid

    def bare(self, texture: Tensor) -> Tensor:
        """Return T' (B, 3, n, n) as the high network sees it; see `retouched_input`."""
        if self.deretoucher is None or not self.retouched_input:
            return texture
        return soft_light(texture, blend_layer(self.deretoucher, texture))

    def retouch(self, coarse: Tensor, texture: Tensor, *, compat: bool = False) -> Tensor:
        """Return A' (B, 3, n, n): the albedo with the spots of a texture."""
        albedo = coarse
        if self.deretoucher is not None:
            layer = blend_layer(self.deretoucher, texture)
            albedo = deretouched_albedo(coarse, texture, layer)
        return albedo if compat else albedo.clamp(0, 1)

    def smooth_normals(self, texels: Texels, *, compat: bool = False) -> Tensor:
        """Return the normals (B, 3, n, n) that a level without relief is shaded with."""
        return texels.normals if compat else unit(texels.normals, dim=1)

    def bent_normals(self, texels: Texels, displacement: Tensor, *, compat: bool = False) -> Tensor:
        """Return those (B, 3, n, n) of the relief on M1; see `detailnormals`."""
        return detail_normals(
            texels.points,
            texels.normals,
            displacement,
            self.released_quads if compat else self.quads,
            flip=RELEASED_FLIP if compat else NO_FLIP,
            normalised=not compat,
        )

    def _check(self, crop224: Tensor, crop512: Tensor, mask: Tensor | None) -> None:
        size, batch = self.camera.size, len(crop224)
        small, mask_shape = (batch, 3, size, size), (batch, 1, size, size)
        if tuple(crop224.shape) != small:
            raise InputError(f"a crop of shape {tuple(crop224.shape)}, expected {small}")
        if crop512.ndim != 4 or crop512.shape[:2] != small[:2] or len(set(crop512.shape[2:])) != 1:
            raise InputError(
                f"a texture crop of shape {tuple(crop512.shape)}, expected ({batch}, 3, S, S)"
            )
        if mask is not None and tuple(mask.shape) != mask_shape:
            raise InputError(f"a mask of shape {tuple(mask.shape)}, expected {mask_shape}")


def _gain(value: Tensor | float) -> nn.Parameter:
    if isinstance(value, nn.Parameter):
        return value
    return nn.Parameter(torch.as_tensor(value, dtype=torch.float32).reshape(1))


def resized(maps: Tensor, size: int) -> Tensor:
    """Resize (B, C, S, S) bilinearly, as HRN does."""
    if maps.shape[-1] == size:
        return maps
    return functional.interpolate(maps, (size, size), mode="bilinear", align_corners=False)
