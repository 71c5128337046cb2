"""A hub that lies: its headers name no files, and it hears of no token that is not its own."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from huggingface_hub import constants

from harness.models import hub_client, hub_download
from tests.helpers.hub import PLAIN, assert_refused, child
from tests.helpers.hub_server import Trouble

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
