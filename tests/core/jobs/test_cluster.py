"""A cluster: who may join it, who does what, and what becomes of jobs whose worker dies."""

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from facekit.core.errors import FacekitError, InputError
from facekit.core.jobs.certificates import make_certificates
from facekit.core.jobs.engine import run
from facekit.core.jobs.job import Job, Outcome, Where
from facekit.core.jobs.localcluster import LocalCluster, local_cluster
from facekit.core.jobs.schedulerfile import load_scheduler_file, write_scheduler_file

distributed = pytest.importorskip("distributed")
pytest.importorskip("cryptography")
psutil = pytest.importorskip("psutil")

# Dask's own sockets and loops, some of which it leaves to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def cluster(work: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster") / "place") as cluster:
        yield cluster


def outcomes(jobs: list[Job], cluster: LocalCluster) -> dict[str, Outcome]:
    where = Where(scheduler=str(cluster.file))
    return {outcome.job.name: outcome for outcome in run(jobs, where)}


def squares(work: ModuleType, n: int, seconds: float = 0.0) -> list[Job]:
    return [
        Job(name=f"{i}", stage="square", work=work.square, given={"number": i, "seconds": seconds})
        for i in range(n)
    ]


def test_two_workers_share_the_jobs(work: ModuleType, cluster: LocalCluster) -> None:
    found = outcomes(squares(work, 12, seconds=0.2), cluster)
    assert [found[f"{i}"].answer["square"] for i in range(12)] == [i * i for i in range(12)]
    processes = {outcome.answer["process"] for outcome in found.values() if outcome.answer}
    assert processes <= set(cluster.worker_pids())
    assert os.getpid() not in processes


def test_failures_are_told_as_elsewhere(
    work: ModuleType, cluster: LocalCluster, tmp_path: Path
) -> None:
    disk = {"file": str(tmp_path / "calls"), "error": "OSError", "times": 2}
    found = outcomes(
        [
            Job(name="wrong", stage="x", work=work.wrong, given={"sentence": "take 3: no face"}),
            Job(name="broken", stage="x", work=work.broken, given={}),
            Job(name="disk", stage="x", work=work.counted, given=disk),
            Job(name="full", stage="x", work=work.counted,
                given=disk | {"file": str(tmp_path / "more"), "times": 9}),
        ],
        cluster,
    )  # fmt: skip
    assert (found["wrong"].reason, found["wrong"].exit_code) == ("take 3: no face", 3)
    assert "TypeError: no such thing" in str(found["broken"].reason)
    assert found["disk"].reason is None
    assert (tmp_path / "calls").read_text().count("call") == 3
    assert found["full"].reason == "/here: disk"
    assert (tmp_path / "more").read_text().count("call") == 3


def test_poison_is_one_failure_and_blames_nobody_else(
    work: ModuleType, cluster: LocalCluster
) -> None:
    """A job kills every worker that it gets; left alone Dask would blame its neighbours too."""
    jobs = squares(work, 20, seconds=0.1)
    jobs.insert(3, Job(name="poison", stage="x", work=work.poison, given={}))
    found = outcomes(jobs, cluster)
    failed = {name: outcome.reason for name, outcome in found.items() if outcome.answer is None}
    assert failed.keys() == {"poison"}
    assert "its worker died 6 times while at it" in str(failed["poison"])
    assert found["poison"].exit_code == 3


def test_a_killed_worker_costs_nothing_but_time(
    work: ModuleType, cluster: LocalCluster, tmp_path: Path
) -> None:
    jobs = []
    for i in range(6):
        (tmp_path / f"{i}").mkdir()
        given = {"folder": str(tmp_path / f"{i}"), "seconds": 0.5}
        jobs.append(Job(name=f"{i}", stage="x", work=work.marked, given=given))

    def kill() -> None:
        while not (tmp_path / "1" / "starts").is_file():
            time.sleep(0.02)
        os.kill(int((tmp_path / "1" / "starts").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = outcomes(jobs, cluster)
    killer.join()
    assert all(outcome.reason is None for outcome in found.values())
    starts = {i: (tmp_path / f"{i}" / "starts").read_text().count("\n") for i in range(6)}
    assert starts == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    again = outcomes(jobs, cluster)
    assert all(outcome.answer == {"fresh": []} for outcome in again.values())


def test_workers_have_their_part_of_the_machine(work: ModuleType, cluster: LocalCluster) -> None:
    names = ("NUMBA_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    jobs = [Job(name=n, stage="x", work=work.environment, given={"name": n}) for n in names]
    values = {name: one.answer for name, one in outcomes(jobs, cluster).items()}
    assert values == {
        "NUMBA_NUM_THREADS": {"value": str(max(1, (os.cpu_count() or 1) // 2))},
        "CUDA_VISIBLE_DEVICES": {"value": "-1"},  # none was offered
    }


def test_a_job_for_a_gpu_waits_for_a_worker_with_one(
    work: ModuleType, cluster: LocalCluster
) -> None:
    jobs = [
        Job(name="gpu", stage="x", work=work.environment, given={"name": "CUDA_VISIBLE_DEVICES"},
            gpu=True),
        *squares(work, 4),
    ]  # fmt: skip
    with_gpu = replace_gpu(cluster)
    ended: list[Outcome] = []
    try:
        for outcome in run(jobs, Where(scheduler=str(cluster.file))):
            ended.append(outcome)
            if len(ended) == 4:
                with_gpu.add_worker()
        gpu_process = int(ended[-1].worker.partition(":")[2])
        assert ended[-1].job.name == "gpu"
        assert ended[-1].answer == {"value": "0"}
        assert gpu_process in with_gpu.worker_pids()
        # other jobs keep off it while there are workers without
        after = outcomes(squares(work, 8, seconds=0.05), cluster)
        assert gpu_process not in {
            outcome.answer["process"] for outcome in after.values() if outcome.answer
        }
    finally:
        for worker in with_gpu.workers:
            worker.terminate()
            worker.wait(30)


def replace_gpu(cluster: LocalCluster) -> LocalCluster:
    """Return the same cluster, to which workers with a GPU are added."""
    other = replace(cluster, gpu=1)
    other.scheduler, other.workers = cluster.scheduler, []
    return other


def test_nothing_listens_to_other_machines(cluster: LocalCluster) -> None:
    pids = [cluster.scheduler.pid, *(worker.pid for worker in cluster.workers)]
    for pid in (*pids, *cluster.worker_pids()):
        for one in psutil.Process(pid).net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                assert one.laddr.ip == "127.0.0.1"


def test_who_has_no_certificate_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    address = load_scheduler_file(cluster.file).address
    port = int(address.rpartition(":")[2])
    with pytest.raises(OSError, match="Timed out|timed out|in <TLS|Connection"):  # plain text
        distributed.Client(f"tcp://127.0.0.1:{port}", timeout=3, set_as_default=False)
    strangers = ssl.create_default_context()
    strangers.check_hostname, strangers.verify_mode = False, ssl.CERT_NONE
    with (  # encrypted, without a certificate of its own
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        strangers.wrap_socket(plain) as tls,
    ):
        if not tls.recv(1):  # the refusal comes with the first answer in TLS 1.3
            raise ConnectionError("closed")
    other = make_certificates(tmp_path)  # of another cluster
    file = write_scheduler_file(tmp_path, address, other)
    with pytest.raises(InputError, match="does not answer, or refuses the certificate"):
        list(run([Job(name="a", stage="x", work=time.sleep, given={})],
                 Where(scheduler=str(file))))  # fmt: skip


def test_a_worker_with_another_certificate_does_not_join(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path)
    write_scheduler_file(tmp_path, load_scheduler_file(cluster.file).address, other)
    stranger = LocalCluster(folder=tmp_path)
    worker = stranger.add_worker()
    assert worker.wait(90) != 0


def test_a_scheduler_that_went_is_told_and_workers_join_the_next(
    work: ModuleType, tmp_path: Path
) -> None:
    with local_cluster(tmp_path / "place", workers=1, patience_s=60.0) as cluster:
        where = Where(scheduler=str(cluster.file))
        results = run(squares(work, 50, seconds=0.2), where)
        next(results)
        (before,) = cluster.worker_pids()
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        with pytest.raises(FacekitError, match="has gone; start it again and repeat"):
            list(results)
        cluster.restart_scheduler()
        found = outcomes(squares(work, 2), cluster)
        assert {one.answer["square"] for one in found.values() if one.answer} == {0, 1}
        assert cluster.worker_pids() != [before]  # the old one went with its scheduler


def test_workers_of_no_patience_end_with_their_scheduler(work: ModuleType, tmp_path: Path) -> None:
    with local_cluster(tmp_path / "place", workers=1) as cluster:
        outcomes(squares(work, 1), cluster)
        cluster.scheduler.kill()
        assert cluster.workers[0].wait(60) == 0
        assert cluster.worker_pids() == []


def test_the_table_that_dask_keeps_is_not_relied_on(
    work: ModuleType, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Dask's client empties its table of workers now and then: nobody has gone then."""
    monkeypatch.setattr(distributed.Client, "scheduler_info", lambda *_, **__: {"workers": {}})
    given = {"file": str(tmp_path / "calls")}
    found = outcomes([Job(name="a", stage="x", work=work.counted, given=given)], cluster)
    assert found["a"].reason is None
    assert (tmp_path / "calls").read_text().count("call") == 1
