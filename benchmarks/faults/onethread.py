"""Processes that are begun with one thread in every library, and can be forked therefore."""

import os
import threading

_NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")
_ALONE = threading.Lock()  # the environment is that of the whole process


class OneThread:
    """Libraries that processes begun within load have one thread: forks and threads do not mix."""

    def __enter__(self) -> None:
        _ALONE.acquire()
        self._before = {name: os.environ.get(name) for name in _NAMES}
        os.environ.update(dict.fromkeys(_NAMES, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _ALONE.release()
