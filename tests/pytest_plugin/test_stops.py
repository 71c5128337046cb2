"""Claims that are stopped from outside: what is said, and with which status pytest ends."""

import signal

import pytest

from tests.pytest_plugin.test_items import evals

__all__ = ["evals"]  # a fixture
STOPS = """
import os, signal
import pytest

def pytest_runtest_setup(item):
    whose = os.getppid() if hasattr(item.config, "workerinput") else os.getpid()
    os.kill(whose, signal.{name})
"""


@pytest.mark.parametrize(
    "name, status, workers",
    [("SIGTERM", 143, ()), ("SIGTERM", 143, ("-n1",)), ("SIGINT", 2, ())],
)
def test_a_signal_stops_claims_with_a_sentence(pytester, evals, name, status, workers):
    pytester.makeconftest(STOPS.format(name=name))
    found = pytester.runpytest_subprocess("evals", "-p", "no:cacheprovider", *workers)
    assert found.ret == status
    found.stdout.fnmatch_lines(["!*! *stopped; the same command goes on from here !*!"])


def test_other_peoples_tests_keep_their_signals(pytester):
    pytester.makeconftest(STOPS.format(name="SIGTERM"))
    pytester.makepyfile("def test_it(): pass")
    assert pytester.runpytest_subprocess().ret == -signal.SIGTERM
