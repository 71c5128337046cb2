"""Files of the hub: from its cache, or downloaded, where what was cut off is taken up."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from huggingface_hub import (
    _CACHED_NO_EXIST,
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (  # type: ignore[attr-defined] # HTTPError is its client's
    EntryNotFoundError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from harness.errors import CannotRun, Fault
from harness.models.answer_limits import within
from harness.models.hub_client import ANSWER_SECONDS
from harness.models.hub_errors import Unreachable, explain_hub_errors
from harness.models.hub_settings import COMMIT, LIST, cache_folder, is_offline
from harness.models.partial_downloads import check_blob, download_blob
from harness.models.waiting import waiting_for
from harness.paths import is_beside, whole_file

SHA256 = r"[0-9a-f]{64}"  # the ETag of a large file; of a small one it is git's own hash
Answer = TypeVar("Answer")


def fetch(repository: str, name: str, revision: str) -> Path:
    """A file of a repository, from the cache or the hub; a connection that is cut is taken up.

    Raises `CannotRun`, in one sentence, where it cannot be had.
    """
    _check_names(repository, revision, name)
    with explain_hub_errors(repository, revision, name):
        return _download(repository, name, revision)


def fetch_if_any(repository: str, name: str, revision: str) -> Path | None:
    """The same, and None where the repository does not have the file."""
    _check_names(repository, revision, name)
    with explain_hub_errors(repository, revision, name):
        # What a commit is known not to have is not asked for again.
        if _looked_up(repository, name, revision) is _CACHED_NO_EXIST:
            return None
        try:
            return _download(repository, name, revision)
        except EntryNotFoundError as error:
            # Offline, a file that was never asked for counts as one that does not exist.
            if isinstance(error, LocalEntryNotFoundError) and not is_offline():
                raise
            return None


@cache
def files_of(repository: str, revision: str) -> Sequence[str]:
    """The names of a repository's files; what names none, such as `../x`, is left out.

    Those of a commit are kept, for they never change. Those of a branch are asked for, and the last
    ones are taken where the hub cannot be asked. Raises `CannotRun`.
    """
    _check_names(repository, revision)
    lists = Path(constants.HF_HOME) / "misconception-harness" / repository
    list_file = lists / f"{quote(revision, safe='')}.json"
    kept = _names_in(list_file)
    if kept is not None and re.fullmatch(COMMIT, revision):
        return kept
    try:
        with (
            explain_hub_errors(repository, revision, LIST),
            waiting_for(f"asking for {LIST} of {repository}"),
        ):
            found = _names_on_hub(repository, revision)
    except Unreachable:
        if kept is None:
            raise
        return kept
    # Where it cannot be kept, it is asked for again the next time.
    with suppress(OSError), whole_file(list_file) as part:
        part.write_text(json.dumps(found), encoding="utf-8")
    return found


def _ask(question: Callable[..., Answer]) -> Answer:
    wait = float(constants.HF_HUB_ETAG_TIMEOUT)
    return within(ANSWER_SECONDS + 2 * wait, lambda: question(timeout=wait))


def _names_on_hub(repository: str, revision: str) -> tuple[str, ...]:
    # Of the library's ways to have the names this one can be told how long to wait.
    about = _ask(partial(HfApi().model_info, repository, revision=revision))
    return tuple(filter(is_beside, (one.rfilename for one in about.siblings or ())))


def _names_in(list_file: Path) -> tuple[str, ...] | None:
    with suppress(OSError, ValueError, TypeError):  # not kept, or not whole: it is asked for
        return tuple(filter(is_beside, json.loads(list_file.read_text(encoding="utf-8"))))
    return None


def _check_names(repository: str, *names: str) -> None:
    """Folders and files are named by these. Raises `CannotRun` where they could be others' files."""
    for name in names:
        if not is_beside(name):
            what = f"{name!r:.80} is no file or revision of a repository"
            raise CannotRun(Fault(repository, what, "correct the name"))


def cached(repository: str, name: str, revision: str) -> Path | None:
    """A file that is in the cache; asks no network."""
    if not (is_beside(name) and is_beside(revision)):
        return None
    try:
        found = _looked_up(repository, name, revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _download(repository: str, name: str, revision: str) -> Path:
    if isinstance(_looked_up(repository, name, revision), str) or is_offline():
        return Path(hf_hub_download(repository, name, revision=revision))
    whole: Path | None = None
    with waiting_for(f"fetching {name} of {repository}") as amount:
        # Asked first, and once: the library would try a silent hub for minutes without a word.
        url = hf_hub_url(repository, name, revision=revision)
        try:
            about = _ask(partial(get_hf_file_metadata, url))
        except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError):
            pass  # said again below, where the library notes what does not exist
        except (HTTPError, OSError) as error:
            raise LocalEntryNotFoundError(str(error)) from error
        else:
            if about.commit_hash and re.fullmatch(SHA256, about.etag or ""):
                folder = repo_folder_name(repo_id=repository, repo_type="model")
                blob = cache_folder() / folder / "blobs" / str(about.etag)
                download_blob(url, about, blob, amount)
                whole = blob.resolve()
        # The library finds a file that came whole, and names it by its commit.
        path = Path(hf_hub_download(repository, name, revision=revision))
        # It asks again, and fetches itself what it is then told of: another file, perhaps.
        if re.fullmatch(SHA256, path.resolve().name) and path.resolve() != whole:
            check_blob(path.resolve())
        return path


def _looked_up(repository: str, name: str, revision: str) -> object:
    return try_to_load_from_cache(repository, name, revision=revision)


def commit_of(path: Path) -> str | None:
    """The commit that a file of the cache belongs to; None for any other file."""
    parts = path.parts
    if "snapshots" not in parts:
        return None
    commit = parts[parts.index("snapshots") + 1]
    return commit if re.fullmatch(COMMIT, commit) else None
