"""Files of the hub: from its cache, or downloaded, where a connection that was cut is taken up."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

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

from harness.models.hub_errors import explain_hub_errors
from harness.models.hub_settings import COMMIT, LIST, is_offline
from harness.paths import whole_file


def fetch(repository: str, name: str, revision: str) -> Path:
    """A file of a repository, from the cache or the hub; a connection that is cut is taken up.

    Raises `CannotRun`, in one sentence, where it cannot be had.
    """
    with explain_hub_errors(repository, revision, name):
        return _download(repository, name, revision)


def fetch_if_any(repository: str, name: str, revision: str) -> Path | None:
    """The same, and None where the repository does not have the file."""
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
    """The names of a repository's files. Those of a commit are kept: they never change.

    Raises `CannotRun`.
    """
    kept = Path(constants.HF_HOME) / "misconception-harness" / repository / f"{revision}.json"
    pinned = re.fullmatch(COMMIT, revision) is not None
    if pinned:
        with suppress(OSError, ValueError):  # not kept, or not whole: it is asked for
            return tuple(json.loads(kept.read_text(encoding="utf-8")))
    with explain_hub_errors(repository, revision, LIST):
        found = tuple(HfApi().list_repo_files(repository, revision=revision))
    if pinned:
        # Where it cannot be kept, it is asked for again the next time.
        with suppress(OSError), whole_file(kept) as part:
            part.write_text(json.dumps(found), encoding="utf-8")
    return found


def cached(repository: str, name: str, revision: str) -> Path | None:
    """A file that is in the cache; asks no network."""
    try:
        found = _looked_up(repository, name, revision)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _download(repository: str, name: str, revision: str) -> Path:
    if not isinstance(_looked_up(repository, name, revision), str) and not is_offline():
        # Asked first, and once: the library would try a silent hub for minutes without a word.
        url = hf_hub_url(repository, name, revision=revision)
        try:
            get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError):
            pass  # said again below, where the library notes what does not exist
        except (HTTPError, OSError) as error:
            raise LocalEntryNotFoundError(str(error)) from error
    # The library goes on where a connection was cut, and keeps files that are whole.
    return Path(hf_hub_download(repository, name, revision=revision))


def _looked_up(repository: str, name: str, revision: str) -> object:
    return try_to_load_from_cache(repository, name, revision=revision)


def commit_of(path: Path) -> str | None:
    """The commit that a file of the cache belongs to; None for any other file."""
    parts = path.parts
    if "snapshots" not in parts:
        return None
    commit = parts[parts.index("snapshots") + 1]
    return commit if re.fullmatch(COMMIT, commit) else None
