"""The connection to the hub that the library uses: what a hub says is checked before it is heeded.

`huggingface_hub` names files by what the headers of an answer say, waits as long as they say and, for
Xet, sends the token where they say. A hub or mirror may say anything.
"""

import errno
import os
import re
from functools import cache

import httpx2
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from harness.errors import CannotRun, Fault
from harness.models.answer_limits import NO_CLIENT, bound, why_no_client
from harness.models.hub_settings import COMMIT, cache_folder, free_bytes
from harness.urls import NO_ADDRESS

ANSWER, ANSWER_SECONDS = 64_000_000, 60.0  # bytes and time of what is no file: a list, an error
UNSAID = 1_000_000_000  # bytes of a file whose size nobody says
STALL, SLOWEST = 300.0, 1000.0  # a file may stall so many seconds, beside so many bytes a second

# Of the headers that the library heeds, how each must look: any other is as if it had not come.
_WAIT = r"[1-3]?\d{1,2}"  # seconds: the hub counts requests in windows of 300
_NAME = r'(W/)?"?[A-VX-Za-z0-9][A-Za-z0-9_-]{0,199}"?'
_FIT = {
    "X-Repo-Commit": COMMIT,  # names folders and, in `refs`, is written
    "X-Linked-Etag": _NAME,  # names files
    "ETag": _NAME,
    "X-Linked-Size": r"\d{1,18}",
    "Retry-After": _WAIT,
    "RateLimit": rf"[^;]*;\s*r=\d{{1,9}}\s*;\s*t={_WAIT}",
    "X-Xet-Hash": "",  # never: downloads are made by HTTP, from the hub and where it sends them
}


@cache
def use_checked_client() -> None:
    """Let the library ask by `checked_client` from now on: once a process, before the first question."""
    set_client_factory(checked_client)


def checked_client() -> httpx2.Client:
    """The library's own client, which heeds no more than it should. Raises `CannotRun`."""
    if constants.ENDPOINT == NO_ADDRESS:
        remedy = "unset it, or set one such as https://huggingface.co"
        raise CannotRun(Fault("HF_ENDPOINT", "it is no address of a hub", remedy))
    try:
        client = default_client_factory()
    except NO_CLIENT as error:
        what = f"no connection can be made: {why_no_client(error)}"
        remedy = "correct the proxy's settings, or SSL_CERT_FILE"
        raise CannotRun(Fault("the hub", what, remedy)) from None
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], _keep_token, _ask_plainly],
        "response": [*hooks["response"], _drop_unfit_headers, _bound_body],
    }
    return client


def of_size(size: int | None) -> dict[str, int | None]:
    """What a request for a file of this size has for extensions: it holds where the answer says none."""
    return {"size": size}


def _keep_token(request: httpx2.Request) -> None:
    """A token goes to the hub that is configured, and to no host that it names."""
    if request.url.origin != httpx2.URL(constants.ENDPOINT).origin:
        request.headers.pop("authorization", None)


def _ask_plainly(request: httpx2.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"
    path = request.url.path
    # Kept where it is sent on.
    request.extensions.setdefault("of_file", "/api/models/" not in path or "/resolve/" in path)


def _drop_unfit_headers(response: httpx2.Response) -> None:
    for name, pattern in _FIT.items():
        if name in response.headers and not re.fullmatch(pattern, response.headers[name]):
            del response.headers[name]


def _bound_body(response: httpx2.Response) -> None:
    asked = response.request
    if asked.method == "HEAD":
        return
    if not (response.is_success and asked.extensions["of_file"]):
        bound(response, ANSWER, ANSWER_SECONDS)
        return
    said = response.headers.get("Content-Length", "")
    size = int(said) if re.fullmatch(r"\d{1,18}", said) else asked.extensions.get("size") or UNSAID
    if said and size > free_bytes(cache_folder()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    bound(response, size, STALL, SLOWEST)
