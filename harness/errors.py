"""What is wrong with an input, in the one form every surface prints: "where: what; what to do"."""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.urls import without_secrets

# Hears a line for people: a note or a warning, of what is no reason to stop.
Say = Callable[[str], None]


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong at one place; `where` is file:line:column, as far as it is known.

    Addresses are kept without what in them may be secret: a fault is printed, logged and stored.
    """

    where: str
    what: str
    remedy: str

    def __post_init__(self) -> None:
        for name in ("where", "what", "remedy"):
            object.__setattr__(self, name, without_secrets(getattr(self, name)))

    @property
    def file(self) -> str:
        """The place without line and column."""
        return re.sub(r"(:\d+){1,2}$", "", self.where)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


class HarnessError(Exception):
    """Faults that stop the work; `status` is the exit status of the command line.

    Status 2 says that the spec or the call is wrong, 3 that it could not run here (weights, token,
    device, disk).
    """

    status = 2

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults

    def __reduce__(self) -> tuple[type["HarnessError"], tuple[Fault, ...]]:
        """Pickled by its faults: a worker's error is raised again in the process that waits for it."""
        return type(self), self.faults


class InputError(HarnessError):
    """The spec, the prompts or the call is wrong."""


class CannotRun(HarnessError):
    """Nothing is wrong with the request, but it cannot be done here."""

    status = 3


class NothingToRunOn(CannotRun):
    """None of the targets that are asked for can be run here."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """The advice for a misspelt name: the closest valid one, or all of them."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"use one of {first_few(names, 16)}" if names else "nothing is allowed here"


def first_few(names: Iterable[str], most: int = 5) -> str:
    """A list for a sentence, cut where it grows long: "a, b and 7 more"."""
    listed = list(names)
    if len(listed) <= most:
        return ", ".join(listed)
    return f"{', '.join(listed[:most])} and {len(listed) - most} more"


def too_long(name: object, where: str = "") -> Fault:
    """What is wrong with the name of a file that no file can have."""
    return Fault(
        where or f"{str(name)[:60]}...", "no file can have so long a name", "write a shorter one"
    )
