"""Claims on features that another eval froze: collected by pytest with it, after it, and without it."""

import shutil

import pytest

from harness.store.database import Store
from tests.helpers.specs import write_few
from tests.runner.test_frozen_sets import write_taker

TAKER = "evals/taker.yaml::matters"
TARGET = ("--harness-target=organism", "--harness-device=cpu", "--harness-db=r.duckdb")


@pytest.fixture
def evals(pytester):
    """A folder with the evals `few` and `taker`, which takes features from it."""
    folder = pytester.mkdir("evals")
    write_few(folder)
    write_taker(folder)
    return folder


def runs(pytester):
    with Store.open_to_read(pytester.path / "r.duckdb") as store:
        return store.query(
            "SELECT spec_name, run_id, feature_sources FROM runs ORDER BY created_at"
        )[1]


@pytest.mark.parametrize("more", [(), ("--harness-mock",)])
def test_the_source_runs_first_whichever_claim_is_asked_first(pytester, evals, run_here, more):
    found = run_here(TAKER, "evals/few.yaml::any", *TARGET, *more)
    counts = found.parseoutcomes()
    assert counts.get("passed", 0) + counts.get("failed", 0) + counts.get("skipped", 0) == 2, counts
    assert "errors" not in counts
    (first, run, own), (second, _, taken) = runs(pytester)
    assert (first, second, own) == ("few", "taker", None)
    assert run in taken
    assert "no finished run" not in found.stdout.str()


def test_a_source_of_an_earlier_session_is_taken(pytester, evals, few, run_here):
    shutil.copy(few[0], pytester.path / "r.duckdb")
    found = run_here(TAKER, *TARGET)
    assert "errors" not in found.parseoutcomes()
    (_, run, _), (name, _, taken) = runs(pytester)
    assert (name, run) == ("taker", few[1])
    assert run in taken
    assert "verdicts" in found.stdout.str()


@pytest.mark.parametrize(("more", "words"), [((), ""), (("--harness-mock",), " --mock")])
def test_without_a_source_every_claim_says_which_command_makes_it(
    pytester, evals, run_here, more, words
):
    """Also what needs no feature: a run is whole, or it is not begun."""
    found = run_here("evals/taker.yaml", *TARGET, *more)
    found.assert_outcomes(failed=2)
    found.stdout.fnmatch_lines(
        [
            "*taker, ablation again: it takes its features from few/top, and no finished run of it is in "
            f"*r.duckdb on organism; first: `harness run few --target organism{words}`*"
        ]
    )
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    assert runs(pytester) == []
