"""`DATASHEET.md`: what a dataset is, how it was made and what it cannot tell, from its figures.

Source
------
The questions follow Gebru et al., Datasheets for Datasets, Communications of the ACM 64(12),
2021.
"""

import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...core.wording import listed
from ..schema import FIELDS, VERSION, Field


def datasheet(name: str, record: Mapping[str, Any], splits: Mapping[str, str]) -> str:
    """Return the datasheet as Markdown.

    Parameters
    ----------
    record : mapping
        `export.json`: subjects, captures, figures.
    splits : mapping
        Subject -> split.
    """
    subjects: Mapping[str, Any] = record["subjects"]
    captures = [c for subject in subjects.values() for c in subject["captures"].values()]
    parts = [
        f"# Datasheet of {name}\n",
        _motivation(record),
        _composition(subjects, captures, splits),
        _quality(captures),
        _making(subjects),
        _fields(),
        _limits(subjects, captures),
        _terms(record, subjects),
    ]
    return "\n".join(parts)


def _motivation(record: Mapping[str, Any]) -> str:
    return (
        "## What it is for\n\n"
        "Faces scanned by calibrated cameras, registered to one topology, with the maps that "
        "networks for face reconstruction are trained on: deformation, displacement, normals, "
        "albedo, each with what is valid and how uncertain it is. Exported for the purpose "
        f"*{record['purpose']}*.\n"
    )


def _composition(
    subjects: Mapping[str, Any], captures: list[dict[str, Any]], splits: Mapping[str, str]
) -> str:
    in_split = Counter(splits.values())
    expressions = Counter(capture["expression"] for capture in captures)
    models = Counter(subject["model"] for subject in subjects.values())
    rows = [
        ("subjects", len(subjects)),
        *((f"… in {split}", n) for split, n in sorted(in_split.items())),
        ("captures", len(captures)),
        ("photographs", sum(capture["images"] for capture in captures)),
        ("expressions", _counted(expressions)),
        ("face models", _counted(models)),
        ("deformation map", _texels(captures, "deformation_texels")),
        ("displacement map", _texels(captures, "displacement_texels")),
        ("albedo map", _texels(captures, "albedo_texels")),
    ]
    return (
        "## What is in it\n\n"
        + _table(("", ""), rows)
        + "\nA capture is one exposure of all cameras. Splits are of subjects: nobody is in two. "
        "Attributes of persons (age, sex, origin) are not part of it.\n"
    )


def _quality(captures: list[dict[str, Any]]) -> str:
    asked = (
        ("deformation rests on the scan, % of the chart", "deformation_percent"),
        ("displacement rests on the scan, % of the chart", "displacement_percent"),
        ("albedo seen and on the scan, % of the chart", "albedo_percent"),
        ("deformation, median length, mm", "deformation_median_mm"),
        ("displacement, rms, mm", "displacement_rms_mm"),
        ("standard deviation, median, mm", "sigma_median_mm"),
        ("standard deviation, 95 % below, mm", "sigma_p95_mm"),
        ("scan to registered mesh, median, mm", "residual_median_mm"),
        ("scan to registered mesh, 95 % below, mm", "residual_p95_mm"),
    )
    rows = []
    for label, key in asked:
        values = [capture[key] for capture in captures if capture[key] is not None]
        if values:
            rows.append((label, *(f"{v:.4g}" for v in _spread(values))))
        else:
            rows.append((label, "none", "", ""))
    return (
        "## How complete and how exact\n\n"
        "Over captures: of each, one figure.\n\n"
        + _table(("figure", "least", "median", "most"), rows)
        + "\nThe standard deviation is what stereo and registration estimate of themselves, along "
        "the normal; it does not know of an error that all cameras share, such as the scale of "
        "the rig.\n"
    )


def _making(subjects: Mapping[str, Any]) -> str:
    failed = sum(len(subject["failed"]) for subject in subjects.values())
    return (
        "## How it was made\n\n"
        "1. Cameras are calibrated together (`cameras/`; `reproj_rms_px` of each).\n"
        "2. Stereo over all photographs of a capture gives a dense surface with an uncertainty "
        "at each vertex.\n"
        "3. A morphable face model is fitted (M0: identity shared by the captures of a subject, "
        "expression of its own), then bent to the surface (M1).\n"
        "4. What M1 adds to M0 is the deformation map; what the surface adds to M1 along its "
        "normal is the displacement map; colours of the photographs make the albedo.\n\n"
        "Each capture's `stages_json` holds version, settings, a hash of the inputs, seconds and "
        "figures of every step. Photographs inside are small copies without metadata; the "
        "originals are known by their SHA-256."
        + (f" Captures that could not be exported: {failed}." if failed else "")
        + "\n"
    )


def _fields() -> str:
    rows = [(f"`{f.path}`", _shape(f), f.dtype.strip("<|"), f.unit, f.meaning) for f in FIELDS]
    return (
        f"## Fields (facekit-hdf5 {VERSION})\n\n"
        "Lengths in millimetres. Head frame: +x to the subject's left, +y up, +z out of the face. "
        "Cameras: x right, y down, z forward; the centre of the top-left pixel is (0.5, 0.5). "
        "Row 0 of a map is v = 1, the centre of texel (row r, column c) of an n x n map is at "
        "u = (c + 0.5) / n, v = 1 - (r + 0.5) / n.\n\n"
        + _table(("field", "shape", "type", "unit", "meaning"), rows)
    )


def _limits(subjects: Mapping[str, Any], captures: list[dict[str, Any]]) -> str:
    unscaled = sum(not capture["metric"] for capture in captures)
    lines = [
        "Eyes, the inside of the mouth, hair and beards are not measured surface there: heed "
        "`valid` and `support`.",
        "Displacement reaches 3.27 mm either way; what is beyond is marked as not valid. Its "
        "attribute `base` says whether it stands on the curved surface through M1's vertices "
        "(`curved`) or on M1's triangles (`flat`).",
        "Correspondence between subjects comes from the face model and from regularised bending; "
        "in plain areas such as cheeks and forehead it slides along the surface.",
        "Albedo has the light of the photographs divided out as far as nine harmonics tell it, "
        "if its stage says so; cast shadows, gloss and creases are left in it in part. It is "
        "calibrated only where its attribute says so.",
    ]
    if unscaled:
        lines.append(
            f"{unscaled} of {len(captures)} captures come from a rig without known scale: their "
            "millimetres are those of the fitted face model (`stages_json`: `metric`)."
        )
    without = sum(not subject["consent"] for subject in subjects.values())
    if without:
        lines.append(
            f"No consent record stands behind {without} of {len(subjects)} subjects; their "
            "pseudonyms are drawn for each session, so that one person in two sessions counts "
            "as two."
        )
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)


def _terms(record: Mapping[str, Any], subjects: Mapping[str, Any]) -> str:
    agreed = sum(subject["consent"] for subject in subjects.values())
    return (
        "## Terms and care\n\n"
        f"Licence: {record['licence']}\n\n"
        f"Consent records that cover *{record['purpose']}*: {agreed} of {len(subjects)} subjects. "
        "A face identifies a person even without a name: these are personal data. Keep access "
        "narrow, do not try to find out who is who, and delete a subject's shard when consent is "
        "withdrawn.\n\n"
        "`facekit verify --read-data` checks every byte.\n"
    )


def _spread(values: list[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def _texels(captures: list[dict[str, Any]], key: str) -> str:
    sizes = sorted({capture[key] for capture in captures})
    return ", ".join(f"{n} x {n}" if n else "none" for n in sizes)


def _counted(counts: Mapping[str, int]) -> str:
    return listed([f"{name} ({n})" for name, n in sorted(counts.items())], most=30)


def _shape(entry: Field) -> str:
    return " × ".join(str(n) for n in entry.shape)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
