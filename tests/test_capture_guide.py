"""The capture guide: its commands exist, its pictures are there, its sentences are facekit's."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from facekit.calibration.target.scalebars import parse_bars
from facekit.capture.boards import parse_board
from facekit.cli import main

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "capture-guide.md").read_text(encoding="utf-8")
SPOKEN_BY = ("capture", "calibration", "dataset", "core")


def commands() -> list[list[str]]:
    """Return every command of the guide, as words."""
    text = GUIDE.replace("…", "")
    found = re.findall(r"^    (facekit .+)$", text, re.MULTILINE)
    found += re.findall(r"`(facekit [a-z][^`]*)`", text)
    return [shlex.split(" ".join(command.split())) for command in found]


def said() -> list[str]:
    """Return every string of the package, `…` where values go."""
    texts = []
    for folder in SPOKEN_BY:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = [
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    ]
                    texts.append("".join(parts))
    return texts


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_those_of_the_program(words: list[str]) -> None:
    command = main.commands[words[1]]
    options = {o: p for p in command.params for o in (*p.opts, *p.secondary_opts)}
    for i, word in enumerate(words[2:], 2):
        if word.startswith("--"):
            assert word in options, f"{' '.join(words)}: no option {word}"
        if word == "--board":
            parse_board(words[i + 1])
        if word == "--scale-bar" and words[i + 1].startswith("DICT_"):
            parse_bars(words[i + 1])


def test_pictures_are_there_and_small() -> None:
    names = re.findall(r"!\[[^]]+\]\(([^)]+)\)", GUIDE)
    assert len(names) >= 6
    sizes = [(ROOT / "docs" / name).stat().st_size for name in names]
    assert max(sizes) < 120_000
    assert sum(sizes) < 1_000_000


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    }
    for target in re.findall(r"(?<!!)\[[^]]+\]\(([^)]+)\)", GUIDE):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (ROOT / "docs" / target).is_file()


def test_quoted_sentences_are_said() -> None:
    """Each sentence of the last table is in the sources, values apart."""
    table = GUIDE.split("## What facekit says, and what to do")[1]
    quoted = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(quoted) > 25
    texts = said()
    unsaid = []
    for sentence in quoted:
        parts = [part.strip(" ();:,") for part in sentence.split("…")]
        parts = [part for part in parts if part]
        if not any(_in_order(parts, text) for text in texts):
            unsaid.append(sentence)
    assert unsaid == []


def _in_order(parts: list[str], text: str) -> bool:
    at = 0
    for part in parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True
