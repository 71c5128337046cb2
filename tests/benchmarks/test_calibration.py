"""A slice of the calibration: promises kept in a few hundred replicates, and a broken one seen."""

import numpy as np
import pytest

from benchmarks import calibration
from benchmarks.calibration import Row, calibrate, table


@pytest.fixture(scope="module")
def rows():
    return calibrate(200)


def test_every_promise_is_kept(rows):
    assert {row.group for row in rows} == {"null", "discoveries", "coverage", "power"}
    assert [row.what for row in rows if not row.holds] == []


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


def test_a_statistic_that_peeks_is_caught(monkeypatch):
    """p values half as large as they should be break the null rows."""
    honest = calibration.paired_max_t

    def cheat(*arguments, **options):
        found = honest(*arguments, **options)
        return type(found)(**vars(found) | {"p_adjusted": np.asarray(found.p_adjusted) / 4})

    monkeypatch.setattr(calibration, "paired_max_t", cheat)
    assert not all(row.holds for row in calibration.nulls(200))
