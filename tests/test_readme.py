"""The README says what is so: its spec is the shipped one, its commands exist, its folders too."""

import re
import shlex

import pytest

from harness.cli import main


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def fenced(text):
    return re.findall(r"^```\w*\n(.*?)^```", text, flags=re.S | re.M)


def test_its_spec_is_the_shipped_one(readme, root):
    assert (root / "evals" / "voices.yaml").read_text(encoding="utf-8") in fenced(readme)


def test_its_commands_parse(readme):
    calls = re.findall(r"^harness (.+)$", "\n".join(fenced(readme)), flags=re.M)
    assert len(calls) >= 4
    for call in calls:
        name, *arguments = shlex.split(call, comments=True)
        command = main.commands[name]
        command.make_context(name, arguments)


def test_the_places_it_names_are_there(readme, root):
    links = re.findall(r"\]\(([\w/.]+)\)", readme)
    assert len(links) >= 3
    assert all((root / link).exists() for link in links)
