"""Numbers, p values, marks and commands as text, for terminals, logs and pages alike."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError, first_few
from harness.names import command
from harness.paths import DEFAULT_DB
from harness.specs.clusters import counted
from harness.store.find_run import trial_word
from harness.store.frozen_sets import sets_of
from harness.store.queries import rows_query, verdicts_query
from harness.store.values import short_text

if TYPE_CHECKING:
    from harness.analysis.verdict import Caution, Verdict
    from harness.runner.outcome import Outcome


def caveat_marks(outcome: "Outcome") -> list[str]:
    """What must be read before a verdict is believed."""
    marks = {
        "MOCK": outcome.target.origin == "mock",
        "LIMITED": outcome.limited,
        "exploratory": bool(outcome.exploratory) and not outcome.limited,
    }
    return [mark for mark, holds in marks.items() if holds]


def verdict_numbers(verdict: "Verdict") -> tuple[str, str, str]:
    """Estimate, interval and p of a verdict as text; a dash where there is none."""
    unit = "" if verdict.unit == "features" else f" {verdict.unit}"
    shape = "{:.0f}" if verdict.unit == "features" else "{:+.3f}"
    estimate = "-" if verdict.estimate is None else shape.format(verdict.estimate) + unit
    interval = "-" if verdict.ci_low is None else f"[{verdict.ci_low:+.3f}, {verdict.ci_high:+.3f}]"
    return estimate, interval, "-" if verdict.p is None else p_text(verdict.p)


def rests_on(verdict: "Verdict") -> str:
    """What a verdict rests on, in a cell; what speaks against it is said in full elsewhere."""
    return f"{verdict.because}; see the caution" if verdict.cautions else verdict.because


def caution_lines(verdict: "Verdict") -> list[str]:
    """What speaks against the features that a verdict rests on, a line a layer."""
    return [f"{verdict.claim} {caution_text(caution)}" for caution in verdict.cautions]


def caution_text(caution: "Caution") -> str:
    """What is rested on, and what its layer's SAE is warned of."""
    what = f"no feature of layer {caution.layer} being found to differ"
    if caution.features:
        named = first_few(map(str, caution.features), 8)
        what = f"feature{'s' * (len(caution.features) > 1)} {named} of layer {caution.layer}"
    return f"rests on {what}, whose SAE has a warning: {caution.warning}"


def overlap_text(row: Mapping[str, Any]) -> str:
    """How far the sets that an ablation selects on other draws overlap, of a row of `selection_overlap`."""
    drawn = counted(row["n_units"], row["unit"])
    return (
        f"sets that {row['bootstraps']} bootstraps of the {drawn} that discover select overlap with the "
        f"selected one by {row['jaccard']:.2f} on average, those of two halves with each other by "
        f"{row['halves']:.2f}"
    )


def sufficiency_text(rows: "Sequence[Mapping[str, Any]]") -> str:
    """What an ablation's set does, what all other features do, and the set without what it misses least.

    Of its rows of the saved query `sufficiency`.
    """

    def told(row: Mapping[str, Any]) -> str:
        share = row["share"]
        of_gap = "" if share is None else f" ({share:.0%} of what the variants differ by)"
        return f"{row['mean_impact']:+.3g}{of_gap}"

    by_role = {row["role"]: row for row in rows if row["role"] != "without"}
    without = [row for row in rows if row["role"] == "without"]
    own = by_role["target"]
    parts = [f"the set moves the answers by {told(own)}"]
    if rest := by_role.get("complement"):
        parts.append(f"all other features of its layers by {told(rest)}")
    if without:
        # Of a set that moves them up, the one without which it still moves them most.
        idlest = max(
            without, key=lambda row: row["mean_impact"] * (1 if own["mean_impact"] > 0 else -1)
        )
        parts.append(
            f"the set without {idlest['left_out']}, which it misses least, by {told(idlest)}"
        )
    return ", ".join(parts)


def injection_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """What their strongest tokens alone make of an ablation's features, of rows of `injection_tests`.

    Those of the set, which have no feature, or which the query `token_injection` calls so.
    """
    of_set = [row for row in rows if row["feature"] in (None, "the set")]
    if all(row["share"] is None for row in of_set):
        return "its features are no more active in their own prompts than in neutral texts"
    shares = ", ".join(
        f"{'none' if row['share'] is None else format(row['share'], '.2f')} ({place_text(row)})"
        for row in of_set
    )
    return (
        "in neutral texts the strongest tokens of its features alone give them these shares of their "
        f"activation in their own prompts: {shares}"
    )


def place_text(row: Mapping[str, Any]) -> str:
    """Where tokens were put, and of sequences of them how long these are."""
    return str(row["placement"]) if row["gram"] == 1 else f"{row['placement']}, {row['gram']}-grams"


def set_lines(
    overlaps: Sequence[Mapping[str, Any]], injected: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What is said of the sets that ablations selected, of rows of their tables."""
    lines = [f"{row['ablation']}: {overlap_text(row)}" for row in overlaps]
    for name in dict.fromkeys(row["ablation"] for row in injected):
        mine = [row for row in injected if row["ablation"] == name]
        lines.append(f"{name}: {injection_text(mine)}")
    return lines


def shown_token(token: str) -> str:
    """A token as it reads; tokenizers write a space as a lower one eighth block, or a G with a dot."""
    return token.replace("\u2581", " ").replace("\u0120", " ").replace("\n", "\u21b5")


def p_text(p: float) -> str:
    """A p value in two digits."""
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.1e}"


def closing_lines(outcomes: "Sequence[Outcome]") -> list[str]:
    """What to read after the table: what this is evidence of, where it lies, how to go on."""
    lines = []
    mocks = {outcome.target.name for outcome in outcomes if outcome.target.origin == "mock"}
    if mocks:
        lines.append(
            f"{', '.join(sorted(mocks))} ran with random SAEs: these verdicts try the pipeline and are "
            "no evidence of anything."
        )
    stand_ins = {outcome.target.name for outcome in outcomes if outcome.target.origin == "stand-in"}
    if stand_ins:
        lines.append(
            f"{', '.join(sorted(stand_ins))} is a stand-in: these verdicts show that the method "
            "works and say nothing about Gemma."
        )
    for outcome in outcomes:
        if outcome.limited:
            lines.append(
                f"{outcome.spec} was {outcome.exploratory}: these verdicts are a trial and no evidence of "
                "anything."
            )
        elif outcome.exploratory:
            lines.append(f"{outcome.spec} is exploratory: {outcome.exploratory}.")
    last = outcomes[-1]
    lines.append(f"Everything is in {relative_path(last.db)}. For example:")
    lines += ["  " + sql_command(last.db, query) for query in example_queries(last)]
    return [*lines, f"  {command_line('report', last.run_id, db=last.db)}"]


def example_queries(outcome: "Outcome") -> tuple[str, str]:
    """What to ask next: all verdicts, and the run's strongest features or its behaviour."""
    verdicts = verdicts_query(outcome.run_id, trial=outcome.limited)
    return verdicts, rows_query(outcome.run_id, reads_features=outcome.reads)


def sql_command(db: Path, query: str) -> str:
    """A command that shows the rows."""
    # In double quotes, where a shell reads it as it stands: SQL is full of single ones.
    quoted = shlex.quote(query) if re.search(r'["$`\\!\n]', query) else f'"{query}"'
    return f"{harness_command()} sql{db_option(db)} {quoted}"


def command_line(*words: str, db: Path, program: str = "") -> str:
    """A command with these words and the results file, as a shell reads it."""
    return command(*words, program=program or harness_command()) + db_option(db)


def db_option(db: Path) -> str:
    """What a command needs to find the results file, where it is not the default one."""
    return "" if db.resolve() == DEFAULT_DB.resolve() else f" --db {shlex.quote(relative_path(db))}"


def harness_command() -> str:
    """How this installation's `harness` is called from here, on the path or not."""
    script = Path(sys.executable).parent / "harness"
    below = script.is_file() and script.is_relative_to(Path.cwd())
    return str(script.relative_to(Path.cwd())) if below else "harness"


def relative_path(path: Path) -> str:
    """A path as it is typed from here."""
    here = Path.cwd()
    full = path.resolve()
    return str(full.relative_to(here) if full.is_relative_to(here) else path)


def value_text(key: str, value: Any) -> str:
    """A column of a run's line for people."""
    if value is None or value != value:
        return "-"
    if key in ("peak_memory", "peak_device_memory"):
        return f"{value / 1e9:.2f} GB"
    if key == "feature_sources":
        with suppress(InputError):  # else as it is: a stranger's line is shown, too
            sets = sets_of({key: value, "run_id": ""})
            return "; ".join(f"{name} edits {one}" for name, one in sets.items())
    if isinstance(value, list):
        return ", ".join("-" if each is None else str(each) for each in value) or "-"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else short_text(value)


def verdict_with_trial(verdict: str | None, run: Mapping[str, Any]) -> str:
    """A verdict as it may be told: a trial's is none."""
    if verdict is None:
        return "-"
    return f"{word}: {verdict}" if (word := trial_word(run)) else verdict


# What two runs are told apart by.
COMPARED_COLUMNS = (
    "spec_name", "spec_hash", "target", "origin", "model", "model_revision", "model_hash", "sae",
    "sae_revision", "sae_hash", "hook", "layers", "readout", "metric", "seed", "device", "dtype", "attention",
    "batch_size", "code_hash", "harness_version", "torch_version", "transformers_version",
)  # fmt: skip
