"""`docs/scale.md`: what the scale benchmark measured, what was assumed, and the plans."""

from collections.abc import Mapping, Sequence
from typing import Any

from .fullsize import (
    CORES,
    EFFICIENCY,
    GPU_MESH_SPEED,
    LOST,
    PER_SESSION,
    SIX,
    SPREAD,
    STORAGE,
    TWENTY_FOUR,
    Capture,
    Figure,
)
from .plans import GPU_SPEEDS, STORAGES_GB_S

_HEAD = """# Many captures on many machines

    facekit bench scale --page docs/scale.md

wrote this page. [cluster.md](cluster.md) tells how to run on many machines. The first part was
measured on small takes of the virtual studio, the last is simulated from the figures between.
"""


def page(result: Mapping[str, Any]) -> str:
    """Return the page of what `scale.bench_scale` found."""
    return "\n".join([
        _HEAD,
        *_measured(result),
        *_figures(),
        *_plans(result["plans"]),
    ])  # fmt: skip


def _measured(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for workers, found in result["workers"].items():
        rows.append([
            workers,
            str(found["takes"]),
            f"{found['takes_per_min']:.0f}",
            f"{found['cpu_s_per_take']:.2f}",
            f"{1000 * found['coordinator_s_per_take']:.0f}",
            _growth(found),
            f"{1000 * found['found_again_s']:.0f} / {1000 * found['found_again_cpu_s']:.0f}",
        ])  # fmt: skip
    differ = result["meshes_differ"]
    return [
        f"## Measured: a data set that grows to {result['takes']} small takes",
        "",
        f"{result['cores']} cores that others used, too (mean load {result['load']:.1f}). A take "
        f"is photographed by {_CAMERAS.get(result['layout'], result['layout'])} at "
        f"{result['megapixels']:g} megapixels, the least that stereo accepts, and built as any "
        "take is: by the same stages, records and engine. The session grows in equal steps, each "
        "built by a run of its own.",
        "",
        *_table(
            ["workers", "takes", "takes a minute", "CPU-s an added take, all processes",
             "of that the coordinator, ms", "growth of the CPU-s a take from none to all takes",
             "a finished take looked at again, ms / CPU-ms"],
            rows,
        ),
        "",
        "Each run looks at the finished takes, too; what that costs at the full size (last column) "
        "is taken off the cost of the added ones. "
        f"More workers give {result['speedup']:.2f} times the takes a minute, by the clock. "
        f"{'No mesh differs' if not differ else f'{differ} meshes differ'} by a byte between the "
        "numbers of workers. Growth is that of a line through the steps, with its standard error."
        + _cause(result),
        "",
    ]  # fmt: skip


_CAMERAS = {"pair": "two cameras", "five": "five cameras", "nine": "nine cameras"}


def _cause(result: Mapping[str, Any]) -> str:
    """Say what grows, where more than the error of its measurement does."""
    for found in result["workers"].values():
        error = found["growth_se_percent"]
        if error is not None and found["growth_percent"] > error:
            return (
                " What grows is the hashing of `session.json` in each job; sessions of one person "
                f"have some {PER_SESSION} takes, and full-size takes cost hundreds of times more."
            )
    return ""


def _growth(found: Mapping[str, Any]) -> str:
    error = found["growth_se_percent"]
    if error is None:
        return "–"  # two steps tell nothing
    milliseconds = found["growth_ms_per_100"]
    return f"{found['growth_percent']:+.0f} ± {error:.0f} % ({milliseconds:+.0f} ms per 100 takes)"


def _figures() -> list[str]:
    lines = [
        "## What plans start from",
        "",
        "Measured figures are those of [accuracy.md](accuracy.md), in CPU seconds of 2 GHz cores.",
        "",
    ]
    for capture in (SIX, TWENTY_FOUR):
        lines += [f"{capture.name}:", "", *_table(_COLUMNS, _capture_rows(capture)), ""]
    rest = {
        "cores": CORES, "their use": EFFICIENCY, "GPU": GPU_MESH_SPEED, "spread": SPREAD,
        "storage": STORAGE, "losses": LOST,
    }  # fmt: skip
    return [
        *lines,
        "Machines:",
        "",
        *_table(_COLUMNS, [_row(name, figure) for name, figure in rest.items()]),
        "",
    ]


_COLUMNS = ["", "", "", "basis", "which"]


def _capture_rows(capture: Capture) -> list[list[str]]:
    costs = {**capture.mesh, **capture.registration, **capture.maps}
    rows = [_row(name, figure) for name, figure in costs.items()]
    files = [_row(f"files of {name}", figure) for name, figure in capture.gigabytes.items()]
    return [*rows, *files]


def _row(name: str, figure: Figure) -> list[str]:
    return [name, f"{figure.value:g}", figure.unit, f"**{figure.basis}**", figure.where]


def _plans(plans: Sequence[Mapping[str, Any]]) -> list[str]:
    captures = plans[0]["captures"]
    lines = [
        f"## Plans: {captures:,} captures",
        "",
        f"Simulated event by event (`benchmarks/perf/simulation.py`): a mesh for each take, "
        f"registration of all {PER_SESSION} takes of a person when the last mesh is there, maps of "
        "each. With GPUs every second worker has one, and they alone make meshes. Hours, and what "
        "they are limited by:",
        "",
    ]
    for name in dict.fromkeys(row["capture"] for row in plans):
        mine = [row for row in plans if row["capture"] == name]
        columns = [("CPU alone", None), *((f"GPU × {speed:g}", speed) for speed in GPU_SPEEDS)]
        rows = []
        for workers in dict.fromkeys(row["workers"] for row in mine):
            for storage in STORAGES_GB_S:
                found = {
                    row["gpu_speed"]: row
                    for row in mine
                    if row["workers"] == workers and row["storage_gb_s"] == storage
                }
                rows.append([
                    str(workers), f"{storage:g}",
                    *(f"{found[speed]['hours']:.1f}, {found[speed]['limit']}"
                      for _, speed in columns),
                ])  # fmt: skip
        lines += [
            f"{name}:",
            "",
            *_table(["workers", "storage, GB/s", *(title for title, _ in columns)], rows),
            "",
        ]
    return [*lines, *_verdict(plans)]


def _verdict(plans: Sequence[Mapping[str, Any]]) -> list[str]:
    coordinator = max(row["coordinator_busy"] for row in plans)
    most = max(row["workers"] for row in plans)
    storage = [row for row in plans if row["workers"] == most and row["limit"] == "storage"]
    lines = [
        f"The coordinator is busy for {100 * coordinator:.0f} % of the time at most, with its "
        "measured time a job."
    ]
    if storage:
        lines.append(
            f"At {most} workers the file server is what limits {len(storage)} of the plans: meshes "
            "are large. Faster storage, or scratch disks for the coarser scales, is worth more "
            "than more workers there."
        )
    return [" ".join(lines), ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        _line(head),
        "|" + "---|" * len(head),
        *(_line(row) for row in rows),
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
