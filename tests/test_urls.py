"""Addresses are shown without what in them may be a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import Fault
from harness.urls import is_web_address, shown_url, without_secrets
from tests.helpers.hub import PLAIN, child

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url, shown",
    [
        (f"https://user:{SECRET}@host/a", "https://host/a"),
        (f"https://{SECRET}@host:8/a?token={SECRET}#{SECRET}", "https://host:8/a"),
        (f"http://user:{SECRET}/with@slash@host/", "http://host/"),
        (f"socks5://u:{SECRET}@[::1]:9", "socks5://[::1]:9"),
        (f"user:{SECRET}@host", "host"),
        ("https://huggingface.co", "https://huggingface.co"),
        ("http://127.0.0.1:8000/api", "http://127.0.0.1:8000/api"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url, shown):
    assert shown_url(url) == shown


def test_addresses_within_a_text_are_shown_so_too():
    text = f"cannot reach 'https://me:{SECRET}@hub/x?key={SECRET}': refused (see https://hub/doc)."
    assert without_secrets(text) == "cannot reach 'https://hub/x': refused (see https://hub/doc)."
    fault = Fault("https://a:b@hub", "it says http://c:d@e/", "try ftp://f:g@h")
    assert str(fault) == "https://hub: it says http://e/; try ftp://h"


@given(st.text("abc:/?#@[]%.", max_size=12))
def test_a_password_is_never_shown(password):
    assert SECRET not in without_secrets(f"at https://user:{SECRET}{password}@host/path now")


def test_what_is_no_web_address():
    for url in (
        "ftp://h",
        "http://",
        "https://h:99999",
        "http://a b",
        "http://h\n",
        "hub",
        "http://[::",
    ):
        assert not is_web_address(url), url
    assert is_web_address("https://hub.example:8443/sub")


@pytest.mark.parametrize("variable", ["HF_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"])
def test_no_password_of_an_endpoint_or_a_proxy_is_printed(tmp_path, variable):
    asked = child(f"impatient() or {PLAIN}", tmp_path, "http://127.0.0.1:9",
                  **{variable: f"http://user:{SECRET}@127.0.0.1:9"})  # fmt: skip
    assert asked.returncode == 3, asked.stderr
    assert SECRET not in asked.stderr + asked.stdout


@pytest.mark.parametrize("address", ["ftp://x", "http://", "https://h:99999", "a b"])
def test_an_endpoint_that_is_no_address_is_named(tmp_path, address):
    asked = child(PLAIN, tmp_path, address)
    assert asked.returncode == 3, asked.stderr
    assert "HF_ENDPOINT" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_a_proxy_of_an_unknown_kind_is_said(tmp_path):
    asked = child(
        PLAIN, tmp_path, "http://127.0.0.1:9", ALL_PROXY=f"foo://u:{SECRET}@x", NO_PROXY=""
    )
    assert asked.returncode == 3, asked.stderr
    assert "no connection can be made" in asked.stderr
    assert SECRET not in asked.stderr
