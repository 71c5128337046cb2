"""Large files of the hub, in a partial file that the next process goes on with.

`huggingface_hub` throws away what a download that was cut has got, so that gigabytes begin anew.
"""

import hashlib
import time
from pathlib import Path
from typing import Any

from filelock import FileLock
from huggingface_hub import constants, get_session
from huggingface_hub.errors import (  # type: ignore[attr-defined] # HTTPError is its client's
    HfHubHTTPError,
    HTTPError,
)
from huggingface_hub.file_download import HfFileMetadata
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
)

from harness.models.hub_client import of_size
from harness.models.waiting import Amount

TRIES = 5  # without a byte between them
PARTIAL = 206  # the status of an answer that begins where it was asked to


def download_blob(url: str, about: HfFileMetadata, blob: Path, amount: Amount) -> None:
    """The file at `url` to `blob`, whole or not at all; `about` is what the hub says of it.

    A file whose SHA-256 is `about.etag`: what came of it before is kept beside the blob, and is asked
    for no more. Raises `OSError` where what came is another file, and what the client raises.
    """
    part = blob.with_name(f"{blob.name}.partial")
    blob.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(part.with_suffix(".partial-lock")):
        if blob.exists():
            return
        amount.total = about.size
        left = TRIES
        while not _is_whole(part, amount):
            before = amount.done
            try:
                _go_on(url, part, amount)
            except HTTPError as error:
                left = TRIES if amount.done > before else left - 1
                if left == 0 or isinstance(error, HfHubHTTPError):
                    raise
                time.sleep(1)
            else:
                if amount.total is not None and amount.done != amount.total:
                    part.unlink()
                    what = f"{amount.done} bytes came where the hub says {amount.total}"
                    raise OSError(what)
                amount.total = amount.done
        check_blob(part, about.etag)
        part.replace(blob)


def check_blob(file: Path, sha256: str | None = None) -> None:
    """See that a file has the SHA-256 that it is named by, or this one.

    Removes it and raises `OSError` where it has another.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != (sha256 or file.name):
        file.unlink()
        raise OSError("what came is not what the hub has the SHA-256 of")


def _is_whole(part: Path, amount: Amount) -> bool:
    amount.done = part.stat().st_size if part.exists() else 0
    if amount.total is None or amount.done <= amount.total:
        return amount.done == amount.total
    part.unlink()
    amount.done = 0
    return False


def _go_on(url: str, part: Path, amount: Amount) -> None:
    """Append what is missing of it; all of it where the hub sends all."""
    headers: dict[str, Any] = build_hf_headers()
    headers["Accept-Encoding"] = "identity"
    if amount.done:
        headers["Range"] = f"bytes={amount.done}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    size = of_size(amount.total)
    with get_session().stream(
        "GET", url, headers=headers, timeout=timeout, follow_redirects=True, extensions=size
    ) as answer:
        hf_raise_for_status(answer)
        goes_on = amount.done and answer.status_code == PARTIAL
        amount.done = amount.done if goes_on else 0
        with part.open("ab" if goes_on else "wb", buffering=0) as file:
            for block in answer.iter_bytes():
                file.write(block)
                amount.done += len(block)
                if amount.total is not None and amount.done > amount.total:
                    break
