"""Where workers are: processes of this machine, or a cluster that somebody has started."""

import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import dask
from distributed import Client, LocalCluster
from distributed.security import Security

from harness.errors import CannotRun, Fault, InputError, Say
from harness.runner.cluster.on_workers import OnWorkers
from harness.runner.cluster.worker import Terms

# As measured: where one failure is forgiven to no task, innocent ones fail beside a worker that dies; a limit
# of memory counts what a model is read into, and kills the worker that reads it; and a cluster gives up a
# worker that takes more than seconds to begin again.
SETTINGS = {
    "distributed.scheduler.allowed-failures": 3,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.worker-ttl": "120 s",
    "distributed.scheduler.no-workers-timeout": "300 s",
    "distributed.deploy.lost-worker-timeout": "1 hour",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
CONNECT = 30.0  # seconds that a scheduler may take to answer


@contextmanager
def local_workers(workers: int, terms: Terms, say: Say) -> Iterator[OnWorkers]:
    """So many worker processes of this machine, which end with the block.

    Only they can talk to the scheduler: it listens here alone, and takes their key.
    """
    stood = Path(tempfile.mkdtemp(prefix="harness-workers-"))
    # A worker that is killed leaves semaphores, which multiprocessing's own process removes with a warning.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    with (
        _left_if_used(stood),
        dask.config.set(SETTINGS),
        _begun(workers) as cluster,
        Client(cluster) as client,
    ):
        yield OnWorkers(client, replace(terms, stood=str(stood)), say)


def _begun(workers: int) -> LocalCluster:
    """A cluster of this machine. Raises `CannotRun` where a worker ended before it began."""
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            security=Security.temporary(),
            memory_limit=0,
            preload=["harness.runner.cluster.preload"],
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except (RuntimeError, OSError, TimeoutError) as error:
        what = f"a worker ended before it began: {' '.join(str(error).split())[:200]}"
        remedy = "see whether memory ran out; the same command tries again"
        raise CannotRun(Fault("workers", what, remedy)) from None


@contextmanager
def workers_of(scheduler: str, terms: Terms, say: Say) -> Iterator[OnWorkers]:
    """The workers of a scheduler, by its address or the file that it wrote.

    Raises `InputError` where that is none, and `CannotRun` where it does not answer.
    """
    address = _address(scheduler)
    # What goes wrong is said in a sentence.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=CONNECT)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        what = f"it does not answer: {' '.join(str(error).split())[:200]}"
        remedy = "start it, or see whether its port is open"
        raise CannotRun(Fault(address, what, remedy)) from None
    with client:
        if link := client.dashboard_link:
            say(f"  dashboard: {link}")
        yield OnWorkers(client, terms, say)


def _address(scheduler: str) -> str:
    """The address that is named, or in the file that is. Raises `InputError`."""
    path = Path(scheduler)
    if "://" not in scheduler and path.is_file():
        try:
            scheduler = str(json.loads(path.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError):
            what = "it is no file that a scheduler wrote"
            raise InputError(Fault(str(path), what, "start one with --scheduler-file")) from None
    try:
        parts = urlsplit(scheduler)
        named = parts.scheme in ("tls", "tcp") and parts.hostname and parts.port
    except ValueError:  # of brackets, or a port that is no number
        named = False
    if not named or not parts.hostname:
        what = "it is neither the address of a scheduler nor a file that one wrote"
        raise InputError(Fault(scheduler, what, "write tls://host:8786, or the file's path"))
    if parts.scheme != "tls" and not _is_here(parts.hostname):
        what = "whoever can reach a scheduler runs code as you, and nothing protects this one"
        remedy = "start it with TLS and write tls://, or reach it through an SSH tunnel"
        raise InputError(Fault(scheduler, what, remedy))
    if parts.scheme == "tls":
        _check_certificates(scheduler)
    return scheduler


def _check_certificates(scheduler: str) -> None:
    """Raises `InputError` where Dask's settings name no certificates, or files that are not there."""
    names = ("ca-file", "client.cert", "client.key")
    for name in names:
        file = dask.config.get(f"distributed.comm.tls.{name}", None)
        setting = (
            f"DASK_DISTRIBUTED__COMM__TLS__{name.replace('.', '__').replace('-', '_').upper()}"
        )
        if not file:
            what = f"TLS needs certificates, and {setting} names none"
            raise InputError(Fault(scheduler, what, "see docs/gpu-and-cluster.md"))
        if not Path(file).is_file():
            raise InputError(Fault(f"{setting}={file}", "there is no such file", "name it"))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _left_if_used(folder: Path) -> Iterator[None]:
    """Remove a folder at the end, unless somebody has left something there to be read."""
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
