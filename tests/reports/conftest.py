"""Neuronpedia, for what asks it."""

import pytest

from harness.reports.neuronpedia import Neuronpedia
from tests.helpers.neuronpedia import Clock, Server


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        monkeypatch.setenv("NEURONPEDIA_ENDPOINT", server.endpoint + "/")
        monkeypatch.delenv("NEURONPEDIA_API_KEY", raising=False)
        yield server


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def asked(server, clock):
    with Neuronpedia(clock=clock, sleep=clock.sleep) as client:
        yield client
