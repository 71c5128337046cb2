"""An outcome with verdicts, made up."""

from dataclasses import replace
from pathlib import Path

from harness.analysis.verdict import Verdict
from harness.runner.outcome import Outcome
from harness.specs.targets import load_targets


def an_outcome(**changed):
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
