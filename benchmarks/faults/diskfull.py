"""A disk that fills up while a command writes: a sentence, an exit code, and no half file.

Each command writes into a file system of its own in memory, of so many bytes, mounted where no
other process sees it; where that is not allowed, the limit is on the length of each file instead
(`RLIMIT_FSIZE`), which every library meets as an error of its write, too. What is left has to be
what the command writes when there is room, file by file, or, of what is written again and again
(records, a training's weights), a whole earlier one; nothing half written may have a published
name, and nothing unfinished may be left. With room made, the same command has to end well and
leave all of it. A folder that may not be written has to be told, too.
"""

import ctypes
import json
import os
import random
import shutil
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from ...core.console import track
from .bystage import by_stage
from .gate import Gate, Parts
from .trees import Tree, tree_of
from .warm import Ended, run_command, run_here, run_work
from .workplace import Stage, Workplace

_OFFSETS, _SAMPLE_OFFSETS = 30, 3
_STAGES = ("ingest", "calibrate", "mesh", "export hdf5", "export files", "report", "render",
           "pack", "train coarse", "studio")  # fmt: skip
_SAMPLED = ("export hdf5", "export files")
_NEWNS, _NEWUSER, _MS_PRIVATE, _MS_REC, _MS_REMOUNT = 0x20000, 0x10000000, 1 << 18, 1 << 14, 32
_MS_RDONLY = 1
_PAGE = 4096
_CODES = (1, 2, 3, 4)


class Means(StrEnum):
    """How a full disk is had."""

    TMPFS = "a file system in memory, as large as the offset"
    FILE_LIMIT = "a limit on the length of each file"


@dataclass(frozen=True, kw_only=True)
class DiskFullFaults(Gate):
    """What came of the full disks."""

    half_files: int = 0
    """Files under a published name that were not whole, or unfinished ones left behind."""
    unclear: int = 0
    """Commands that did not end with a sentence and an exit code."""
    unmended: int = 0
    """Commands that did not end well with room made."""
    means: str = ""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "offsets": self.cases, "half_files": self.half_files, "unclear": self.unclear,
            "unmended": self.unmended, "means": self.means,
        }  # fmt: skip


def disk_full_faults(
    folder: Path, *, full: bool, seed: int, sound: Parts | None = None
) -> DiskFullFaults:
    """Fill the disk at 30 places of what each command writes; of the sample two at three.

    Parameters
    ----------
    sound : Parts, optional
        Commands that need not be tried again.
    """
    work = partial(
        _disks_of, folder=folder, offsets=_OFFSETS if full else _SAMPLE_OFFSETS, seed=seed
    )  # fmt: skip
    return by_stage(
        work, _STAGES if full else _SAMPLED, what="full disks", jobs=None if full else 1,
        kind=DiskFullFaults, sound=sound,
    )  # fmt: skip


def _disks_of(name: str, *, folder: Path, offsets: int, seed: int) -> DiskFullFaults:
    place = Workplace(folder / name, seed=seed)
    return fill_disks(place, [place.stage(name)], offsets=offsets, seed=seed)


def fill_disks(
    place: Workplace, stages: Sequence[Stage], *, offsets: int, seed: int,
    means: Means | None = None,
) -> DiskFullFaults:  # fmt: skip
    """Fill the disk of each command at so many places, and take away its right to write."""
    means = means or _means_here(place.folder)
    said: dict[str, list[str]] = {"half": [], "unclear": [], "unmended": []}
    cases = 0
    for stage in stages:
        chance = random.Random(f"{seed} {stage.name}")
        out = place.folder / "disk" / "out"
        shutil.rmtree(out.parent, ignore_errors=True)
        out.parent.mkdir()
        whole = run_command(stage.command(out), log=place.folder / "log.txt")
        if whole.code != 0:
            said["unmended"].append(f"{stage.name}: {whole.said[-200:]}")
            continue
        wanted, sizes = tree_of(out), _sizes(out)
        shutil.rmtree(out)
        limits = [None, *_limits(sizes, means, offsets, chance)]  # None: may not be written
        for limit in track(limits, f"full disk: {stage.name}"):
            cases += 1
            found = _attempt(place, stage, out, wanted, limit=limit, means=means)
            where = f"{stage.name}, {'read-only' if limit is None else f'{limit} bytes'}"
            for kind, lines in found.items():
                said[kind] += [f"{where}: {line}" for line in lines]
    return DiskFullFaults(
        cases=cases, failures=tuple(line for lines in said.values() for line in lines),
        half_files=len(said["half"]), unclear=len(said["unclear"]),
        unmended=len(said["unmended"]), means=str(means),
    )  # fmt: skip


def _sizes(out: Path) -> list[int]:
    return [path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()]


def _limits(sizes: Sequence[int], means: Means, count: int, chance: random.Random) -> Iterator[int]:
    """Draw how much room there is: less than what is written, in all or for the largest file."""
    if means is Means.FILE_LIMIT:
        for _ in range(count):
            yield chance.randrange(max(sizes))
        return
    pages = sum(-(-size // _PAGE) for size in sizes)
    for number in range(count):
        share = (number + chance.random()) / count
        yield _PAGE * (1 + int(share * max(pages - 2, 1)))


def _attempt(
    place: Workplace, stage: Stage, out: Path, wanted: Tree, *, limit: int | None, means: Means
) -> dict[str, list[str]]:  # fmt: skip
    """Run a command with so much room, then with all of it; return what was wrong."""
    report = place.folder / "report.json"
    report.unlink(missing_ok=True)
    commands = (stage.command(out), str(out.parent), limit, str(report))
    log = place.folder / "log.txt"
    if means is Means.TMPFS:
        ended = run_work(_within, (*commands, str(log)), log=log)
        if ended.code != 0 or not report.is_file():
            return {"unclear": [f"the trial itself failed: {ended.said[-300:]}"]}
        told = json.loads(report.read_text())
    else:
        told = _limited(place, commands[0], out, limit, log)
    first = Ended(code=told["code"], seconds=0.0, said=told["said"])
    tree = Tree(hashes=told["hashes"], strays=tuple(told["strays"]))
    after = Tree(hashes=told["hashes_after"], strays=tuple(told["strays_after"]))
    half = [f"{path} was left unfinished" for path in tree.strays]
    half += [
        f"{path} is not whole" for path, found in tree.hashes.items()
        if wanted.hashes.get(path) != found and path not in told["readable"]
    ]  # fmt: skip
    unmended = [f"with room, {line}" for line in after.differences(wanted)]
    if told["code_after"] != 0:
        unmended.insert(
            0, f"with room, exit code {told['code_after']}: {told['said_after'][-200:]}"
        )
    return {"half": half, "unclear": list(_unclear(first)), "unmended": unmended}


def _unclear(ended: Ended) -> Iterator[str]:
    """Tell where a command did not say in a sentence that it failed, or did not say so."""
    sentences = [line for line in ended.said.splitlines() if line.startswith("facekit: ")]
    if ended.code == 0 and not sentences:
        return  # there was room enough after all
    if ended.code not in _CODES:
        yield f"ended with {ended.code}: {ended.said[-200:]}"
    elif not sentences or "Traceback" in ended.said:
        yield f"no sentence: {ended.said[-200:]}"
    elif any("a fault in facekit itself" in line for line in sentences):
        yield next(line for line in sentences if "a fault in facekit itself" in line)


def _told(out: Path, code: int, said: str) -> dict[str, Any]:
    tree = tree_of(out) if out.is_dir() else Tree(hashes={}, strays=())
    return {
        "code": code, "said": said, "hashes": tree.hashes, "strays": tree.strays,
        "readable": [p for p in tree.hashes if _is_earlier(out / p)],
    }  # fmt: skip


def _is_earlier(path: Path) -> bool:
    """Whether this is, whole, what is written again and again: a record, weights, a panel."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".safetensors":
            return _ends_where_it_says(path.read_bytes())
        elif path.parent.name == "panels":
            with PillowImage.open(path) as picture:
                picture.load()
        else:
            return path.name in ("SHA256SUMS", "DATASHEET.md")
    except (ValueError, OSError, KeyError, struct.error):
        return False
    return True


def _ends_where_it_says(content: bytes) -> bool:
    """Whether a safetensors file is as long as its header has it."""
    (size,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + size])
    ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
    return len(content) == 8 + size + max(ends, default=0)


def _limited(
    place: Workplace, command: list[str], out: Path, limit: int | None, log: Path
) -> dict[str, Any]:  # fmt: skip
    """Run a command with a limit on the length of files, then without one."""
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir()
    if limit is None:  # root writes anyhow: a file where the folder would be
        out.parent.rmdir()
        out.parent.write_text("no folder")
    first = run_command(command, file_bytes=limit, log=log)
    told = _told(out, first.code, first.said)
    if limit is None:
        out.parent.unlink()
        out.parent.mkdir()
    second = run_command(command, log=log)
    after = _told(out, second.code, second.said)
    return told | {f"{key}_after": value for key, value in after.items()}


def _within(
    command: list[str], disk: str, limit: int | None, report: str, log: str
) -> None:  # fmt: skip
    """Be a process with a small file system of its own at `disk`; run the command in it twice."""
    out = Path(disk) / Path(command[_out_at(command, disk)]).relative_to(disk).parts[0]
    _own_mounts()
    size = _PAGE * 4 if limit is None else limit
    _mount(disk, f"size={size}", _MS_RDONLY if limit is None else 0)
    code, said = _forked(command, log)
    told = _told(out, code, said)
    _mount(disk, "size=2g", _MS_REMOUNT)
    code, said = _forked(command, log)
    after = _told(out, code, said)
    told |= {f"{key}_after": value for key, value in after.items()}
    Path(report).write_text(json.dumps(told))


def _out_at(command: Sequence[str], disk: str) -> int:
    return next(i for i, word in enumerate(command) if word.startswith(f"{disk}/"))


def _forked(command: Sequence[str], log: str) -> tuple[int, str]:
    """Run a command in a fork of this process, which has no threads."""
    Path(log).write_bytes(b"")
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.ftruncate(1, 0)
            run_here(*command)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            os._exit(code)
    latest = time.monotonic() + 1800
    while time.monotonic() < latest:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), Path(log).read_text(errors="replace")
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL, "did not end"


def _own_mounts() -> None:
    """Give this process mounts that no other sees.

    Raises
    ------
    OSError
        The system does not let it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    flags = _NEWNS if user == 0 else _NEWNS | _NEWUSER
    _check(libc.unshare(flags))
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _check(libc.mount(b"none", b"/", None, _MS_PRIVATE | _MS_REC, None))


def _mount(folder: str, options: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(flags),
                      options.encode()))  # fmt: skip


def _check(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _try_mount(folder: str) -> None:
    _own_mounts()
    _mount(folder, f"size={_PAGE}", 0)


def _means_here(folder: Path) -> Means:
    """Return how a full disk can be had on this machine."""
    trial = folder / "trial"
    trial.mkdir(exist_ok=True)
    ended = run_work(_try_mount, (str(trial),), log=folder / "log.txt")
    return Means.TMPFS if ended.code == 0 else Means.FILE_LIMIT
