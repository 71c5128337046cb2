"""Why the hub has no answer, in one sentence of ours that says what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from httpx2 import InvalidURL
from huggingface_hub import constants
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

from harness.errors import CannotRun, Fault
from harness.models.answer_limits import UnfitAnswer
from harness.models.hub_client import use_checked_client
from harness.models.hub_settings import (
    LIST,
    LOGIN,
    cache_folder,
    endpoint,
    has_token,
    is_offline,
    quiet,
)

KEPT = "what has come is kept"
NO_HUB = "correct HF_ENDPOINT, or the proxy's settings"


class Unreachable(CannotRun):
    """The hub gave no answer: it is not known what it has."""


@contextmanager
def explain_hub_errors(repository: str, revision: str, name: str) -> Iterator[None]:
    """Why the hub has no answer, in one sentence of ours."""
    use_checked_client()
    try:
        with quiet():
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
        raise _unanswered(repository, name, error.__cause__) from None
    except OfflineModeIsEnabled:
        raise _unanswered(repository, name, None) from None
    except EntryNotFoundError:
        what = f"it has no {name} at revision {revision}"
        remedy = "name another file or revision in the spec's target"
    except (HTTPError, OSError) as error:
        if name == LIST:  # no download had begun
            raise _unanswered(repository, name, error) from None
        what, remedy = _refused(name, error) or _broken(name, error)
    except UnfitAnswer as error:
        what, remedy = f"asked for {name}, {endpoint()} {error}", NO_HUB
    # What an answer of another form than a hub's makes the library stumble over.
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        InvalidURL,
    ) as error:
        what = f"{endpoint()} does not answer like a hub, asked for {name} ({type(error).__name__})"
        remedy = NO_HUB
    raise CannotRun(Fault(repository, what, remedy))


def _unanswered(repository: str, name: str, cause: object) -> CannotRun:
    if refused := _refused(name, cause):
        return CannotRun(Fault(repository, *refused))
    return Unreachable(Fault(repository, *_unreachable(name, cause)))


def _refused(name: str, error: object) -> tuple[str, str] | None:
    """What the hub has against the token or the request, if it is that."""
    status = _status(error)
    if status == 401:
        return "the hub does not accept this token", "`hf auth login` with a valid one"
    if status == 403:
        return f"the hub refuses {name} to this token", LOGIN
    if status in (404, 410):
        return (
            f"{endpoint()} has no such repository or revision, or not {name} in it",
            "check the names in the target"
            + (
                ""
                if has_token()
                else ", or log in with `hf auth login` where it is private or gated"
            )
            + "; HF_ENDPOINT names another hub",
        )
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return (
            f"{endpoint()} refuses {name} with status {status}",
            "check the names in the target, and HF_ENDPOINT",
        )
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
        sooner = ", or sooner with a token: `hf auth login`" if not has_token() else ""
        return (
            f"{name} is not in the cache and {endpoint()} answers {status}",
            "try again later" + sooner * (status == 429),
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return (
            f"{name} is not in the cache and the certificate of {endpoint()} is not trusted",
            "name the certificates of your proxy or hub with SSL_CERT_FILE",
        )
    if isinstance(cause, FileMetadataError):
        return (
            f"{name} is not in the cache and {endpoint()} does not answer like a hub",
            NO_HUB,
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
            f"run it again: {KEPT}; wait longer than "
            f"{constants.HF_HUB_DOWNLOAD_TIMEOUT} s with HF_HUB_DOWNLOAD_TIMEOUT",
        )
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return (
        f"{name} could not be fetched whole: {reason}",
        f"run it again: {KEPT}",
    )
