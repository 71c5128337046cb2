"""A slice of the benchmark of sites: every kind of edit is made, and costs what is printed."""

from benchmarks.intervention_jobs import Size
from benchmarks.sites import MOST, costs


def test_every_site_and_topk_is_timed_beside_the_stream(figures):
    costs(Size(layers=4, width=64, sae=256, prompts=4, ablated=2), rounds=1)
    shown = figures()
    assert [f"sites: {name} / stream" for name in MOST] == list(shown)
    assert all(0 < one["value"] < 100 for one in shown.values())
