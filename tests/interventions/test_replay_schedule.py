"""Replays together: every job once, each beside its baseline, within bounds, and few columns too many."""

from collections import Counter
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.interventions.replay_schedule import Job, chunks, share_baselines

COLUMNS = 20
jobs = st.lists(
    st.builds(
        Job,
        block=st.integers(0, 2),
        row=st.integers(0, 3),
        first=st.integers(0, COLUMNS - 1),
        intervention=st.integers(0, 40),
        with_baseline=st.booleans(),
    ),
    max_size=40,
    unique_by=lambda job: (job.row, job.intervention),
)


def length(row, first):
    return COLUMNS - first


@given(jobs, st.integers(1, 400), st.integers(2, 30))
def test_every_job_is_in_one_chunk_beside_its_twin(jobs, tokens, rows):
    made = list(chunks(jobs, length, tokens=tokens, rows=rows))
    found = Counter((j.row, j.intervention) for c in made for j in c if j.intervention is not None)
    assert found == Counter((job.row, job.intervention) for job in jobs)
    before = {(job.row, job.intervention): job for job in jobs}
    for chunk in made:
        assert len({job.block for job in chunk}) == 1
        baselines = [(job.row, job.first) for job in chunk if job.intervention is None]
        assert len(baselines) == len(set(baselines))
        assert set(baselines) == {(job.row, job.first) for job in chunk if job.with_baseline}
        for job in chunk:
            if job.intervention is not None:
                asked = before[job.row, job.intervention]
                assert job.first <= asked.first
                assert job.with_baseline or job.first == asked.first
        longest = max(length(job.row, job.first) for job in chunk)
        assert len(chunk) <= rows
        assert longest * len(chunk) <= tokens or len(chunk) <= 2


@settings(max_examples=50)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=8))
def test_twins_are_shared_where_that_costs_least(firsts):
    asked = [Job(0, 0, first, i, with_baseline=True) for i, first in enumerate(firsts)]

    def cost(starts):
        return sum(length(0, at) for at in starts) + sum(length(0, at) for at in set(starts))

    found = cost([job.first for job in share_baselines(asked, length)])
    distinct = sorted(set(firsts))
    every = (
        [max(at for at in chosen if at <= first) for first in firsts]
        for size in range(1, len(distinct) + 1)
        for chosen in combinations(distinct, size)
        if distinct[0] in chosen
    )
    assert found == min(map(cost, every))


@given(jobs)
def test_every_chunk_but_the_last_fills_a_third_of_the_tokens_it_may_hold(jobs):
    alone = [Job(0, job.row, job.first, job.intervention) for job in jobs]
    made = list(chunks(alone, length, tokens=4 * COLUMNS, rows=1000))
    for chunk in made[:-1]:
        sizes = [length(job.row, job.first) for job in chunk]
        assert 3 * max(sizes) * len(sizes) >= 4 * COLUMNS or len(made) == 1
