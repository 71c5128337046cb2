"""The public names of `harness` with their types: `nox -s types` reads this, nothing runs it."""

from pathlib import Path
from typing import assert_type

import harness


def uses() -> None:
    """What a caller writes, and what the types of it are."""
    spec = harness.load_spec("voices")
    assert_type(spec, harness.Spec)
    assert_type(harness.plan(spec, "organism"), harness.Plan)
    assert_type(harness.plan("voices").families("discovery"), tuple[str, ...])
    outcome = harness.run("pilot", target="organism", db="results.duckdb", mock=True, say=print)
    assert_type(outcome, harness.Outcome)
    assert_type(outcome.verdicts, tuple[harness.Verdict, ...])
    assert_type(outcome.all_supported, bool)
    assert_type(outcome.run_id, str)
    with harness.open_store("results.duckdb", snapshot=True) as results:
        assert_type(results, harness.ResultsFile)
        assert_type(results.verdicts("latest")[0].estimate, float | None)
        results.sql("top_features", run="voices", limit=3)
        assert_type(results.compare("a", "b"), harness.Comparison)
    assert_type(harness.compare("a", "b", db="results.duckdb").rows[0].p, float | None)
    assert_type(harness.report("latest", db="results.duckdb", output="page.html"), Path)
    assert_type(harness.__version__, str)
    try:
        harness.run("pilot", target=1)  # type: ignore[arg-type]
    except harness.InputError as error:
        assert_type(error.faults, tuple[harness.Fault, ...])
    except harness.CannotRun as error:
        assert_type(error.status, int)
    except harness.HarnessError:
        harness.nothing  # type: ignore[attr-defined]  # noqa: B018
