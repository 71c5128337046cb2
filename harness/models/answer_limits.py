"""What is read of a server's answer: no more than so many bytes, in no more than so long a time."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

import httpx2

Result = TypeVar("Result")


class UnfitAnswer(Exception):
    """Why an answer is not read on: words that follow the name of who sends it."""


# What making a client raises where the settings of proxies or certificates are wrong.
NO_CLIENT = (ImportError, OSError, ValueError, httpx2.InvalidURL)


def why_no_client(error: Exception) -> str:
    """Why no connection can be made with these settings, in words that hold no password."""
    if isinstance(error, httpx2.InvalidURL):  # its message may quote a part of one
        return "the address of a proxy cannot be read"
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def bound(
    response: httpx2.Response,
    most: int,
    seconds: float,
    slowest: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Let reading its body raise `UnfitAnswer` where more than `most` bytes come, or too slowly.

    It may take `seconds` and, with a `slowest` rate in bytes a second, as long as that rate takes. What
    is compressed is refused before it is read: a few bytes could become any number.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnfitAnswer("sends compressed what was asked for as it is")
    stream = response.stream
    if not isinstance(stream, httpx2.SyncByteStream):
        raise TypeError("only an answer that is read as it comes can be bounded")
    response.stream = _Bounded(stream, most, seconds, slowest, clock)


def within(seconds: float, ask: Callable[[], Result]) -> Result:
    """What `ask` returns or raises; `UnfitAnswer` where it does not within some seconds.

    For what a client's own timeouts do not end: they are of each read, and a header may come byte by
    byte. The thread that asks is left to itself.
    """
    asked: Future[Result] = Future()

    def work() -> None:
        try:
            asked.set_result(ask())
        except BaseException as error:
            asked.set_exception(error)

    Thread(target=work, daemon=True).start()
    done, _ = wait([asked], seconds)
    if not done:
        raise UnfitAnswer(f"has not answered in full after {seconds:g} s")
    return asked.result()


class _Bounded(httpx2.SyncByteStream):
    def __init__(
        self,
        stream: httpx2.SyncByteStream,
        most: int,
        seconds: float,
        slowest: float,
        clock: Callable[[], float],
    ) -> None:
        self._stream, self._most, self._clock = stream, most, clock
        self._seconds, self._slowest = seconds, slowest

    def __iter__(self) -> Iterator[bytes]:
        came, began = 0, self._clock()
        for block in self._stream:
            came += len(block)
            if came > self._most:
                raise UnfitAnswer(f"sends more than {self._most} bytes")
            longest = self._seconds + (came / self._slowest if self._slowest else 0)
            if self._clock() - began > longest:
                raise UnfitAnswer(f"sends only {came} bytes in {longest:.0f} s")
            yield block

    def close(self) -> None:
        self._stream.close()
