"""Verdicts as Markdown, where a service that runs the checks shows a page beside its log."""

import errno
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.characters import escape_markdown, one_line
from harness.errors import Say
from harness.reports.text import (
    caution_lines,
    caveat_marks,
    closing_lines,
    rests_on,
    verdict_numbers,
)

if TYPE_CHECKING:
    from harness.analysis.verdict import Verdict
    from harness.runner.outcome import Outcome


VARIABLE = "GITHUB_STEP_SUMMARY"
NAMES = ("claim", "verdict", "estimate", "interval", "p", "rests on", "rows")


def append_summary(
    outcomes: "Sequence[Outcome]",
    say: Say,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Append the verdicts to the file that the environment names, if it names one.

    Never raises for the file's sake: `say` hears a warning where it cannot be written.
    """
    name = environment.get(VARIABLE)
    if not name or not outcomes:
        return
    try:
        with Path(name).open("ab", buffering=0) as file:
            text = summary(outcomes).encode()
            if (written := file.write(text)) < len(text):  # half a table reads like a whole one
                file.truncate(file.tell() - written)
                raise OSError(errno.ENOSPC, "no space left on device")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        say(f"warning: {name}: the summary cannot be written: {reason.lower()}")


def summary(outcomes: "Sequence[Outcome]") -> str:
    """Each eval's question and verdicts as a table, then what they are evidence of."""
    return "\n".join([*(line for one in outcomes for line in _eval(one)), *_closing(outcomes)])


def _eval(outcome: "Outcome") -> list[str]:
    marked = [f"**{mark}**" for mark in caveat_marks(outcome)]
    if outcome.target.origin == "stand-in":
        marked.append("stand-in")
    title = " · ".join([escape_markdown(f"{outcome.spec} on {outcome.target.name}"), *marked])
    return [
        f"### {title}",
        "",
        escape_markdown(outcome.question),
        "",
        _row(NAMES),
        _row(["---", "---", "---:", "---:", "---:", "---", "---"]),
        *(_row(_cells(outcome, verdict)) for verdict in outcome.verdicts),
        "",
        *(f"- {line}" for line in _against(outcome)),
        *([""] if _against(outcome) else []),
    ]


def _against(outcome: "Outcome") -> list[str]:
    """What speaks against the verdicts, or against the run's SAEs."""
    cautions = [line for one in outcome.verdicts for line in caution_lines(one)]
    return [f"caution: {escape_markdown(line)}" for line in cautions] + [
        f"warning: {escape_markdown(warning)}" for warning in outcome.warnings
    ]


def _cells(outcome: "Outcome", verdict: "Verdict") -> list[str]:
    shown = verdict.verdict if outcome.is_evidence else f"{outcome.trial}: {verdict.verdict}"
    texts = [verdict.claim, shown, *verdict_numbers(verdict), rests_on(verdict)]
    return [*map(escape_markdown, texts), _code(verdict.query)]


def _closing(outcomes: "Sequence[Outcome]") -> list[str]:
    """As in a terminal; the commands that end it stand as code."""
    lines = closing_lines(outcomes)
    sentences = [escape_markdown(line) for line in lines if not line.startswith("  ")]
    commands = [line for line in lines if line.startswith("  ")]
    return [
        "\n\n".join(sentences),
        "",
        "```",
        *(one_line(line.strip()) for line in commands),
        "```",
        "",
        "",
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """Code in a cell: a pipe ends a cell even there, and a run of backticks one longer than any in it."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " * text.startswith("`") or " " * text.endswith("`")
    return f"{fence}{space}{text.replace('|', chr(92) + '|')}{space}{fence}"
