"""YAML as plain values, with the line and column of each and the keys that are given twice."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.specs.fields import KeyPath

Mark = tuple[int, int]  # line and column, from 1


class Document(NamedTuple):
    """A YAML document: its values, the mark of each, and the keys that are given twice."""

    data: Any
    marks: Mapping[KeyPath, Mark]
    repeated: list[KeyPath]


def place_of(path: Path, marks: Mapping[KeyPath, Mark], at: KeyPath) -> str:
    """Where a part of a document stands, or the nearest part around it: file:line:column."""
    while at not in marks:
        at = at[:-1]
    line, column = marks[at]
    return f"{path}:{line}:{column}"


def read_yaml(text: str) -> Document:
    """A YAML document as plain values, sequences as tuples. Raises `yaml.YAMLError`."""
    repeated: list[KeyPath] = []
    marks: dict[KeyPath, Mark] = {(): (1, 1)}
    loader = yaml.SafeLoader(text)

    def value(node: yaml.Node, at: KeyPath) -> Any:
        marks.setdefault(at, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.SequenceNode):
            return tuple(value(child, (*at, i)) for i, child in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            result = {}
            for key_node, child in node.value:
                # The text as written: YAML 1.1 would read a key such as `on` as true.
                key = key_node.value
                if not isinstance(key, str):
                    raise yaml.MarkedYAMLError(
                        problem="a key is not a plain text", problem_mark=key_node.start_mark
                    )
                if key in result:
                    repeated.append((*at, key))
                marks[(*at, key)] = (
                    key_node.start_mark.line + 1,
                    key_node.start_mark.column + 1,
                )
                result[key] = value(child, (*at, key))
            return result
        try:
            plain = loader.construct_object(node, deep=True)
            str(plain).encode()
        except ValueError:
            raise yaml.MarkedYAMLError(
                problem=f"{excerpt_of(node.value)} cannot be read as {node.tag.rsplit(':', 1)[-1]}",
                problem_mark=node.start_mark,
            ) from None
        return plain

    try:
        node = loader.get_single_node()
        return Document(None if node is None else value(node, ()), marks, repeated)
    finally:
        loader.dispose()


def excerpt_of(value: Any) -> str:
    """A value as a spec would have it, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
