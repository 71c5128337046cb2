"""YAML as plain values, with the line and column of each and the keys that are given twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from harness.specs.fields import Path_
from harness.specs.text_file import read_text


def locator(path: Path) -> Callable[..., str]:
    """Where the parts of a well-formed spec stand: `where("claims", 0)` is file:line:column."""
    _, marks, _ = parse(read_text(path))

    def where(*at: str | int) -> str:
        while at not in marks:
            at = at[:-1]
        line, column = marks[at]
        return f"{path}:{line}:{column}"

    return where


def parse(text: str) -> tuple[Any, dict[Path_, tuple[int, int]], list[Path_]]:
    """A YAML document as plain values (sequences as tuples), where each stands, and repeated keys."""
    twice: list[Path_] = []
    marks: dict[Path_, tuple[int, int]] = {(): (1, 1)}
    loader = yaml.SafeLoader(text)

    def value(node: yaml.Node, at: Path_) -> Any:
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
                    twice.append((*at, key))
                marks[(*at, key)] = (
                    key_node.start_mark.line + 1,
                    key_node.start_mark.column + 1,
                )
                result[key] = value(child, (*at, key))
            return result
        try:
            found = loader.construct_object(node, deep=True)
            str(found).encode()
        except ValueError:
            raise yaml.MarkedYAMLError(
                problem=f"{shown(node.value)} cannot be read as {node.tag.rsplit(':', 1)[-1]}",
                problem_mark=node.start_mark,
            ) from None
        return found

    try:
        node = loader.get_single_node()
        return (None if node is None else value(node, ())), marks, twice
    finally:
        loader.dispose()


def shown(value: Any) -> str:
    """A value as a spec would have it, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
