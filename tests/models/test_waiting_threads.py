"""How threads wait is asked for before torch is imported, and only where nobody has said it."""

import os
import subprocess
import sys

import pytest

from harness.models.waiting_threads import let_threads_sleep

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture
def environment(monkeypatch):
    """Nothing said about how threads wait; put back afterwards."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what the function sets is taken back
        monkeypatch.delenv(name)
    return monkeypatch


def test_threads_sleep_while_they_wait(environment):
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "9")]
)
def test_what_the_user_says_stays(environment, name, value):
    environment.setenv(name, value)
    let_threads_sleep()
    assert {n: os.environ[n] for n in VARIABLES if n in os.environ} == {name: value}


def test_the_command_asks_before_torch_is_imported(environment):
    """OpenMP reads its environment once, when torch loads it."""
    program = (
        "import os, sys, harness.cli, harness.__main__\n"
        "def command(**_): print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)\n"
        "harness.cli.main = command\n"
        "harness.__main__.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["PASSIVE", "False"], done.stderr
