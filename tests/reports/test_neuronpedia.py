"""One client of Neuronpedia: polite, and ready for a server that may answer anything."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from harness.errors import CannotRun
from harness.reports import neuronpedia
from harness.reports.neuronpedia import (
    EXPLAINER,
    LABEL,
    PATIENCE,
    PAUSE,
    TRIES,
    Explanation,
    Neuronpedia,
)
from tests.helpers.neuronpedia import SOURCES, body


def test_an_explanation_is_asked_of_the_feature_s_own_address(server, asked):
    assert asked.explanation(SOURCES[1], 17) == Explanation("about 17", "gpt-4o-mini")
    ((path, headers),) = server.asked
    assert path == "/api/feature/gemma-2-2b/1-gemmascope-res-16k/17"
    assert headers["User-Agent"].startswith("misconception-harness/")
    assert "x-api-key" not in headers


def test_a_key_is_sent_where_it_is_set(server, monkeypatch):
    monkeypatch.setenv("NEURONPEDIA_API_KEY", " sk-np-1 \n")
    with Neuronpedia() as client:
        client.explanation(SOURCES[1], 1)
    assert server.asked[0][1]["x-api-key"] == "sk-np-1"
    monkeypatch.setenv("NEURONPEDIA_API_KEY", "a\nb")
    with pytest.raises(CannotRun, match="characters that no key has") as error, Neuronpedia():
        pass
    assert "a\nb" not in str(error.value)


def test_a_redirect_takes_no_key_elsewhere(server, monkeypatch):
    monkeypatch.setenv("NEURONPEDIA_API_KEY", "sk-np-1")
    server.answers = [(302, b"", {"Location": server.endpoint + "/elsewhere"})]
    with Neuronpedia() as client, pytest.raises(CannotRun, match="answers with status 302"):
        client.explanation(SOURCES[1], 1)
    assert len(server.asked) == 1


def test_it_asks_no_more_than_once_in_half_a_second(asked, clock):
    started = []
    for feature in range(5):
        asked.explanation(SOURCES[1], feature)
        started.append(clock.now)
        clock.now += 0.1  # an answer takes some time itself
    gaps = [b - a for a, b in pairwise(started)]
    assert gaps == pytest.approx([PAUSE] * 4)
    assert clock.slept[0] == 0


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_it_waits_as_long_as_it_is_asked_to(server, asked, clock, kind):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    header = {"Retry-After": "30" if kind == "seconds" else later}
    server.answers = [(429, b"slow down", header)]
    assert asked.explanation(SOURCES[1], 4).label == "about 4"
    assert len(server.asked) == 2
    assert sum(clock.slept) == pytest.approx(30, abs=2)


@pytest.mark.parametrize("said", ["", "soon", "-5", "inf", "nan", "9" * 5000, "Mon, 99 Nov 2026"])
def test_it_waits_a_little_where_it_is_not_told_how_long(server, asked, clock, said):
    server.answers = [(429, b"", {"Retry-After": said})]
    assert asked.explanation(SOURCES[1], 4).label == "about 4"
    assert PAUSE <= sum(clock.slept) <= 10 * PAUSE


def test_its_patience_ends(server, asked, clock):
    server.answers = [(429, b"", {"Retry-After": f"{PATIENCE + 1:.0f}"})]
    with pytest.raises(CannotRun, match=r"asks to wait \(status 429\); try again later"):
        asked.explanation(SOURCES[1], 4)
    assert sum(clock.slept) < 1
    server.answers = [(503, b"", {"Retry-After": "1"})] * (TRIES + 1)
    with pytest.raises(CannotRun, match="status 503"):
        asked.explanation(SOURCES[1], 4)
    assert len(server.asked) == 1 + TRIES


@pytest.mark.parametrize(
    "answer",
    [(404, b"{}"), (200, b'{"explanations": []}'), (200, body("", " ")), (200, body(None))],
)
def test_what_has_no_explanation_has_no_label(server, asked, answer):
    server.answers = [answer]
    assert asked.explanation(SOURCES[1], 4) is None


def test_the_first_explanation_that_says_anything_is_taken_as_one_line_of_text(server, asked):
    script = "<script>alert('x')</script>"
    server.answers = [
        (200, body("", f"words \n about\x1b[31m {script}", "another")),
        (200, json.dumps({"explanations": [{"description": "no model"}]}).encode()),
    ]
    assert asked.explanation(SOURCES[1], 4).label == f"words about [31m {script}"
    assert asked.explanation(SOURCES[1], 4) == Explanation("no model", None)


GARBAGE = [
    b"<html>a proxy's page</html>",
    b"",
    b"[]",
    b"null",
    b"{}",
    b'{"explanations": null}',
    b'{"explanations": ["words"]}',
    b'{"explanations": [{"description": 7}]}',
    b'{"explanations": [{"description": "\xff"}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_an_answer_that_is_none_is_said_to_be(server, asked, data):
    server.answers = [(200, data)]
    with pytest.raises(CannotRun, match="names no explanations; correct NEURONPEDIA_ENDPOINT"):
        asked.explanation(SOURCES[1], 4)


@pytest.mark.parametrize(
    "answer, words",
    [
        ((500, b"oops"), "answers with status 500; try again later"),
        ((401, b""), "refuses with status 401; set NEURONPEDIA_API_KEY"),
        ((403, b""), "refuses with status 403; set NEURONPEDIA_API_KEY"),
        ((None, b""), "it cannot be reached; go online"),
        ((200, b"gzip?", {"Content-Encoding": "gzip"}), "it sends compressed what was asked for"),
    ],
)
def test_a_refusal_is_said_in_a_sentence(server, asked, answer, words):
    server.answers = [answer]
    with pytest.raises(CannotRun, match=words) as error:
        asked.explanation(SOURCES[1], 4)
    assert server.endpoint in str(error.value)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9", "nowhere", "http://[", "ftp://a/b", "http://a:b"]
)
def test_a_server_that_is_not_there_is_said(monkeypatch, endpoint):
    monkeypatch.setenv("NEURONPEDIA_ENDPOINT", endpoint)
    with Neuronpedia() as client, pytest.raises(CannotRun, match="cannot be reached; go online"):
        client.explanation(SOURCES[1], 4)


def test_a_server_that_is_silent_is_not_waited_for(server, monkeypatch):
    server.answers = [(200, b"", {"Content-Length": "100"})]
    with Neuronpedia(timeout=0.2) as client, pytest.raises(CannotRun, match=r"within 0\.2 s"):
        client.explanation(SOURCES[1], 4)


def test_an_answer_that_does_not_end_is_not_waited_for(server):
    """Its parts may each come in time."""
    server.answers = [(200, b"{", {"Content-Length": "100"})]
    late = r"has not answered in full after 0\.2 s"
    with Neuronpedia(timeout=5, longest=0.2) as client, pytest.raises(CannotRun, match=late):
        client.explanation(SOURCES[1], 4)


def test_an_answer_is_read_to_a_limit(server, asked, monkeypatch):
    monkeypatch.setattr(neuronpedia, "LARGEST", 1000)
    server.answers = [(200, b" " * 1001)]
    with pytest.raises(CannotRun, match="sends more than 1000 bytes"):
        asked.explanation(SOURCES[1], 4)
    bomb = gzip.compress(b" " * 10_000_000)[:900]
    server.answers = [(200, bomb, {"Content-Encoding": "gzip"})]
    with pytest.raises(CannotRun, match="sends compressed what was asked for as it is"):
        asked.explanation(SOURCES[1], 4)


def test_a_label_and_its_explainer_are_kept_to_a_length(server, asked):
    server.answers = [(200, body("word " * 9000, model="gpt" * 9000))]
    told = asked.explanation(SOURCES[1], 4)
    assert (len(told.label), len(told.explainer)) == (LABEL, EXPLAINER)
    assert told.label.endswith("…")


@pytest.mark.parametrize("said", ["9" * 400, "Mon, 01 Jan 9999 00:00:00 GMT"])
def test_nobody_waits_for_ever(server, asked, clock, said):
    server.answers = [(429, b"", {"Retry-After": said})]
    with pytest.raises(CannotRun, match="asks to wait"):
        asked.explanation(SOURCES[1], 4)
    assert sum(clock.slept) < 1


def test_wrong_settings_of_a_proxy_are_said(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "what://ever")
    with pytest.raises(CannotRun, match="correct the proxy's settings"), Neuronpedia():
        pass
