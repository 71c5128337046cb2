"""A small slice of the benchmark of wide statistics, and that its data are what it says."""

import pytest

from benchmarks.wide_statistics import LAYERS, STEPS, Size, measure, plan_of, report, write
from harness.analysis.pairs import read_pairs
from harness.store.database import Store

SMALL = Size(families=1_060, width=64, seconds=60, gib=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("wide") / "wide.duckdb"
    write(path, SMALL)
    return path


def test_every_step_says_its_time_and_its_memory(file, figures):
    for step in STEPS:
        report(step, SMALL, **measure(step, file, SMALL))
    shown = figures()
    assert len(shown) == 2 * len(STEPS)
    assert {one["unit"] for one in shown.values()} == {"s", "GiB"}


def test_its_values_are_sparse_and_of_every_feature(file):
    plan = plan_of(SMALL)
    with Store.open_to_read(file) as store:
        pairs = read_pairs(store, plan, "confirmation", "wide")
    assert pairs.correct.shape == (SMALL.families // 2, LAYERS * SMALL.width)
    assert pairs.units.n == SMALL.families // 2
