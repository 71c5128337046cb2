"""Labels of features: asked for once, politely, of a server that may answer anything."""

import json
import shutil
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import duckdb
import pytest

from harness.errors import CannotRun, InputError
from harness.reports.labels import label_features, shown_features
from harness.reports.neuronpedia import PATIENCE, PAUSE, TRIES, Explanation, Neuronpedia
from harness.store.database import Store
from harness.store.find_run import find_run
from harness.store.tables.results import FeatureLabels
from tests.test_export import a_run, a_spec, call

SOURCES = {1: "gemma-2-2b/1-gemmascope-res-16k", 3: "gemma-2-2b/3-gemmascope-res-16k"}
SILENT = lambda line: None  # noqa: E731


def body(*descriptions, model="gpt-4o-mini"):
    told = [
        {"description": one, "explanationModelName": model, "scores": []} for one in descriptions
    ]
    return json.dumps({"modelId": "gemma-2-2b", "explanations": told}).encode()


class Server:
    """Neuronpedia on loopback. `answers` come in turn; then each feature is `about N`."""

    def __init__(self):
        self.answers, self.asked = [], []

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.asked.append((self.path, dict(self.headers)))
                about = body(f"about {self.path.rsplit('/', 1)[1]}")
                status, data, *more = server.answers.pop(0) if server.answers else (200, about)
                if status is None:  # hangs up
                    self.close_connection = True
                    return
                self.send_response(status)
                for key, value in {"Content-Length": str(len(data)), **dict(*more)}.items():
                    self.send_header(key, value)
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


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


@pytest.fixture(scope="module")
def finished(tmp_path_factory, root):
    """A run of the organism, as if Neuronpedia had its SAEs; the file and its id."""
    folder = tmp_path_factory.mktemp("labels")
    run_id = a_run(a_spec(folder, root), folder / "r.duckdb")
    with duckdb.connect(str(folder / "r.duckdb")) as connection:
        connection.execute("UPDATE runs SET neuronpedia = ?", [list(SOURCES.values())])
    return folder / "r.duckdb", run_id


@pytest.fixture
def db(finished, tmp_path):
    """A copy of it that a test may write to."""
    return shutil.copy(finished[0], tmp_path / "r.duckdb")


@pytest.fixture
def quick(monkeypatch):
    """The command waits for nothing."""
    monkeypatch.setattr("harness.reports.neuronpedia.Neuronpedia", partial(Neuronpedia, pause=0.0))


def stored(db):
    with Store.open_to_read(db) as store:
        rows = store.read(FeatureLabels).rows()
        return {(row["source"], row["feature"]): (row["label"], row["explainer"]) for row in rows}


def shown(db, run="latest"):
    with Store.open_to_read(db) as store:
        return shown_features(store, find_run(store, run))


# The connection


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


@pytest.mark.parametrize("said", ["", "soon", "-5", "Mon, 99 Nov 2026"])
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
        ((200, b"no gzip", {"Content-Encoding": "gzip"}), "its answer is damaged; try again"),
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


def test_wrong_settings_of_a_proxy_are_said(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "what://ever")
    with pytest.raises(CannotRun, match="correct the proxy's settings"), Neuronpedia():
        pass


# The command


def test_the_features_of_a_report_are_the_edited_and_the_strongest(db):
    found = shown(db)
    with Store.open_to_read(db) as store:
        edited = "SELECT DISTINCT layer, feature FROM interventions WHERE role = 'target'"
        edited = set(store.query(edited)[1])
        top = "SELECT layer, feature FROM top_features ORDER BY rank, layer, feature LIMIT 20"
        top = set(store.query(top)[1])
    assert len(found) == len(set(found))
    assert set(found) == edited | top
    assert set(found[: len(edited)]) == edited


def test_a_label_is_asked_for_once(server, db, quick):
    wanted = {(SOURCES[layer], feature) for layer, feature in shown(db)}
    first = call("label", "latest", "--db", db)
    assert first.exit_code == 0, first.output
    assert len(server.asked) == len(wanted) > 20
    assert stored(db) == {(s, f): (f"about {f}", "gpt-4o-mini") for s, f in wanted}
    for _, feature in shown(db):
        assert f"about {feature}" in first.stdout
    again = call("label", "few", "--db", db)
    assert again.stdout == first.stdout
    assert len(server.asked) == len(wanted)


def test_what_has_no_label_is_not_asked_for_again_but_where_it_is_asked(server, db, quick):
    count = len(shown(db))
    server.answers = [(404, b"")] * count
    assert call("label", "--db", db).exit_code == 0
    assert set(stored(db).values()) == {(None, None)}
    assert call("label", "--db", db).exit_code == 0
    assert len(server.asked) == count
    assert call("label", "--again", "--db", db).exit_code == 0
    assert len(server.asked) == 2 * count
    assert len(stored(db)) == count
    assert (None, None) not in stored(db).values()


def test_the_date_of_a_label_is_kept(server, db, quick):
    before = datetime.now(UTC)
    call("label", "--limit", 1, "--db", db)
    with Store.open_to_read(db) as store:
        ((at,),) = store.query("SELECT fetched_at FROM feature_labels")[1]
    assert before <= at <= datetime.now(UTC)


def test_a_limit_takes_the_first_and_the_same_command_goes_on(server, db, quick):
    features = shown(db)
    some = call("label", "--limit", 3, "--db", db)
    assert some.exit_code == 0
    assert f"{len(features) - 3} more were not asked for: run it again" in some.stderr
    assert set(stored(db)) == {(SOURCES[layer], feature) for layer, feature in features[:3]}
    rest = call("label", "--limit", 100, "--db", db)
    assert "more were not asked for" not in rest.stderr
    assert len(stored(db)) == len(server.asked) == len(features)


def test_what_was_fetched_before_a_failure_is_kept(server, db, quick):
    features = shown(db)
    server.answers = [(200, body("one")), (200, body("two")), (500, b"")]
    found = call("label", "--db", db)
    assert found.exit_code == 3
    assert "status 500; try again later; the 2 that came before are kept" in found.stderr
    assert len(stored(db)) == 2
    assert call("label", "--db", db).exit_code == 0
    assert len(server.asked) == 3 + len(features) - 2


def test_a_script_is_text_in_the_store_and_on_the_terminal(server, db, quick):
    script = "<script>alert(1)</script> [bold]'; DROP TABLE runs; --"
    server.answers = [(200, body(script))]
    found = call("label", "--limit", 1, "--db", db)
    assert script in found.stdout
    assert [label for label, _ in stored(db).values()] == [script]


def test_top_features_have_their_label_in_the_last_column(server, db, quick):
    """A label is of one SAE: another layer's feature of the same number has none of it."""
    call("label", "--db", db)
    labelled = set(shown(db))
    with Store.open_to_read(db) as store:
        names, rows = store.query("FROM top_features ORDER BY rank, layer, feature")
    assert names[-1] == "label"
    told = [dict(zip(names, row, strict=True)) for row in rows]
    for row in told:
        known = (row["layer"], row["feature"]) in labelled
        assert row["label"] == (f"about {row['feature']}" if known else None)
    numbers = [feature for _, feature in labelled]
    assert any(row["label"] is None and row["feature"] in numbers for row in told)
    found = call("sql", "top_features", "--run", "latest", "--format", "json", "--db", db)
    rows = json.loads(found.stdout)
    assert list(rows[0])[-1] == "label"
    assert rows[0]["label"] == f"about {rows[0]['feature']}"


def test_a_run_whose_features_have_no_pages_is_refused_and_nothing_is_asked(server, db):
    for nothing in ([None, None], None):
        with duckdb.connect(str(db)) as connection:
            connection.execute("UPDATE runs SET neuronpedia = ?", [nothing])
        found = call("label", "--db", db)
        assert found.exit_code == 2
        assert "Neuronpedia has no pages of its SAEs" in found.stderr
        assert "Traceback" not in found.output
    assert not server.asked


def test_layers_without_pages_are_left_out(server, db, quick):
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE runs SET neuronpedia = ?", [[None, SOURCES[3]]])
    features = shown(db)
    found = call("label", "--db", db)
    assert found.exit_code == 0, found.output
    missing = sum(layer == 1 for layer, _ in features)
    assert missing
    assert f"{missing} features are of SAEs that Neuronpedia has no pages of" in found.stderr
    assert {source for source, _ in stored(db)} == {SOURCES[3]}


def test_a_run_without_features_is_refused(db, asked):
    with duckdb.connect(str(db)) as connection:
        connection.execute("DELETE FROM feature_tests; DELETE FROM interventions")
    with Store.open(db) as store, pytest.raises(InputError, match="it shows no feature"):
        label_features(store, find_run(store, "latest"), asked, limit=1, again=False, say=SILENT)


def test_a_file_and_a_run_that_are_not_there_are_refused(tmp_path, db):
    assert call("label", "--db", tmp_path / "none.duckdb").exit_code == 3
    assert not (tmp_path / "none.duckdb").exists()
    assert call("label", "nothing", "--db", db).exit_code == 2


def test_labels_come_along_with_the_runs_of_another_file(server, db, quick, tmp_path):
    call("label", "--db", db)
    there = stored(db)
    here = tmp_path / "here.duckdb"
    key = next(iter(there))
    with Store.open(here) as store:
        mine = dict(zip(("source", "feature"), key, strict=True))
        mine |= {"label": "mine", "explainer": None, "fetched_at": datetime.now(UTC)}
        store.put_labels(FeatureLabels.of([mine]))
    found = call("import", db, "--db", here)
    assert found.exit_code == 0, found.output
    assert stored(here) == there | {key: ("mine", None)}
