"""A slice of the calibration: promises kept in a few hundred replicates, and a broken one seen."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import (
    calibration,
    cluster_rows,
    control_nulls,
    decoy_nulls,
    skew_rows,
    source_nulls,
    stability_rows,
    transfer_nulls,
    verdict_nulls,
)
from benchmarks.calibration import Row, calibrate, table
from benchmarks.calibration_page import rows_of
from benchmarks.cause_splits import COMMITTED
from harness.analysis import ablation_verdicts, mean_verdicts, two_sample_tests
from harness.stats import control_rank_p

pytestmark = pytest.mark.slow  # simulations


@pytest.fixture(scope="module")
def rows():
    return calibrate(200)


def test_every_promise_is_kept(rows):
    groups = {
        "null", "discoveries", "coverage", "power", "verdicts", "controls", "sources", "baselines", "skew", "clusters",
        "stability", "sets", "splits", "tokens",
    }  # fmt: skip
    assert {row.group for row in rows} == groups | ({"causes"} if COMMITTED.exists() else set())
    assert [row.what for row in rows if not row.holds] == []


def test_a_page_s_rows_are_read_again_as_they_were_written(rows, root):
    again = rows_of(table(rows))
    assert table(again) == table(rows)
    assert [row.hits for row in again] == [row.hits for row in rows]
    page = (root / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert table(rows_of(page)) == page


def test_the_page_says_each_row(rows, root):
    page = table(rows)
    committed = (root / "docs" / "calibration.md").read_text(encoding="utf-8")
    for row in rows:
        assert f"| {row.what} |" in page
        assert f"| {row.what} |" in committed
    assert "**no**" not in committed
    assert (root / "docs" / "calibration.png").exists()


def test_a_broken_promise_is_seen():
    assert not Row("null", "pairs taken for units", 0.05, "at most", 200, 200).holds
    assert not Row("coverage", "too narrow", 0.95, "equal", 120, 200).holds
    assert Row("null", "conservative", 0.05, "at most", 0, 200).holds
    assert Row("skew", "nothing is promised", 0.05, "none", 200, 200).holds


def test_a_statistic_that_peeks_is_caught(monkeypatch):
    """p values half as large as they should be break the null rows."""
    honest = calibration.paired_max_t

    def cheat(*arguments, **options):
        found = honest(*arguments, **options)
        return type(found)(**vars(found) | {"p_adjusted": np.asarray(found.p_adjusted) / 4})

    monkeypatch.setattr(calibration, "paired_max_t", cheat)
    assert not all(row.holds for row in calibration.nulls(200))


def test_each_row_is_a_figure_and_sign_flips_have_the_power_of_the_t_test(
    rows, figures, monkeypatch, tmp_path
):
    monkeypatch.setattr("sys.argv", ["calibration"])
    monkeypatch.setattr(calibration, "DOCS", tmp_path)
    monkeypatch.setattr(calibration, "calibrate", lambda replicates: rows)
    if not find_spec("matplotlib"):
        monkeypatch.setattr(calibration, "draw", lambda rows, path: None)
    assert calibration.main() == 0
    shown = figures()
    assert [(row.what, row.share) for row in rows] == [
        (name, figure["value"]) for name, figure in shown.items()
    ]
    assert (tmp_path / "calibration.md").read_text(encoding="utf-8") == table(rows)
    for name in [name for name in shown if name.startswith("t test, ")]:
        flips = shown[name.replace("t test", "sign flips")]
        assert flips["value"] == pytest.approx(shown[name]["value"], abs=0.1)


def test_a_broken_promise_is_a_figure_that_does_not_hold(figures, monkeypatch, tmp_path):
    broken = Row("null", "pairs taken for units", 0.05, "at most", 200, 200)
    monkeypatch.setattr("sys.argv", ["calibration"])
    monkeypatch.setattr(calibration, "DOCS", tmp_path)
    monkeypatch.setattr(calibration, "calibrate", lambda replicates: [broken])
    monkeypatch.setattr(calibration, "draw", lambda rows, path: None)
    assert calibration.main() == 1
    assert not figures()[broken.what]["holds"]


def test_a_verdict_that_asks_for_a_part_of_the_claim_is_caught(monkeypatch):
    """As it was once: the impact beyond the controls and its rank, and never the impact itself."""
    honest = ablation_verdicts.family_part

    def blind(name, *rest):
        part = honest(name, *rest)
        return replace(part, is_shown=True, is_refuted=False) if name == "its own impact" else part

    monkeypatch.setattr(ablation_verdicts, "family_part", blind)
    broken = [row.what for row in verdict_nulls.ablation_verdicts(200) if not row.holds]
    assert "moves the wrong way, less than 20 controls: supported" in broken


def test_a_rank_without_what_the_sets_are_like_is_caught(monkeypatch):
    """Where the selection follows what drives impact, leaves alone do not hold the level."""
    monkeypatch.setattr(
        control_nulls,
        "residual_rank_p",
        lambda target, controls, _: control_rank_p(target, controls),
    )
    broken = [row.what for row in control_nulls.control_ranks(400) if not row.holds]
    assert "rank of 10 features that were selected strongly by what drives impact" in broken


def test_controls_that_never_are_the_target_s_are_caught(monkeypatch):
    """As they once were: each among the others, with the selected features left out."""
    monkeypatch.setattr(
        control_nulls,
        "rank_of",
        lambda targets, profile, impact, controls, seed: control_nulls.nearest_rank(
            targets, profile, impact, seed
        ),
    )
    broken = [row.what for row in control_nulls.control_ranks(400) if not row.holds]
    assert broken


def test_sources_that_each_are_drawn_by_themselves_are_caught():
    """Where a family may have another one's source twice, a plain rank does not hold the level."""
    drawn = source_nulls.drawn_apart(1000)
    assert drawn.holds
    assert not replace(drawn, kind="at most").holds


def test_what_one_family_carries_would_be_called_more_often(monkeypatch):
    carried = {row.what: row.share for row in skew_rows.skewed(4000)}
    monkeypatch.setattr(mean_verdicts, "_carrier", lambda *_: "")
    without = {row.what: row.share for row in skew_rows.skewed(4000)}
    assert all(carried[what] <= share for what, share in without.items())
    assert any(carried[what] < share for what, share in without.items())


def test_families_of_a_principle_taken_for_independent_are_caught(monkeypatch):
    """As they are where no cluster is declared: the rows by principle break where units are families."""
    shown = {row.what: row.share for row in cluster_rows.principles(800)}
    by_family = [share for what, share in shown.items() if "by family, called above" in what]
    assert min(by_family) > 0.15
    honest = cluster_rows.units_of

    def apart(sizes):
        families, principles = honest(sizes)
        return families, replace(principles, of=families.of)

    monkeypatch.setattr(cluster_rows, "units_of", apart)
    broken = [row.what for row in cluster_rows.principles(800) if not row.holds]
    assert {what.rpartition(", ")[2] for what in broken} >= {
        "flips", "called above or below", "interval holds it",
    }  # fmt: skip


def test_a_selection_on_the_principles_that_confirm_is_seen():
    same, other = cluster_rows.selected(1200)
    assert same.share > 0.08
    assert other.holds
    assert other.share < 0.03


def test_pairs_taken_for_families_of_a_decoy_are_caught(monkeypatch):
    honest = two_sample_tests.two_sample_ratio

    def pairwise(one, of_one, other, of_other, **more):
        return honest(one, range(len(one)), other, range(len(one), len(one) + len(other)), **more)

    monkeypatch.setattr(two_sample_tests, "two_sample_ratio", pairwise)
    what = "decoys of 20 families at the claimed share of 20, 1 kind: supported"
    assert not next(row for row in decoy_nulls.decoy_verdicts(2000) if row.what == what).holds


def test_pairs_taken_for_families_of_a_transfer_are_caught(monkeypatch):
    honest = two_sample_tests.two_sample_ratio

    def pairwise(one, of_one, other, of_other, **more):
        return honest(one, range(len(one)), other, range(len(one), len(one) + len(other)), **more)

    monkeypatch.setattr(transfer_nulls, "PAIRS", 8)
    for broken in (False, True):
        if broken:
            monkeypatch.setattr(two_sample_tests, "two_sample_ratio", pairwise)
        found = transfer_nulls.verdicts("normal", transfer_nulls.SHARE, 12, 12, 100)
        row = Row("verdicts", "12 families of 8 pairs", 0.025, "at most", found["supported"], 100)
        assert row.holds is not broken


def test_halves_that_share_families_are_caught(monkeypatch):
    """Noise is then selected again since the same families chose it."""
    honest = stability_rows.chosen

    def shared(x, y, units, weights):
        return honest(x, y, units, np.maximum(weights, 1))

    monkeypatch.setattr(stability_rows, "chosen", shared)
    assert not next(stability_rows.stable(400)).holds
