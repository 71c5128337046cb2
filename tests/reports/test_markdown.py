"""The page beside a log: verdicts as Markdown, in the file that the environment names."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.verdicts import Verdict
from harness.reports.markdown import append_summary, summary
from harness.runner.outcome import Outcome
from harness.specs.targets import load_targets, mocked


def outcome(**changed):
    """A run on the organism with one claim of each kind of number."""
    made = Outcome(
        run_id="20260101-000000-000-small-organism",
        spec="small",
        question="Does a|b move *the* answer?",
        target=load_targets()["organism"],
        families=12,
        verdicts=(
            Verdict("moved", "behaviour", "nats", "supported", "6 families",
                    "FROM behaviour WHERE split = 'a' || 'b'", 1.5, 1.0, 2.0, 0.03125),
            Verdict("few", "features", "features", "untestable", "3 families can give no p below 0.25"),
        ),
        exploratory=None,
        warnings=("the SAE of layer 3: L0 is far",),
        db=Path("db/results.duckdb"),
        seconds=1.0,
    )  # fmt: skip
    return replace(made, **changed)


def rows(text):
    """The lines of the tables."""
    return [line for line in text.splitlines() if line.startswith("|")]


def test_each_claim_is_a_row_with_its_numbers_and_its_query():
    text = summary([outcome()])
    header, rule, moved, few = rows(text)
    assert header == "| claim | verdict | estimate | interval | p | rests on | rows |"
    assert rule.count("|") == header.count("|")
    assert moved == (
        r"| moved | supported | +1.500 nats | \[+1.000, +2.000\] | 0.031 | 6 families "
        r"| `FROM behaviour WHERE split = 'a' \|\| 'b'` |"
    )
    assert few.startswith("| few | untestable | - | - | - | 3 families can give no p below 0.25 |")
    assert text.startswith(
        "### small on organism · stand-in\n\nDoes a\\|b move \\*the\\* answer?\n"
    )
    assert "- warning: the SAE of layer 3: L0 is far" in text
    assert "say nothing about Gemma" in text
    assert re.search(r"\n\S*harness sql ", text)


@pytest.mark.parametrize(
    "changed, title, verdict",
    [
        ({"target": mocked(load_targets()["organism"])}, "**MOCK**", "mock: supported"),
        (
            {"limited": True, "exploratory": "limited to 2 families of each side"},
            "**LIMITED** · stand-in",
            "limited: supported",
        ),
        ({"exploratory": "the spec changed"}, "**exploratory** · stand-in", "supported"),
    ],
)
def test_what_is_no_evidence_is_unmistakable(changed, title, verdict):
    text = summary([outcome(**changed)])
    assert text.splitlines()[0] == f"### small on organism · {title}"
    assert f"| moved | {verdict} |" in text


def test_it_is_appended_to_the_file_that_the_environment_names(tmp_path):
    file = tmp_path / "summary.md"
    file.write_text("# before\n")
    append_summary([outcome()], pytest.fail, {"GITHUB_STEP_SUMMARY": str(file)})
    append_summary([outcome()], pytest.fail, {"GITHUB_STEP_SUMMARY": str(file)})
    text = file.read_text()
    assert text.startswith("# before\n### small on organism")
    assert text.count("### small on organism") == 2


@pytest.mark.parametrize("environment", [{}, {"GITHUB_STEP_SUMMARY": ""}])
def test_nothing_is_written_where_nothing_is_named(tmp_path, monkeypatch, environment):
    monkeypatch.chdir(tmp_path)
    append_summary([outcome()], pytest.fail, environment)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path):
    said = []
    append_summary([outcome()], said.append, {"GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert said == [f"warning: {tmp_path}: the summary cannot be written: is a directory"]
