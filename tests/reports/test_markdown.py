"""The page beside a log: verdicts as Markdown, in the file that the environment names."""

import re

import pytest

from harness.reports.markdown import append_summary, summary
from harness.specs.targets import load_targets, mocked
from tests.helpers.outcomes import an_outcome


def rows(text):
    """The lines of the tables."""
    return [line for line in text.splitlines() if line.startswith("|")]


def test_each_claim_is_a_row_with_its_numbers_and_its_query():
    text = summary([an_outcome()])
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
    text = summary([an_outcome(**changed)])
    assert text.splitlines()[0] == f"### small on organism · {title}"
    assert f"| moved | {verdict} |" in text


def test_it_is_appended_to_the_file_that_the_environment_names(tmp_path):
    file = tmp_path / "summary.md"
    file.write_text("# before\n")
    append_summary([an_outcome()], pytest.fail, {"GITHUB_STEP_SUMMARY": str(file)})
    append_summary([an_outcome()], pytest.fail, {"GITHUB_STEP_SUMMARY": str(file)})
    text = file.read_text()
    assert text.startswith("# before\n### small on organism")
    assert text.count("### small on organism") == 2


@pytest.mark.parametrize("environment", [{}, {"GITHUB_STEP_SUMMARY": ""}])
def test_nothing_is_written_where_nothing_is_named(tmp_path, monkeypatch, environment):
    monkeypatch.chdir(tmp_path)
    append_summary([an_outcome()], pytest.fail, environment)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path):
    said = []
    append_summary([an_outcome()], said.append, {"GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert said == [f"warning: {tmp_path}: the summary cannot be written: is a directory"]
