"""Work that other processes can import, and a cluster of two workers."""

import os
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

WORK = '''
import os
import signal
import time
from pathlib import Path


def square(number, seconds=0.0):
    time.sleep(seconds)
    return {"square": number**2, "process": os.getpid(), "fresh": ["square"]}


def found():
    return {"fresh": []}


def poison():
    os.kill(os.getpid(), signal.SIGKILL)


def wrong(sentence):
    from facekit.core.errors import EstimationError

    raise EstimationError(sentence)


def broken():
    raise TypeError("no such thing")


def counted(file, error="", times=0):
    """Leave a line for each call; raise in the first calls."""
    with open(file, "a") as stream:
        stream.write("call\\n")
    if len(Path(file).read_text().splitlines()) <= times:
        raise {"OSError": OSError(5, "disk", "/here"), "ValueError": ValueError("no")}[error]
    return {}


def marked(folder, seconds):
    """Do something slow once: who finds the mark does it not again."""
    folder = Path(folder)
    if (folder / "done").is_file():
        return {"fresh": []}
    with (folder / "starts").open("a") as stream:
        stream.write(f"{os.getpid()}\\n")
    time.sleep(seconds)
    (folder / "done").touch()
    return {"fresh": ["marked"]}


def environment(name):
    return {"value": os.environ.get(name)}
'''


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Give a module that this process and those it starts can import."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "clusterwork.py").write_text(WORK)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([before] if before else [])])
    sys.path.insert(0, str(folder))
    import clusterwork

    yield clusterwork
    sys.path.remove(str(folder))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
