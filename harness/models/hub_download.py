"""Files of the hub: what is here, what would be fetched, and why something cannot be had."""

import errno
import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from logging import CRITICAL
from pathlib import Path

from huggingface_hub import (
    _CACHED_NO_EXIST,
    HfApi,
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_download,
    hf_hub_url,
    logging,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (  # type: ignore[attr-defined] # HTTPError is its client's
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from harness.faults import CannotRun, Fault

LIST = "its list of files"
COMMIT = r"[0-9a-f]{40}"
LOGIN = "accept its terms on the hub, then `hf auth login` (or set HF_TOKEN)"


def fetch(repository: str, name: str, revision: str) -> Path:
    """A file of a repository, from the cache or the hub; a connection that is cut is taken up.

    Raises `CannotRun`, in one sentence, where it cannot be had.
    """
    with _explained(repository, revision, name):
        return _download(repository, name, revision)


def fetch_if_any(repository: str, name: str, revision: str) -> Path | None:
    """The same, and None where the repository does not have the file."""
    with _explained(repository, revision, name):
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
    with _explained(repository, revision, LIST):
        found = tuple(HfApi().list_repo_files(repository, revision=revision))
    if pinned:
        with suppress(OSError):  # it is asked for again the next time
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found), encoding="utf-8")
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


def has_token() -> bool:
    """Whether a token of the hub is set on this machine."""
    return get_token() is not None


def cache_folder() -> Path:
    """Where downloads go."""
    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids any call."""
    return bool(constants.is_offline_mode())


def endpoint() -> str:
    """Which hub is asked."""
    return str(constants.ENDPOINT)


def digest_of(*files: Path) -> str:
    """SHA-256 of the bytes of some files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def _explained(repository: str, revision: str, name: str) -> Iterator[None]:
    """Why the hub has no answer, in one sentence of ours."""
    try:
        with _quiet():
            yield
            return
    except HFValidationError:
        what, remedy = "it is neither a folder here nor a repository's name", "correct the name"
    except GatedRepoError:
        whose = "this token has no access to it" if has_token() else "no token is set here"
        what, remedy = f"it is gated and {whose}", LOGIN
    except RevisionNotFoundError:
        what, remedy = f"it has no revision {revision}", "name another one in the target"
    except RepositoryNotFoundError:
        what = "the hub knows no such repository" + (
            "" if has_token() else ", or not without a token"
        )
        remedy = "check the name, or log in with `hf auth login`"
    except LocalEntryNotFoundError as error:
        what, remedy = _refused(name, error.__cause__) or _unreachable(name, error.__cause__)
    except OfflineModeIsEnabled:
        what, remedy = _unreachable(name, None)
    except EntryNotFoundError:
        what = f"it has no {name} at revision {revision}"
        remedy = "name another file or revision in the spec's target"
    except (HTTPError, OSError) as error:
        # Of a list, no download had begun.
        otherwise = _unreachable if name == LIST else _broken
        what, remedy = _refused(name, error) or otherwise(name, error)
    raise CannotRun(Fault(repository, what, remedy))


def _refused(name: str, error: object) -> tuple[str, str] | None:
    """What the hub has against the token, if it is that."""
    if _status(error) == 401:
        return "the hub does not accept this token", "`hf auth login` with a valid one"
    if _status(error) == 403:
        return f"the hub refuses {name} to this token", LOGIN
    return None


def _status(error: object) -> int | None:
    """The HTTP status that an error is about."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _unreachable(name: str, cause: object) -> tuple[str, str]:
    if is_offline():
        return f"{name} is not in the cache and HF_HUB_OFFLINE is set", "unset it once to fetch it"
    if "Timeout" in type(cause).__name__:
        return (
            f"{name} is not in the cache and {endpoint()} does not answer in time",
            f"try again, or wait longer than {constants.HF_HUB_ETAG_TIMEOUT} s with "
            "HF_HUB_ETAG_TIMEOUT",
        )
    if status := _status(cause):
        return f"{name} is not in the cache and {endpoint()} answers {status}", "try again later"
    if isinstance(cause, FileMetadataError):
        return (
            f"{name} is not in the cache and {endpoint()} does not answer like a hub",
            "correct HF_ENDPOINT, or the proxy's settings",
        )
    return (
        f"{name} is not in the cache and {endpoint()} cannot be reached",
        "go online, or put the files into the cache; HF_ENDPOINT names another hub",
    )


def _broken(name: str, error: object) -> tuple[str, str]:
    """Why a download that had begun did not end."""
    if getattr(error, "errno", None) == errno.ENOSPC:
        return (
            f"there is no room for {name} in {cache_folder()}",
            "make room, or name another folder with HF_HOME",
        )
    if isinstance(error, PermissionError):
        return f"{cache_folder()} cannot be written to", "name another folder with HF_HOME"
    if "Timeout" in type(error).__name__:
        return (
            f"{name} stopped coming from {endpoint()}",
            "run it again: files that are whole are kept; wait longer than "
            f"{constants.HF_HUB_DOWNLOAD_TIMEOUT} s with HF_HUB_DOWNLOAD_TIMEOUT",
        )
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return (
        f"{name} could not be fetched whole: {reason}",
        "run it again: files that are whole are kept",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's own words about each try: ours come at the end."""
    level = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.set_verbosity(level)


def free_bytes(folder: Path) -> int:
    """How much can be written where a folder is, or is going to be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
