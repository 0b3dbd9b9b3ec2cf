"""Photographs in the wrong place are named along with the right one."""

from dataclasses import replace

import pytest

from facekit.calibration.solve.exchange import Misplaced, describe_misplaced, foreign_cameras
from facekit.calibration.solve.rig import estimate_rig
from facekit.core.errors import CalibrationError


def solve(made, views):
    return estimate_rig(made.cameras, views, made.spec)


def replaced(made, by_name):
    return [by_name.get(view.name, view) for view in made.views]


def crossed(made, takes, a="C01", b="C02"):
    other = {a: b, b: a}
    return [
        replace(v, camera=other.get(v.camera, v.camera)) if v.take in takes else v
        for v in made.views
    ]


def seen_by_both(made, a="C01", b="C02"):
    names = {view.name for view in made.views}
    takes = sorted({view.take for view in made.views})
    return [take for take in takes if {f"{take}/{a}", f"{take}/{b}"} <= names]


def test_two_takes_of_one_camera(capture):
    made = capture(5, 16)
    own = [view for view in made.views if view.camera == "C02"]
    a, b = own[2], own[7]
    views = replaced(made, {a.name: replace(b, take=a.take), b.name: replace(a, take=b.take)})
    found = solve(made, views)
    assert describe_misplaced(found.misplaced) == [f"{a.name} and {b.name} look exchanged"]


def test_two_cameras_of_one_take(capture):
    made = capture(5, 16)
    take = seen_by_both(made)[3]
    found = solve(made, crossed(made, {take}))
    assert describe_misplaced(found.misplaced) == [f"{take}/C01 and {take}/C02 look exchanged"]


def test_two_cameras_of_many_takes_are_told_once(capture):
    made = capture(5, 16)
    takes = seen_by_both(made)[:3]
    found = solve(made, crossed(made, takes))
    (said,) = describe_misplaced(found.misplaced)
    assert said == f"C01 and C02 look exchanged in takes {', '.join(takes)}"


def test_a_copy_of_another_take(capture):
    made = capture(5, 16)
    own = [view for view in made.views if view.camera == "C02"]
    a, b = own[2], own[7]
    found = solve(made, replaced(made, {a.name: replace(b, take=a.take)}))
    (said,) = describe_misplaced(found.misplaced)
    assert said == f"{a.name} looks like the photograph of {b.name}"


def test_a_bumped_board_fits_nowhere_else(capture):
    made = capture(5, 16)
    view = made.views[11]
    found = solve(made, replaced(made, {view.name: replace(view, xy=view.xy + (3.0, 0.0))}))
    assert len(found.rejected) == 1
    assert found.misplaced == ()


def test_a_camera_with_mostly_foreign_photographs_is_an_error():
    def moved(take, camera, to):
        return Misplaced(view=(take, camera), place=(take, to), median_px=0.1)

    misplaced = [moved(f"t{n}", "A", "B") for n in range(5)] + [moved("t0", "B", "A")]
    assert foreign_cameras(misplaced, {"A": 8, "B": 8}) == {"A": "B"}
    assert foreign_cameras(misplaced, {"A": 12, "B": 8}) == {}


@pytest.mark.parametrize("by", [1, 3])
def test_a_camera_filed_under_other_takes_is_told(capture, by):
    """A frame is missing at the start of its card: all that follow stand one take early."""
    made = capture(5, 16)
    own = [view for view in made.views if view.camera == "C02"]
    takes = [view.take for view in own]
    late = {
        view.name: replace(view, take=take)
        for view, take in zip(own, takes[by:] + takes[:by], strict=True)
    }
    words = rf"photographs of C02 fit .* other takes \({takes[by]} is {takes[0]}, "
    with pytest.raises(CalibrationError, match=words):
        solve(made, replaced(made, late))


def test_two_cameras_crossed_in_half_of_the_takes(capture):
    """Labels of the halves contradict each other, whichever is right."""
    made = capture(5, 16)
    takes = seen_by_both(made)[::2]
    try:
        found = solve(made, crossed(made, takes))
    except CalibrationError as error:
        assert "C01 and C02 hold each other's photographs" in str(error)
    else:
        assert any("C01 and C02 look exchanged" in s for s in describe_misplaced(found.misplaced))
