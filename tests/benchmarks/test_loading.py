"""A slice of the benchmark of loading: a file of every layout is written, read and timed."""

from benchmarks.loading import LAYOUTS, times


def test_every_layout_is_timed_beside_its_bytes(figures):
    times(32, 64, rounds=1)
    shown = figures()
    assert [f"loading: {name} / its bytes" for name in LAYOUTS] == list(shown)
    assert all(one["value"] > 0 for one in shown.values())
