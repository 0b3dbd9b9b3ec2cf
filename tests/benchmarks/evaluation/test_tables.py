"""Tables beside published results, and the results that ship: each has a source."""

from importlib import resources

import pytest
import yaml

from facekit.benchmarks.evaluation.leaderboards import (
    Standing,
    load_leaderboard,
    parse_leaderboard,
)
from facekit.benchmarks.evaluation.protocol import Metric, Row
from facekit.benchmarks.evaluation.registry import NAMES, get
from facekit.benchmarks.evaluation.tables import (
    case_cell,
    latex,
    markdown,
    own_table,
    plain_text,
    published_table,
)
from facekit.core.errors import InputError, SchemaError

METRICS = (
    Metric(name="median", unit="mm", decimals=2),
    Metric(name="CR", unit="%", decimals=1, lower_is_better=False),
)
BOARD = parse_leaderboard(
    yaml.safe_load(
        """
        title: Board
        rows: {all: every_thing, side: side}
        methods:
          - {name: A|B, values: {all: {median: 1.0}}, source: paper, standing: read}
          - {name: C_1, values: {all: {median: 0.5, CR: 90}}, source: web, standing: second-hand}
          - {name: D, values: {side: {median: 9}}, source: head, standing: recalled}
        """
    ),
    where="test",
)


def row(label: str, **values: float) -> Row:
    return Row(label=label, values=values, n=3, missing=1)


def test_this_run_stands_among_the_published_best_first() -> None:
    table = published_table(BOARD, [row("all", median=0.75, CR=80.0)], METRICS, name="mine")
    assert [r[0] for r in table.rows] == ["C_1†", "mine", "A|B"]
    assert table.ours == {1}
    assert table.rows[1][1:] == ("0.75", "80.0")
    assert table.rows[2][1:] == ("1.00", "–")


def test_a_ratio_of_a_case_is_shown_in_percent_like_its_column() -> None:
    share = Metric(name="CR", unit="%", decimals=1, of_case=100.0)
    assert case_cell(0.9975, share) == "99.8"
    assert case_cell(0.9975, share, more_decimals=1) == "99.75"
    assert case_cell(float("nan"), share) == "nan"
    assert case_cell(None, share) == "–"
    assert case_cell(0.4249, METRICS[0]) == "0.42"


def test_rank_goes_by_what_most_have() -> None:
    metrics = tuple(Metric(name=name, unit="mm") for name in ("nose", "all"))
    board = parse_leaderboard(
        {"title": "t", "rows": {"f": "f"}, "methods": [
            {"name": "A", "values": {"f": {"nose": 1, "all": 3}}, "source": "s",
             "standing": "read"},
            {"name": "B", "values": {"f": {"all": 2}}, "source": "s", "standing": "read"},
        ]}, where="test",
    )  # fmt: skip
    table = published_table(board, [row("f", nose=9.0, all=2.5)], metrics, name="mine")
    assert [r[0] for r in table.rows] == ["B", "mine", "A"]


def test_without_a_comparable_row_all_published_stand_alone() -> None:
    table = published_table(BOARD, [row("front", median=0.1)], METRICS, name="mine")
    assert [r[0] for r in table.rows] == ["C_1†", "A|B", "D‡"]
    assert not table.ours


def test_markdown_and_latex_escape_what_they_must() -> None:
    rows = [row("all", median=0.75, CR=float("nan"))]
    table = published_table(BOARD, rows, METRICS, name="my_method & co")
    assert r"| A\|B | 1.00 |" in markdown([table])
    assert "| **my_method & co** | **0.75** | **nan** |" in markdown([table])
    text = latex([table])
    assert r"\textbf{my\_method \& co} & \textbf{0.75}" in text
    assert r"every\_thing CR (\%)" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert all(line.count("&") - line.count(r"\&") == 2
               for line in text.splitlines() if line.endswith(r"\\"))  # fmt: skip


def test_text_lines_up_and_is_never_wrapped() -> None:
    rows = [row("all", median=0.5), row("a longer name", median=12.25, CR=9.0)]
    lines = plain_text(own_table("Title", rows, METRICS)).splitlines()
    assert lines[0] == "Title"
    assert [len(line) for line in lines[1:]] == [len(lines[1])] * len(lines[1:])
    assert "12.25" in lines[5]


def test_a_run_tells_how_many_it_rests_on() -> None:
    table = own_table("t", [row("all", median=0.5)], METRICS)
    assert table.columns == ("", "median (mm)", "n", "missing")
    assert table.rows == (("all", "0.50", "3", "1"),)


def shipped() -> list[str]:
    folder = resources.files("facekit.benchmarks.evaluation").joinpath("leaderboards")
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("name", shipped())
def test_every_published_number_has_a_source_and_a_standing(name: str) -> None:
    board = load_leaderboard(name)
    assert board.methods
    for method in board.methods:
        assert len(method.source) > 8
        assert all(value > 0 for values in method.values.values() for value in values.values())
        if "memory" in method.source:
            assert method.standing is Standing.RECALLED


@pytest.mark.parametrize("name", NAMES)
def test_leaderboards_name_the_metrics_of_their_benchmarks(name: str) -> None:
    benchmark = get(name)
    assert benchmark.name == name
    if benchmark.leaderboard is None:
        return
    known = {metric.name for metric in benchmark.metrics}
    for method in load_leaderboard(benchmark.leaderboard).methods:
        assert {m for values in method.values.values() for m in values} <= known


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": ""}, "no source"),
        ({"standing": "sure"}, "sure"),
        ({"values": {"elsewhere": {"median": 1}}}, "no row 'elsewhere'"),
        ({"values": {"all": {"median": "x"}}}, "not a leaderboard"),
    ],
)
def test_a_number_without_its_source_or_row_is_refused(change: dict, said: str) -> None:
    entry = {"name": "A", "values": {"all": {"median": 1.0}}, "source": "s", "standing": "read"}
    board = {"title": "t", "rows": {"all": "all"}, "methods": [entry | change]}
    with pytest.raises(SchemaError, match=said):
        parse_leaderboard(board, where="test")


def test_an_unknown_benchmark_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'realy'"):
        get("really")
    with pytest.raises(InputError, match="there are realy, now"):
        get("xyzzy")
