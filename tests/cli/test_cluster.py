"""Who does the work, as it is asked for on the command line."""

import contextlib
import re

import pytest
import torch
from click.testing import CliRunner

from harness.cli import cluster, main
from harness.cli.cluster_options import Who
from harness.errors import CannotRun
from harness.runner.cluster import clusters
from harness.runner.context import How


def called(*words):
    result = CliRunner().invoke(main, ["run", "pilot", "--target", "organism", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "text", ["", "3", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/3", "1.0/2", "1/ 2"]
)
def test_a_shard_is_one_of_so_many(text):
    status, said = called("--shard", text)
    assert status == 2
    assert re.search(r"--shard: '.*' is not allowed; write which of how many, as 3/16", said)


@pytest.mark.parametrize("words", [["--json"], ["--afresh"], ["--profile", "p.json"]])
def test_what_a_shard_cannot_do_is_refused(words):
    status, said = called("--shard", "1/2", *words)
    assert status == 2
    assert "error: --shard: a shard has no verdicts, no times of its own" in said


def test_one_profile_is_of_one_eval():
    status, said = called("voices", "--profile", "p.json")
    assert (status, "--profile: it is of one eval, and several are asked for" in said) == (2, True)


def test_workers_and_a_scheduler_are_not_both_asked_for():
    status, said = called("--workers", "2", "--scheduler", "tcp://127.0.0.1:1")
    assert (status, "name one of --workers and --scheduler" in said) == (2, True)


def test_the_devices_of_a_schedulers_workers_are_theirs():
    status, said = called("--scheduler", "tcp://127.0.0.1:1", "--device", "cuda:0,cuda:1")
    assert status == 2
    assert "which device a worker has is settled where it is started" in said


@pytest.mark.parametrize("asked, workers", [(0, 1), (0, 2), (0, 3), (5, 2)])
def test_a_worker_takes_as_many_threads_as_a_run_without_workers(monkeypatch, asked, workers):
    """By default numbers are the same in this process and on any number of workers."""
    taken, said = [], []

    @contextlib.contextmanager
    def local(many, terms, say):
        taken.append((many, terms.threads))
        yield None

    monkeypatch.setattr(clusters, "local_workers", local)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with cluster._workers(Who(workers=workers), How(device="cpu", threads=asked), said.append):
        pass
    assert taken == [(workers, asked or 7)]
    assert bool(said) == (not asked and workers > 1)


def test_dask_is_asked_for_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(
        CannotRun, match=r"Dask distributed is not installed; pip install '.*\[cluster\]'"
    ):
        cluster._workers(Who(workers=2), How(), print)
