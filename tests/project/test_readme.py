"""The README says what is so: its spec is the shipped one, its commands exist, its folders too."""

import io
import re
import shlex
import shutil

import pytest

from harness.cli import main
from harness.reports.terminal.progress import console
from harness.reports.terminal.verdicts import print_verdicts
from harness.runner.reanalysis import analyse_again
from tests.helpers.documents import alike, settled


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def fenced(text):
    return re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.S | re.M)


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


def test_its_verdicts_are_those_of_the_shipped_specs(readme, finished, tmp_path):
    db = shutil.copy(finished, tmp_path / "results.duckdb")
    outcomes = [analyse_again(name, db=db) for name in ("pilot", "placebo", "voices")]
    out = io.StringIO()
    print_verdicts(console(out), outcomes)
    shown, drawn = settled(readme), settled(out.getvalue())
    verdicts = [
        line for line in drawn if re.match(r"[\w-]+ (supported|refuted|inconclusive|held) ", line)
    ]
    assert len(verdicts) == sum(len(outcome.verdicts) for outcome in outcomes)
    assert [line for line in verdicts if not any(alike(one, line) for one in shown)] == []
