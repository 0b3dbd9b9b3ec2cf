"""Plan a rig before it is built: what it will see of faces, how finely and how exactly.

The cameras stand exactly as the layout says. Before them come the face model's mean head and
some people drawn from it, whose noses and ears hide other things; each vertex is looked at from
each camera by rays. Nothing is rendered and nothing is matched: that takes seconds, not minutes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ...capture.virtual.layouts import Layout, load_layout, nominal_rig
from ...core.console import track
from ...core.errors import ConfigError
from ...core.facemodel.load import load_face_model
from ...core.files import write_json
from .heads import Exposed, Lenses, plan_head
from .light import Sensor
from .picture import draw_plan
from .planned import PlanConfig, RigPlan
from .regionplan import region_plans
from .regions import region_of_vertices
from .remarks import remarks_on

PLAN_FILE, PICTURE_FILE = "plan.json", "plan.png"
_FORMAT, _VERSION = "facekit-rig-plan", 1
_MEGAPIXELS = (0.05, 60.0)
_LIGHT = {
    "reflectance": (0.01, 1.0), "exposure": (0.01, 4.0), "read_noise": (0.0, 0.1),
    "shot_noise": (0.0, 0.1),
}  # fmt: skip


def run_plan(config: PlanConfig, out: Path | None) -> dict[str, Any]:
    """Plan a rig; with `out`, leave `plan.json` and the picture `plan.png` there.

    Returns
    -------
    dict
        JSON-able: `regions` (each with `seen_by_two`, `gsd_mm`, `sigma_mm`, ... of `RegionPlan`),
        `face`, their means over the parts that no scan can do without, `warnings`, and with
        `out` the `picture`.

    Raises
    ------
    ConfigError
        Unusable settings, or no such layout.
    ModelFileError
        The face model cannot be read.
    """
    plan = plan_rig(config)
    record = plan.record()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        draw_plan(out / PICTURE_FILE, plan)
        record["picture"] = PICTURE_FILE
        write_json(out / PLAN_FILE, {"format": _FORMAT, "version": _VERSION, **record})
    return record


def plan_rig(config: PlanConfig) -> RigPlan:
    """Foretell what the rig of a layout makes of the mean head and of some people."""
    _check(config)
    layout = load_layout(config.layout)
    model = load_face_model(config.head)
    rig = nominal_rig(layout, megapixels=config.megapixels)
    rng = np.random.default_rng(config.seed)
    shapes = [
        model.shape(),
        *(model.shape(model.sample_identity(rng)) for _ in range(config.people)),
    ]
    lenses = lenses_of(layout, config.aperture)
    skin = Exposed(
        reflectance=config.skin_reflectance, exposure=config.exposure,
        sensor=Sensor(read=config.read_noise, shot=config.shot_noise),
    )  # fmt: skip
    heads = [
        plan_head(rig, lenses, skin, model, shape) for shape in track(shapes, "looking at heads")
    ]
    owner = region_of_vertices(model)
    regions = region_plans(heads, owner)
    return RigPlan(
        config=config, rig=rig, mean=heads[0], regions=regions,
        remarks=remarks_on(regions, rig, heads[0], owner),
    )  # fmt: skip


def lenses_of(layout: Layout, aperture: float) -> Lenses:
    """Return the lenses of a layout; an aperture of 0 is one that leaves everything sharp."""
    return Lenses(
        focal_mm=tuple(place.focal_mm for place in layout.cameras),
        sensor_width_mm=layout.sensor_width_mm,
        aperture=aperture or None,
    )


def _check(config: PlanConfig) -> None:
    low, high = _MEGAPIXELS
    if not low <= config.megapixels <= high:
        raise ConfigError(
            f"rig plan: megapixels is {config.megapixels:g}; give {low:g} to {high:g}"
        )
    if not 0 <= config.people <= 100:
        raise ConfigError(f"rig plan: people is {config.people}; give 0 to 100")
    if config.aperture != 0 and not 0.5 <= config.aperture <= 128:
        raise ConfigError(
            f"rig plan: aperture f/{config.aperture:g}; lenses have f/0.5 to f/128, and 0 stands "
            "for everything sharp"
        )
    for name, (low, high) in _LIGHT.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"rig plan: {name} is {value:g}; give {low:g} to {high:g}")
