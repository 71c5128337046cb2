"""A hub that lies: its headers name no files, and it hears of no token that is not its own."""

import gzip
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count, repeat
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from huggingface_hub import constants

from harness.errors import CannotRun
from harness.models import hub_client, hub_download
from harness.models.answer_limits import UnfitAnswer, bound, within
from tests.helpers.hub import PLAIN, assert_refused, child
from tests.helpers.hub_server import Hub, Trouble

ODD = (
    "../../../../../../made",
    "/tmp/made",
    "a/b",
    "..",
    ".",
    "",
    "a" * 300,
    "\x7f",
    "a b",
    "C:made",
)


@pytest.mark.parametrize("method", [None, "HEAD"])
@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
def test_a_mirrors_headers_do_not_become_names_of_files(tmp_path, hub, header, method):
    """Nor where it answers as it should the first time, and otherwise when it is asked again."""
    home = tmp_path / "deep" / "deeper" / "home"
    for odd in ("../../../../../../made", "/tmp/made" if header == "ETag" else "a" * 300):
        hub.trouble["config.json"] = Trouble(
            headers={header: f'"{odd}"' if "tag" in header.lower() else odd}, method=method
        )
        if header == "X-Linked-Etag":  # the file's own is there beside it
            assert child(PLAIN, home, hub).returncode == 0
            shutil.rmtree(home)
        else:
            assert_refused(child(PLAIN, home, hub), "does not answer like a hub")
    assert {path.name for path in tmp_path.rglob("*")} <= {
        "deep",
        "deeper",
        "home",
        "hub",
        ".locks",
    }
    assert not Path("/tmp/made").exists()


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_name_of_a_file_is_as_if_it_had_not_come(odd):
    for header in ("x-repo-commit", "etag", "x-linked-etag"):
        answer = httpx2.Response(200, headers={header: odd.encode()})
        hub_client._drop_unfit_headers(answer)
        assert header not in answer.headers


def test_right_headers_are_right():
    right = {
        "etag": 'W/"' + "0" * 40 + '"',
        "x-linked-etag": f'"{"a" * 64}"',
        "x-repo-commit": "0" * 40,
    }
    answer = httpx2.Response(200, headers=right)
    hub_client._drop_unfit_headers(answer)
    assert dict(answer.headers) == right


def test_a_commit_of_what_does_not_exist_is_no_path_either(tmp_path, hub):
    hub.trouble["config.json"] = Trouble(status=404, headers={"X-Repo-Commit": "../../../../made"})
    assert_refused(child(PLAIN, tmp_path / "home", hub), "config.json")
    assert not [path for path in tmp_path.rglob("*") if path.name in ("made", "config.json")]


def test_a_list_names_no_files_outside_of_its_repository(monkeypatch):
    names = ["a/b.npz", "../c.npz", "/d.npz", "a/../../e", "f\\\\..\\\\g", "h\0"]
    about = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])
    monkeypatch.setattr(hub_download.HfApi, "model_info", lambda *_, **__: about)
    assert hub_download._names_on_hub("lab/model", "main") == ("a/b.npz",)


def test_a_token_goes_to_the_configured_hub_alone():
    client = hub_client.checked_client()
    seen = []
    client._transport = httpx2.MockTransport(
        lambda request: seen.append(request) or httpx2.Response(200, request=request)
    )
    for url in (
        f"{constants.ENDPOINT}/api/x",
        "http://127.0.0.1:9/api/x",
        f"{constants.ENDPOINT}.evil.example/x",
    ):
        client.get(url, headers={"authorization": "Bearer hf_secret"})
    assert [request.headers.get("authorization") for request in seen] == [
        "Bearer hf_secret",
        None,
        None,
    ]


@pytest.mark.parametrize("endpoint", ["https://hub.example:443", "https://me:pw@Hub.Example/sub"])
def test_the_configured_hub_is_known_in_every_spelling(monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    request = httpx2.Request("GET", "https://hub.example/x", headers={"authorization": "Bearer t"})
    hub_client._keep_token(request)
    assert request.headers["authorization"] == "Bearer t"


# A file that the library fetches itself: its ETag is no SHA-256.
BY_LIBRARY = {"ETag": f'"{"a" * 40}"'}


def test_a_hub_sends_no_one_to_a_host_for_xet(tmp_path, hub):
    with Hub({}) as other:
        xet = {"X-Xet-Hash": "a" * 64, "X-Xet-Refresh-Route": f"{other.endpoint}/api/models/x/y"}
        hub.trouble["config.json"] = Trouble(headers=BY_LIBRARY | xet)
        asked = child(PLAIN, tmp_path, hub, HF_TOKEN="good")
    assert asked.returncode == 0, asked.stderr
    assert not other.asked


@pytest.mark.parametrize("method", ["HEAD", "GET", None])
def test_a_redirect_takes_no_token_elsewhere(tmp_path, hub, method):
    with Hub(hub.repositories) as other:
        hub.trouble["config.json"] = Trouble(elsewhere=other.endpoint, method=method)
        child(PLAIN, tmp_path, hub, HF_TOKEN="good")
    assert {one.token for one in hub.asked} == {"good"}
    assert not [one for one in other.asked if one.token]


def test_what_the_library_fetches_itself_is_held_against_its_hash(tmp_path, hub):
    """A hub could say one thing to our question and another to the library's."""
    hub.trouble["config.json"] = Trouble(change="byte", method="GET")
    silent = "hub.__dict__.update(get_hf_file_metadata=lambda *_, **__: (_ for _ in ()).throw("
    silent += f"hub.EntryNotFoundError())) or {PLAIN}"
    for _ in range(2):  # nor is it found in the cache the next time
        assert_refused(child(silent, tmp_path, hub), "what came is not what the hub has")


def answering(handler):
    """The checked client, before a server that answers so."""
    client = hub_client.checked_client()
    client._transport = httpx2.MockTransport(handler)
    return client


class Endless(httpx2.SyncByteStream):
    def __iter__(self):
        return repeat(b"x" * 1000)


@pytest.mark.parametrize(
    "path, status",
    [("api/models/a/b", 200), ("a/b/resolve/main/c", 500), ("a/b/resolve/main/c", 200)],
)
def test_an_endless_answer_ends(monkeypatch, path, status):
    monkeypatch.setattr(hub_client, "ANSWER", 5000)
    monkeypatch.setattr(hub_client, "UNSAID", 5000)
    client = answering(lambda _: httpx2.Response(status, stream=Endless()))
    with pytest.raises(UnfitAnswer, match="sends more than 5000 bytes"):
        client.get(f"{constants.ENDPOINT}/{path}")


def test_what_is_compressed_is_not_unpacked():
    packed = gzip.compress(b"0" * 10_000_000)
    client = answering(
        lambda _: httpx2.Response(200, headers={"Content-Encoding": "gzip"}, content=packed)
    )
    with pytest.raises(UnfitAnswer, match="compressed"):
        client.get(f"{constants.ENDPOINT}/api/models/a/b")


def test_more_than_the_disk_holds_is_not_begun():
    client = answering(
        lambda _: httpx2.Response(
            200, headers={"Content-Length": "9" * 18}, stream=httpx2.ByteStream(b"x")
        )
    )
    with pytest.raises(OSError, match="No space left"):
        client.get(f"{constants.ENDPOINT}/a/b/resolve/main/c")


def test_what_drips_ends():
    ticks = count()
    answer = httpx2.Response(200, stream=Endless())
    bound(answer, 10**9, seconds=3, slowest=10_000, clock=lambda: float(next(ticks)))
    with pytest.raises(UnfitAnswer, match="sends only 4000 bytes in 3 s"):
        answer.read()
    with pytest.raises(UnfitAnswer, match=r"not answered in full after 0\.01 s"):
        within(0.01, threading.Event().wait)
    with pytest.raises(KeyError):
        within(5, lambda: {}["what it raises itself"])


@pytest.mark.parametrize("said", ["inf", "99999", "9" * 5000, "-1", "1e9"])
def test_a_hub_cannot_ask_to_wait_for_long(said):
    headers = {"Retry-After": said, "RateLimit": f'"api";r=0;t={said}'}
    answer = httpx2.Response(429, headers=headers)
    hub_client._drop_unfit_headers(answer)
    assert not answer.headers
    answer = httpx2.Response(429, headers={"RateLimit": '"api";r=0;t=300', "Retry-After": "60"})
    hub_client._drop_unfit_headers(answer)
    assert len(answer.headers) == 2


@pytest.mark.parametrize("error", [KeyError, TypeError, RecursionError, ValueError])
def test_a_list_of_another_form_is_said(monkeypatch, error):
    def stumble(*_, **__):
        raise error

    monkeypatch.setattr(hub_download.HfApi, "model_info", stumble)
    with pytest.raises(CannotRun, match="does not answer like a hub"):
        hub_download.files_of.__wrapped__("lab/odd", "main")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a//b", "a\\b", "", "a\n", "x" * 300])
def test_no_file_and_no_revision_is_asked_for_that_leads_elsewhere(name):
    for ask in (hub_download.fetch, hub_download.fetch_if_any):
        for names in ((name, "main"), ("config.json", name)):
            with pytest.raises(CannotRun, match="is no file or revision of a repository"):
                ask("lab/model", *names)
    assert hub_download.cached("lab/model", name, "main") is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="a certificate is made by openssl")
def test_a_certificate_that_is_not_trusted_is_said(tmp_path):
    key, own = tmp_path / "key.pem", tmp_path / "own.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    make += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(own)]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.handle_error = lambda *_: None  # a client that hangs up is no news
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        asked = child(PLAIN, tmp_path, f"https://localhost:{server.server_address[1]}")
        server.shutdown()
        thread.join()
    assert_refused(asked, "the certificate of https://localhost", "with SSL_CERT_FILE")


def test_a_host_without_a_name_server_is_said(tmp_path):
    asked = child(f"impatient() or {PLAIN}", tmp_path, "http://nowhere.invalid")
    assert_refused(asked, "http://nowhere.invalid cannot be reached; go online")
