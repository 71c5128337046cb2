"""YAML as plain values, with the line and column of each, and what no spec may hold whatever it says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.specs.fields import Contradiction, KeyPath
from harness.specs.numbers import misread
from harness.specs.text_file import is_whole

Mark = tuple[int, int]  # line and column, from 1

LARGEST = 500_000  # characters of keys and values, where an alias counts as what it stands for
DEEPEST = 100  # lists and mappings around a value
LONGEST_NUMBER = 4_000  # characters; of decimal digits Python itself reads few more
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MERGE = "tag:yaml.org,2002:merge"


class Document(NamedTuple):
    """A YAML document: its values, the mark of each, and what is wrong with its keys and numbers."""

    data: Any
    marks: Mapping[KeyPath, Mark]
    keys: list[Contradiction]
    numbers: Mapping[KeyPath, tuple[str, str]]


def place_of(path: Path, marks: Mapping[KeyPath, Mark], at: KeyPath) -> str:
    """Where a part of a document stands, or the nearest part around it: file:line:column."""
    while at not in marks:
        at = at[:-1]
    line, column = marks[at]
    return f"{path}:{line}:{column}"


def read_yaml(text: str) -> Document:
    """A YAML document as plain values, sequences as tuples. Raises `yaml.YAMLError`.

    Keys are texts as they are written. A key that is given twice, also as another form of the same
    number, and a number that others read differently are among what is wrong.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        reader = _Reader(loader)
        data = None if node is None else reader.value(node, ())
        return Document(data, reader.marks, reader.keys, reader.numbers)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    finally:
        loader.dispose()


class _Reader:
    """The values below a node as they are met, and what is wrong with keys and numbers."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.loader = loader
        self.marks: dict[KeyPath, Mark] = {(): (1, 1)}
        self.keys: list[Contradiction] = []
        self.numbers: dict[KeyPath, tuple[str, str]] = {}
        self.size = 0

    def value(self, node: yaml.Node, at: KeyPath) -> Any:
        """The value of a node. Raises `yaml.MarkedYAMLError`."""
        self.marks.setdefault(at, _mark(node))
        self.count(node)
        if len(at) > DEEPEST:
            raise _error(node, f"nested too deeply: {DEEPEST} lists and mappings are around it")
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(child, (*at, i)) for i, child in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, at)
        plain = self.plain(node)
        if node.tag in NUMBERS and (remedy := misread(node.value, plain)):
            self.numbers[at] = f"YAML reads {excerpt_of(node.value)} as {plain}", remedy
        return plain

    def mapping(self, node: yaml.MappingNode, at: KeyPath) -> dict[str, Any]:
        """Its keys are the texts as written: YAML 1.1 would read one such as `on` as true."""
        result: dict[str, Any] = {}
        first: dict[str | float, yaml.Node] = {}
        for key_node, child in node.value:
            key = self.key(key_node)
            here = (*at, key)
            self.marks[here] = _mark(key_node)
            if key_node.tag == MERGE:
                what = "`<<` would merge another mapping into this one"
                self.keys.append((here, what, "write its keys out"))
                continue
            names: list[str | float] = [key]
            if key_node.tag in NUMBERS:  # 2 and 02 are two texts and one number
                names.append(number := self.plain(key_node))
                if remedy := misread(key, number):
                    what = f"YAML reads the key {excerpt_of(key)} as {number}"
                    self.keys.append((here, what, remedy))
            others = [first.setdefault(name, key_node) for name in names]
            if other := next((other for other in others if other is not key_node), None):
                self.keys.append((here, _twice(key, other), "keep one"))
            result[key] = self.value(child, here)
        return result

    def count(self, node: yaml.Node) -> None:
        """What an alias stands for is read again at each, so that aliases of aliases multiply."""
        self.size += 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if self.size > LARGEST:
            raise _error(node, f"with its aliases written out it has over {LARGEST:,} characters")

    def key(self, node: yaml.Node) -> str:
        """A key as it is written."""
        self.count(node)
        if not isinstance(node.value, str) or not is_whole(node.value):
            raise _error(node, "a key is not a plain text")
        return node.value

    def plain(self, node: yaml.Node) -> Any:
        """The value of a scalar."""
        try:
            if node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
                raise ValueError
            plain = self.loader.construct_object(node, deep=True)
            str(plain).encode()
        except (ValueError, LookupError, AttributeError):  # as PyYAML answers `!!bool 5`
            what = f"{excerpt_of(node.value)} cannot be read as {node.tag.rsplit(':', 1)[-1]}"
            raise _error(node, what) from None
        return plain


def _twice(key: str, first: yaml.Node) -> str:
    line, column = _mark(first)
    written = "" if first.value == key else f" as '{first.value}'"
    return f"key '{key}' is given twice, first{written} at {line}:{column}"


def _mark(node: yaml.Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _error(node: yaml.Node, what: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


def excerpt_of(value: Any) -> str:
    """A value as a spec would have it, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
