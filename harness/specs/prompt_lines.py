"""One line of a prompt file: which fields it has, and what is wrong with their form."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import nearest
from harness.names import is_name
from harness.specs.chat import Chat, chat_of, faults_of_messages, of_user, transcript
from harness.specs.prompt import Answers
from harness.specs.text_file import is_whole

REQUIRED = ("id", "pair_id", "label", "prompt")
EXPECTED = "expected_correct_answer"  # needed where a line does not say its `answer`
OPTIONAL = (EXPECTED, "answer", "family", "foil", "tags", "baseline")
FIELDS = REQUIRED + OPTIONAL
SETS = (EXPECTED, "answer", "foil")  # may be lists of texts
Line = tuple[int, Mapping[str, Any]]


def faults_of_line(line: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a line by itself, whatever its pair says: what, and what to do."""
    problems = []
    for name in line:
        if name not in FIELDS:
            problems.append((f"unknown field '{name}'", nearest(name, FIELDS)))
    for name in REQUIRED if "answer" in line else (*REQUIRED, EXPECTED):
        if name not in line:
            problems.append((f"'{name}' is missing", "add it"))
    for name in FIELDS:
        if name == "prompt" and isinstance(line.get(name), list):
            problems += faults_of_messages(line[name])
        elif name in SETS and isinstance(line.get(name), list):
            problems += _faults_of_set(name, line[name])
        elif name != "tags":
            problems += _faults_of_text(name, line.get(name, "-"))
    label = line.get("label", "correct")
    if isinstance(label, str) and label.strip() and not is_name(label):
        remedy = "use letters and digits, and `-`, `_` or `.` between them"
        problems.append((f"label '{label}' is no name", remedy))
    for name in ("prompt", "baseline"):
        text = line.get(name)
        if isinstance(text, str) and text.strip() and text != text.rstrip():
            remedy = "remove it: one space is put before the answer"
            problems.append((f"'{name}' ends with white space", remedy))
    tags = line.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        problems.append(
            ("'tags' is not an object of texts", 'write it like {"quantity": "velocity"}')
        )
    elif not all(map(is_whole, (*tags, *tags.values()))):
        problems.append(("'tags' holds half of a surrogate pair", "write the whole character"))
    return problems


def text_of(line: Mapping[str, Any]) -> str:
    """How the prompt of a line without faults reads."""
    asked = line["prompt"]
    return asked if isinstance(asked, str) else transcript(chat_of(asked))


def messages_of(line: Mapping[str, Any], chat: bool) -> Chat:
    """The messages of its prompt; of a text none, unless every text is what a user asks (`chat`)."""
    asked = line["prompt"]
    if isinstance(asked, str):
        return of_user(asked) if chat else ()
    return chat_of(asked)


def members_of(line: Mapping[str, Any], name: str) -> Answers:
    """A line's answer, or the members of a set of them."""
    value = line[name]
    return tuple(value) if isinstance(value, list) else (value,)


def _faults_of_set(name: str, members: list[Any]) -> Iterator[tuple[str, str]]:
    if not members:
        yield f"'{name}' is an empty list", "write a text, or a list of texts"
    for member in members:
        yield from _faults_of_text(name, member)
    texts = [one for one in members if isinstance(one, str)]
    if twice := [one for one, n in Counter(texts).items() if n > 1]:
        yield f"'{name}' has '{twice[0]}' twice", "keep one: its probability counts once"


def _faults_of_text(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str):
        yield f"'{name}' is {_kind(value)}", "write a text"
    elif not is_whole(value):
        yield f"'{name}' holds half of a surrogate pair", "write the whole character"
    elif not (value.isprintable() and value.strip()) and not any(
        letter.isprintable() and not letter.isspace() for letter in value
    ):
        yield f"'{name}' is empty", "write a text"
    elif name not in ("prompt", "id", "baseline") and value != value.strip():
        yield f"'{name}' begins or ends with a space", "remove it"


def _kind(value: Any) -> str:
    names = {bool: "true or false", type(None): "null", list: "a list", dict: "an object"}
    other = (
        "a number"
        if isinstance(value, int | float)
        else f"of another type ({type(value).__name__})"
    )
    return names.get(type(value), other)
