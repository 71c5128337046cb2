"""The help: every command, with an example, in the width that there is."""

import re

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.cli.parser import summary


def commands():
    return sorted(main.commands.items())


def test_every_command_stands_in_one_section_of_the_help_with_a_whole_sentence():
    shown = CliRunner().invoke(main, ["--help"], env={"COLUMNS": "80"}).output
    assert "..." not in shown.partition("Evals:")[2]
    assert all(len(line) <= 80 for line in shown.splitlines())
    listed = [name for names in main.sections.values() for name in names]
    assert sorted(listed) == sorted(main.commands)
    for name, command in commands():
        assert shown.count(f"\n  {name:<8}") == 1
        assert summary(command) in shown
    assert "_HARNESS_COMPLETE=bash_source harness" in shown


@pytest.mark.parametrize("name, command", commands())
def test_every_command_has_an_example_and_fits_a_terminal(name, command):
    lines = [line.strip() for line in command.help.splitlines()]
    assert any(re.match(rf"harness {name}\b", line) for line in lines)
    for width in (60, 80, 200):
        found = CliRunner().invoke(main, [name, "--help"], env={"COLUMNS": str(width)})
        assert found.exit_code == 0
        assert max(map(len, found.output.splitlines())) <= 100


def test_what_takes_json_says_so_in_the_same_words():
    takes = {
        name: one.help for name, command in commands() for one in command.params
        if one.name == "as_json"
    }  # fmt: skip
    assert set(takes) >= {
        "check", "plan", "targets", "doctor", "show", "compare", "rerun", "run", "analyse"
    }  # fmt: skip
    assert len(set(takes.values())) == 1


def test_every_command_of_the_help_has_an_example():
    for name, command in main.commands.items():
        assert re.search(rf"harness {name}\b", command.help or ""), name
