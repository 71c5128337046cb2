"""The JSON Schema of a spec: what an editor shows and refuses while one is written."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from harness.specs.spec import json_schema

SCHEMA = json_schema()
PARTS = {"Spec": SCHEMA, **SCHEMA["$defs"]}
FIELDS = [(part, name) for part, schema in PARTS.items() for name in schema["properties"]]


def words(schema: dict[str, Any]) -> Iterator[str]:
    """The words that a field may be, at its own level: those of another part are explained there."""
    yield from schema.get("enum", ())
    if "const" in schema:
        yield schema["const"]
    for key in ("anyOf", "oneOf"):
        for one in schema.get(key, ()):
            yield from words(one)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_says_what_it_is(part):
    assert PARTS[part]["description"].strip()


@pytest.mark.parametrize("part, name", FIELDS)
def test_every_field_and_every_word_of_it_is_explained(part, name):
    field = PARTS[part]["properties"][name]
    assert field["description"].strip()
    for word in words(field):
        assert f"`{word}`" in field["description"], word


def test_the_file_that_editors_read_is_of_the_models(root):
    written = json.loads((root / "harness" / "eval.schema.json").read_text())
    assert written == SCHEMA, "harness schema > harness/eval.schema.json"


def test_the_shipped_evals_fit_it_and_name_it_where_it_is(root):
    checker = jsonschema.Draft202012Validator(SCHEMA)
    for path in sorted((root / "evals").glob("*.yaml")):
        text = path.read_text()
        checker.validate(yaml.safe_load(text))
        named = text.splitlines()[0].partition("$schema=")[2]
        assert (path.parent / named).resolve() == root / "harness" / "eval.schema.json"
