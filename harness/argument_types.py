"""Whether the arguments of a public function are of the types that it is annotated with."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from harness.errors import Fault, InputError, nearest
from harness.paths import can_be_named

P = ParamSpec("P")
R = TypeVar("R")
Count = Annotated[int, "at least 1"]


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
    if (
        Path in parts
        and isinstance(value, str | Path)
        and ("\0" in str(value) or not can_be_named(value))
    ):
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
