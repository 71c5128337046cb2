"""Files of a hub that answers, refuses, stalls, breaks off, or is not there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.models.checksums import digest_of
from tests.helpers.hub import (
    BIG,
    LARGE,
    LIST,
    MODEL,
    NOBODY,
    PLAIN,
    answer_of,
    assert_refused,
    child,
)
from tests.helpers.hub_server import Hub, Repo, Trouble


@pytest.mark.parametrize(
    "code, token, said",
    [
        (
            "hub.fetch('lab/gated', 'config.json', 'main')",
            "",
            "lab/gated: it is gated and no token is set here; accept its terms on the hub, then `hf auth",
        ),
        (
            "hub.fetch('lab/gated', 'config.json', 'main')",
            "other",
            "lab/gated: it is gated and this token has no access to it; accept its terms",
        ),
        (
            "hub.fetch('lab/private', 'config.json', 'main')",
            "",
            "the hub knows no such repository, or not without a token; check the name, or log in",
        ),
        (
            "hub.fetch('lab/none', 'config.json', 'main')",
            "other",
            "lab/none: the hub knows no such repository; check the name",
        ),
        ("hub.files_of('lab/none', 'main')", "", "lab/none: the hub knows no such repository, or"),
        ("hub.fetch('lab/model', 'config.json', 'v9')", "", "it has no revision v9; name another"),
        ("hub.files_of('lab/model', 'v9')", "", "lab/model: it has no revision v9; name another"),
        (
            "hub.fetch('lab/model', 'x.npz', 'main')",
            "",
            "it has no x.npz at revision main; name another",
        ),
        ("hub.fetch('a/b/c', 'x', 'main')", "", "a/b/c: it is neither a folder here nor a repo"),
        ("hub.fetch_if_any('-x-', 'x', 'main')", "", "-x-: it is neither a folder here nor a repo"),
        (
            "hub.files_of('a/b/c', 'main')",
            "",
            "a/b/c: it is neither a folder here nor a repository",
        ),
        ("model(model='lab/nowhere/else')", "", "it is neither a folder here nor a repository"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_sentence(tmp_path, hub, code, token, said):
    more = {"HF_TOKEN": token} if token else {}
    assert_refused(child(code, tmp_path, hub, **more), said)


@pytest.mark.parametrize("name", ["gated", "private"])
def test_a_token_with_access_opens_the_gate(tmp_path, hub, name):
    code = f"hub.fetch('lab/{name}', 'config.json', 'main').read_text()"
    assert answer_of(child(code, tmp_path, hub, HF_TOKEN="good")) == "{}"


@pytest.mark.parametrize("code", [PLAIN, LIST])
def test_an_invalid_token_is_named(tmp_path, hub, code):
    assert_refused(
        child(code, tmp_path, hub, HF_TOKEN="expired"),
        "the hub does not accept this token",
        "hf auth login",
    )


def test_a_token_without_the_right_is_named(tmp_path, hub):
    """A fine-grained token may lack the right to read gated repositories: 403 without a code."""
    hub.trouble["*"] = Trouble(status=403, message="Please enable access to public gated repos")
    assert_refused(child(PLAIN, tmp_path, hub, HF_TOKEN="good"), "config.json to this token; ")


def test_a_download_that_was_cut_once_goes_on(tmp_path, hub, folders):
    hub.trouble["big.bin"] = Trouble(cut=BIG - 1_000_000, method="GET", times=1)
    path = answer_of(child(LARGE, tmp_path, hub))
    first, second = hub.requests("GET", "big.bin")
    assert (first.range, second.range) == (None, f"bytes={BIG - 1_000_000}-")
    assert digest_of(Path(path)) == digest_of(folders / "large" / "big.bin")


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_is_always_cut_is_said_and_can_be_made_again(tmp_path, hub, folders, reset):
    hub.trouble["big.bin"] = Trouble(cut=BIG - 1_000_000, reset=reset, method="GET")
    code = f"({PLAIN}, {LARGE})[1]"
    assert_refused(
        child(code, tmp_path, hub),
        "lab/large: big.bin could not be fetched whole: ",
        "Connection reset by peer" if reset else "peer closed connection",
        "; run it again: what has come is kept",
    )
    hub.trouble.clear()
    hub.forget()
    path = answer_of(child(code, tmp_path, hub))
    assert digest_of(Path(path)) == digest_of(folders / "large" / "big.bin")
    # Neither what came whole nor what came of a file that was cut is asked for again.
    assert not hub.requests("GET", "config.json")
    assert 0 < hub.bytes_of("big.bin") <= BIG // 2  # of a reset the last bytes may be lost


@pytest.mark.parametrize(
    "code, trouble, said",
    [
        (PLAIN, Trouble(sleep=30), ("does not answer in time", "0.2 s with HF_HUB_ETAG_TIMEOUT")),
        (
            PLAIN,
            Trouble(sleep=30, method="GET"),
            ("config.json stopped coming from ", "0.2 s with HF_HUB_DOWNLOAD_TIMEOUT"),
        ),
        (
            LARGE,
            Trouble(stall=BIG - 1_000_000, method="GET"),
            ("big.bin stopped coming from ", "0.2 s with HF_HUB_DOWNLOAD_TIMEOUT"),
        ),
        (PLAIN, Trouble(status=500), ("config.json is not in the cache", "answers 500; try again")),
        (
            PLAIN,
            Trouble(status=429),
            ("answers 429; try again later, or sooner with a token: `hf",),
        ),
        (
            PLAIN,
            Trouble(status=404),
            ("has no such repository or revision, or not config.json in",),
        ),
        (LIST, Trouble(status=404), ("or not its list of files in it; check the names",)),
        (PLAIN, Trouble(status=451), ("refuses config.json with status 451; check the names",)),
        (LIST, Trouble(sleep=30), ("its list of files is not", "does not answer in time")),
        (LARGE, Trouble(change="byte"), ("could not be fetched whole: what came is not what",)),
        (LARGE, Trouble(change="size"), ("12000007 bytes came where the hub says 12000000",)),
        (PLAIN, Trouble(status=500, method="GET"), ("'500 Internal Server Error'", "run it again")),
        (
            LIST,
            Trouble(status=500),
            ("its list of files is not in the cache", "answers 500; try again"),
        ),
    ],
    ids=[
        "slow",
        "slow file",
        "stalled",
        "500",
        "429",
        "404",
        "404 on the list",
        "451",
        "slow list",
        "other bytes",
        "more bytes",
        "500 on the file",
        "500 on the list",
    ],
)
def test_a_hub_that_fails_is_said_in_a_sentence(tmp_path, hub, code, trouble, said):
    hub.trouble["*"] = trouble
    assert_refused(child(f"impatient() or {code}", tmp_path, hub), *said)


@pytest.mark.parametrize("code", [PLAIN, MODEL, "hub.fetch_if_any('lab/model', 'x', 'main')"])
def test_a_hub_that_is_not_there_is_said_in_a_sentence(tmp_path, code):
    assert_refused(
        child(code, tmp_path, NOBODY), f"{NOBODY} cannot be reached; go online", "HF_ENDPOINT"
    )


@pytest.mark.parametrize("more", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_a_list_that_cannot_be_had_is_no_broken_download(tmp_path, more):
    found = child(LIST, tmp_path, NOBODY, **more)
    assert_refused(found, "HF_HUB_OFFLINE is set" if more else f"{NOBODY} cannot be reached")
    assert "fetched whole" not in found.stderr


def test_what_is_no_hub_is_named(tmp_path, hub):
    hub.trouble["*"] = Trouble(bare=True)
    assert_refused(child(PLAIN, tmp_path, hub), "does not answer like a hub; correct HF_ENDPOINT")


def test_offline_nothing_is_asked_and_the_cache_is_enough(tmp_path, hub):
    assert_refused(
        child(MODEL, tmp_path, hub, HF_HUB_OFFLINE="1"),
        "lab/model: config.json is not in the cache and HF_HUB_OFFLINE is set; unset it once",
    )
    assert not hub.asked
    first = answer_of(child(MODEL, tmp_path, hub))
    hub.forget()
    assert answer_of(child(MODEL, tmp_path, hub, HF_HUB_OFFLINE="1")) == first
    assert not hub.asked


def test_a_full_disk_is_said_in_a_sentence(tmp_path, hub):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be made here")
    try:
        assert_refused(
            child(LARGE, disk, hub),
            f"lab/large: there is no room for big.bin in {disk}",
            "name another folder with HF_HOME",
        )
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_comes_slowly_is_told_in_lines_and_so_is_what_does_not_come(tmp_path, hub):
    hub.trouble["big.bin"] = Trouble(stall=BIG - 1_000_000, method="GET", times=1)
    found = child(f"eager() or {LARGE}", tmp_path, hub)
    assert found.returncode == 0, found.stderr
    lines = found.stderr.splitlines()
    assert lines
    told = r"  fetching big\.bin of lab/large(, \d+ of 12 MB)? \(\d+ s\)"
    assert all(re.fullmatch(told, line) for line in lines)
    assert any(", 11 of 12 MB" in line for line in lines)


def test_a_download_goes_to_another_host_without_the_token(tmp_path, hub, folders):
    with Hub({"lab/large": Repo(folders / "large")}) as other:
        hub.trouble["big.bin"] = Trouble(elsewhere=other.endpoint, method="GET")
        path = answer_of(child(LARGE, tmp_path, hub, HF_TOKEN="good"))
    assert digest_of(Path(path)) == digest_of(folders / "large" / "big.bin")
    assert (hub.bytes_of("big.bin"), other.bytes_of("big.bin")) == (0, BIG)
    assert [asked.token for asked in other.requests("GET")] == [""]


def test_the_last_list_of_a_branch_serves_where_the_hub_cannot_be_asked(tmp_path, hub):
    first = answer_of(child(LIST, tmp_path, hub))
    assert "model.safetensors" in first
    assert answer_of(child(LIST, tmp_path, NOBODY)) == first
    assert answer_of(child(LIST, tmp_path, NOBODY, HF_HUB_OFFLINE="1")) == first
    # What the hub says to it counts more than what it said before.
    hub.trouble["*"] = Trouble(status=404)
    assert_refused(child(LIST, tmp_path, hub), "has no such repository")
