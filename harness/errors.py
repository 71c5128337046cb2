"""What is wrong with an input, in the one form every surface prints: "where: what; what to do"."""

import difflib
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

P = ParamSpec("P")
R = TypeVar("R")
Count = Annotated[int, "at least 1"]
# Hears a line for people: a note or a warning, of what is no reason to stop.
Say = Callable[[str], None]


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong at one place; `where` is file:line:column, as far as it is known."""

    where: str
    what: str
    remedy: str

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


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A public function that says which of its arguments is of another type than it is annotated with.

    It raises `InputError` with all of them. Annotations are classes, unions, `Literal`, `Callable` and
    `Count`; anything is allowed where there is none, or one that is a string.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        faults = [
            fault
            for name, value in signature.bind(*args, **kwargs).arguments.items()
            for fault in _argument_faults(name, value, signature.parameters[name])
        ]
        if faults:
            raise InputError(*faults)
        return function(*args, **kwargs)

    return call


def _argument_faults(name: str, value: object, parameter: inspect.Parameter) -> list[Fault]:
    parts = _parts(parameter.annotation)
    if Path in parts and isinstance(value, str | Path) and not _can_be_named(str(value)):
        return [Fault(name, "no file can have such a name", "give another")]
    if parameter.kind is parameter.VAR_KEYWORD or _fits(value, parameter.annotation):
        return []
    words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    if isinstance(value, str) and words:
        return [Fault(f"{name} {value}", "there is none", nearest(value, words))]
    if Count in parts and isinstance(value, int) and not isinstance(value, bool):
        return [Fault(f"{name} {value}", "it is below 1", "give more, or leave it out")]
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    wanted = " or ".join(dict.fromkeys(_WORDS.get(part, _name(part)) for part in parts))
    of_type = "" if value is None else f", of type {type(value).__name__}"
    return [Fault(name, f"it is {shown}{of_type}", f"give {wanted}")]


def _can_be_named(path: str) -> bool:
    """Whether file systems allow such a name: no NUL, and no part of more than 255 bytes."""
    return "\0" not in path and all(len(os.fsencode(part)) < 256 for part in Path(path).parts)


_WORDS: dict[Any, str] = {
    str: "a text",
    Path: "a path",
    bool: "True or False",
    int: "an integer",
    Count: "an integer of at least 1",
    float: "a number",
    type(None): "None",
}


def _name(annotation: Any) -> str:
    """What an annotation asks for, in a sentence."""
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(annotation)))}"
    return "a function" if origin is Callable else f"a {getattr(origin, '__name__', origin)}"


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; what is none is its only one."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(one for part in get_args(annotation) for one in _parts(part))
    return (annotation,)


def _fits(value: object, annotation: Any) -> bool:
    parts = _parts(annotation)
    if len(parts) > 1:
        return any(_fits(value, part) for part in parts)
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return True
    if annotation == Count:
        return _fits(value, int) and value >= 1  # type: ignore[operator]
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return isinstance(value, str) and value in get_args(annotation)
    if isinstance(value, bool):  # which is an integer to Python
        return origin is bool
    if isinstance(value, str):  # which is a sequence to Python
        return origin is str
    if origin is float:
        return isinstance(value, int | float) and value == value
    return callable(value) if origin is Callable else isinstance(value, origin)
