"""Neuronpedia: what others say that a feature means. Nothing asks it but who calls this."""

import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Self

import httpx2
from pydantic import BaseModel, Field, ValidationError

from harness.errors import CannotRun, Fault
from harness.models.answer_limits import NO_CLIENT, UnfitAnswer, bound, why_no_client, within

ENDPOINT = "https://www.neuronpedia.org"
PAUSE = 0.5  # seconds between two requests, at least
PATIENCE = 60.0  # seconds that it may ask to wait
TRIES = 5
TIMEOUT = 20.0  # seconds without an answer
LONGEST = 60.0  # seconds for the whole of an answer
LARGEST = 8_000_000  # bytes of an answer
LABEL, EXPLAINER = 1000, 200  # characters that are kept
_BUSY = (429, 503)


@dataclass(frozen=True)
class Explanation:
    """What a feature is said to mean, and by which model; None where that is not told."""

    label: str
    explainer: str | None


@dataclass
class Neuronpedia(AbstractContextManager["Neuronpedia"]):
    """A connection; use as a context manager. It asks at most once in `pause` seconds.

    NEURONPEDIA_ENDPOINT names another server, and NEURONPEDIA_API_KEY is sent where it is set.
    """

    pause: float = PAUSE
    timeout: float = TIMEOUT
    longest: float = LONGEST
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0, init=False)  # when the next request may go out

    def __enter__(self) -> Self:
        self.endpoint = os.environ.get("NEURONPEDIA_ENDPOINT", "").rstrip("/") or ENDPOINT
        about = version("misconception-harness")
        headers = {"User-Agent": f"misconception-harness/{about}", "Accept": "application/json"}
        headers["Accept-Encoding"] = "identity"
        if key := os.environ.get("NEURONPEDIA_API_KEY", "").strip():
            if not (key.isascii() and key.isprintable()):
                what = "it holds characters that no key has"
                raise CannotRun(Fault("NEURONPEDIA_API_KEY", what, "set it again"))
            headers["x-api-key"] = key
        try:
            # A redirect is not followed: the key is for the server that was named.
            self._client = httpx2.Client(
                headers=headers, timeout=self.timeout, event_hooks={"response": [self._bound]}
            )
        except NO_CLIENT as error:
            what = f"no connection can be made: {why_no_client(error)}"
            raise self._fault(what, "correct the proxy's settings, or SSL_CERT_FILE") from None
        self._next = self.clock()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def explanation(self, source: str, feature: int) -> Explanation | None:
        """What it says of a feature of an SAE, `MODEL/SAE`; None where it has no explanation.

        Raises `CannotRun` where it cannot be reached, refuses, or does not answer as it should.
        """
        response = self._get(f"{self.endpoint}/api/feature/{source}/{feature}")
        if response.status_code == 404:
            return None
        if response.status_code in (401, 403):
            what = f"it refuses with status {response.status_code}"
            raise self._fault(what, "set NEURONPEDIA_API_KEY to a valid key of your account there")
        if response.status_code != 200:
            raise self._fault(f"it answers with status {response.status_code}", "try again later")
        try:
            answer = _Feature.model_validate_json(response.content)
        except ValidationError:
            what = f"its answer about {source}/{feature} names no explanations"
            raise self._fault(what, _CORRECT) from None
        labels = (
            (_line(one.description or "", LABEL), _line(one.explainer or "", EXPLAINER) or None)
            for one in answer.explanations
        )
        return next((Explanation(label, by) for label, by in labels if label), None)

    def _get(self, url: str) -> httpx2.Response:
        """The answer to one request, sent again where the server asks to wait."""
        for _ in range(TRIES):
            self.sleep(max(0.0, self._next - self.clock()))
            self._next = self.clock() + self.pause
            try:
                response = within(self.longest, lambda: self._client.get(url))
            except httpx2.TimeoutException:
                what = f"it does not answer within {self.timeout:g} s"
                raise self._fault(what, "try again later") from None
            except UnfitAnswer as error:
                raise self._fault(f"it {error}", _CORRECT) from None
            except (httpx2.HTTPError, httpx2.InvalidURL):
                what = "it cannot be reached"
                raise self._fault(what, f"go online, or {_CORRECT}") from None
            if response.status_code not in _BUSY:
                return response
            wait = self._seconds_to_wait(response.headers.get("Retry-After", ""))
            if wait > PATIENCE:
                break
            self._next = max(self._next, self.clock() + wait)
        what = f"it asks to wait (status {response.status_code})"
        raise self._fault(what, "try again later, or set NEURONPEDIA_API_KEY")

    def _seconds_to_wait(self, retry_after: str) -> float:
        """The seconds of a Retry-After: a number, or a date; where it says neither, some."""
        try:
            return float(int(retry_after))
        except OverflowError:  # longer than anybody waits
            return math.inf
        except ValueError:
            pass
        try:
            return (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError, OverflowError):  # TypeError: a date without a zone
            return 10 * self.pause

    def _bound(self, response: httpx2.Response) -> None:
        bound(response, LARGEST, self.longest)

    def _fault(self, what: str, remedy: str) -> CannotRun:
        return CannotRun(Fault(f"Neuronpedia at {self.endpoint}", what, remedy))


_CORRECT = "correct NEURONPEDIA_ENDPOINT, or the proxy's settings"


class _Explanation(BaseModel):
    description: str | None = None
    explainer: str | None = Field(default=None, alias="explanationModelName")


class _Feature(BaseModel):
    """What is read of an answer: `explanations` must be there, and may be empty."""

    explanations: list[_Explanation]


def _line(text: str, longest: int) -> str:
    """One line without control characters: it is shown on terminals. What is too long is cut."""
    # Cut before as well: most of a text may be blanks.
    visible = "".join(c if c.isprintable() else " " for c in text[: 4 * longest])
    line = " ".join(visible.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
