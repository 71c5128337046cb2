"""What a plan costs on several workers: the arithmetic, and where its rates are from."""

import json
import re
import shutil

import duckdb
import pytest

from harness.reports.terminal.cost import stage_line
from harness.runner.cost import StageCost, Walls, cost_of, stage_seconds
from harness.runner.output_scores import OPENINGS
from harness.runner.pipeline import STRONGEST
from harness.runner.planned_cost import planned_cost
from harness.runner.stage_groups import BY_LAYER, Grouping, stage_groups
from harness.runner.stored_plan import stored_plan
from harness.specs import workload
from harness.specs.spec_file import load
from harness.store.database import Store
from harness.store.find_run import find_run
from tests.helpers.cli import invoke
from tests.helpers.store import query

STAGES = [(10, 1.4, 1.5), (1, 11.0, 11.0), (96, 0.6, 0.9), (7, 0.8, 2.5)]


def dealt(groups, mean, longest, workers):
    """Seconds of a stage whose groups are dealt out round by round, each as long as the mean one."""
    left, seconds = groups, 0.0
    while left > 0:
        left -= workers
        seconds += mean
    return longest if longest > seconds else seconds


@pytest.fixture(scope="module")
def ran(few):
    """The results file of a small run, its line and its plan."""
    db, run_id = few
    with Store.open_to_read(db) as store:
        run = find_run(store, run_id)
        return db, run, stored_plan(store, run)


def changed(db, folder, *statements):
    """A copy of a results file after some SQL."""
    copy = folder / "r.duckdb"
    shutil.copy(db, copy)
    with duckdb.connect(str(copy)) as connection:
        for statement in statements:
            connection.execute(statement)
    return copy


def test_a_stage_is_dealt_out_in_rounds():
    walls = Walls(3.0, STAGES)
    for workers in (*range(1, 40), 1000):
        assert walls.at(workers) == pytest.approx(
            3 + sum(dealt(*stage, workers) for stage in STAGES)
        )
    # A single worker does everything in turn, however long a group is.
    assert walls.at(1) == pytest.approx(3 + sum(groups * mean for groups, mean, _ in STAGES))


def test_more_workers_than_are_told_save_little_and_as_many_do_save():
    walls = Walls(3.0, STAGES)
    enough = walls.enough()
    saved = {n: 1 - walls.at(2 * n) / walls.at(n) for n in range(1, 500)}
    assert saved[enough] >= 0.05
    assert all(saved[n] < 0.05 for n in saved if n > enough)
    assert Walls(100.0, STAGES[1:2]).enough() == 0


def test_groups_are_those_of_the_run(ran):
    """Units of one group share its seconds evenly; of what adds up the ledger does not tell the groups."""
    db, run, plan = ran
    by = Grouping(run["batch_size"], on_cpu=True, parameters=1_600_000)
    told = stage_groups(plan, by)
    seen = query(
        db,
        "SELECT stage, ablation, count(DISTINCT seconds) FROM units "
        "WHERE stage NOT IN ('survey', 'profile') GROUP BY ALL ORDER BY ALL",
    )
    assert seen == sorted(
        (one.stage, one.units[0].ablation, len(one.sizes))
        for one in told
        if one.stage not in ("survey", "profile")
    )
    work = [one for one in workload.workload(plan) if one.stage != workload.OUTPUTS]
    tokens = sum(one.tokens for one in told if one.part != BY_LAYER)
    assert tokens == pytest.approx(sum(one.tokens for one in work))
    for one in told:
        some = (one.units[:1], one.units[1:], one.units)
        first, others, every = (one.done({unit.id for unit in units}) for units in some)
        assert first > 0
        assert first + others == pytest.approx(every) == pytest.approx(1)


def test_what_adds_up_is_divided_by_texts_and_a_survey_then_by_layer():
    plan = load("voices").plan("organism")
    told = stage_groups(plan, Grouping(16, on_cpu=True, parameters=1_600_000))
    texts = {prompt.text for prompt in plan.of("discovery")}
    sums, layers = (one for one in told if one.stage == "survey")
    assert (sum(sums.sizes), max(sums.sizes)) == (len(texts), 64)
    assert (layers.label, layers.sizes) == ("survey, by layer", (1,) * 6)
    assert layers.tokens == 6 * 2 * 512  # two replays of the sample


def test_every_look_at_the_controls_has_groups_of_its_own():
    plan = load("voices").plan("organism")
    told = stage_groups(plan, Grouping(16, on_cpu=True, parameters=1_600_000))
    looks = [one for one in told if one.stage == "ablate"]
    assert [one.label for one in looks] == [
        "ablate top",
        "ablate top, look 2",
        "ablate top, look 3",
    ]
    # All of 45 further replays are made with the first 19 of 99 controls.
    shares = [one.tokens / sum(one.tokens for one in looks) for one in looks]
    assert shares == pytest.approx([64 / 144, 30 / 144, 50 / 144])
    beside = next(one for one in told if one.stage == "side effects")
    # On the other variant of its own prompts an edit is replayed without controls: two rows a prompt.
    rows = sum(len(unit.prompts) * (21 if unit.file else 2) for unit in beside.units)
    assert sum(beside.sizes) == rows


def test_one_worker_takes_what_the_run_took(ran):
    db, run, plan = ran
    cost = planned_cost(plan, db, device="cpu", workers=1, price=7.2).cost
    since = (run["finished_at"] - run["created_at"]).total_seconds()
    # A model that was there already is loaded all the same.
    assert cost.loading >= run["wall_seconds"] - since
    assert cost.wall - cost.loading == pytest.approx(since)
    assert cost.wall == pytest.approx(
        cost.loading + sum(one.seconds for one in cost.stages) + cost.serial
    )
    assert cost.device_hours == pytest.approx(cost.wall / 3600)
    assert cost.dollars == pytest.approx(cost.wall * 0.002)
    seconds = dict(query(db, "SELECT stage, sum(seconds) FROM units GROUP BY ALL"))
    for stage, took in seconds.items():
        told = sum(one.seconds for one in cost.stages if re.match(f"{stage}\\b", one.stage))
        assert told == pytest.approx(took), stage
    with Store.open_to_read(db) as store:
        tables = list(store.tables(run["run_id"]))
    assert cost.rows == pytest.approx(sum(len(rows) for _, rows in tables))
    assert cost.stored == pytest.approx(db.stat().st_size, rel=0.01)
    (trace,) = (one for one in cost.stages if one.stage == "trace")
    sizes = {name: rows.nbytes for name, rows in tables}
    assert trace.moved == pytest.approx(
        sizes["prompt_tokens"] + sizes["token_activations"], rel=0.1
    )


def test_the_parts_of_several_workers_add_up(ran):
    db, _, plan = ran
    cost = planned_cost(plan, db, device="cpu", workers=3).cost
    assert cost.wall == pytest.approx(
        cost.loading + sum(one.wall for one in cost.stages) + cost.serial
    )
    for one in cost.stages:
        assert one.wall == pytest.approx(dealt(one.groups, one.mean, one.longest, 3))
    assert cost.device_hours == pytest.approx(3 * cost.wall / 3600)
    assert cost.busy_hours == pytest.approx(
        (3 * cost.loading + sum(one.seconds for one in cost.stages)) / 3600
    )
    assert cost.dollars is None
    assert dict(cost.doublings)[1] == pytest.approx(cost.loading + cost.serial + sum(
        one.seconds for one in cost.stages
    ))  # fmt: skip


def test_an_ablation_that_ended_early_counts_for_what_was_done(ran, tmp_path):
    """Half of the units gone with half of the seconds leave the rate as it was."""
    db, _, plan = ran
    whole = planned_cost(plan, db, device="cpu", workers=1).cost
    half = changed(
        db,
        tmp_path,
        "UPDATE units SET seconds = 1 WHERE stage = 'observe'",
        "DELETE FROM units WHERE stage = 'observe' AND family = (SELECT max(family) FROM units)",
    )
    left = len(query(half, "SELECT * FROM units WHERE stage = 'observe'"))
    cost = planned_cost(plan, half, device="cpu", workers=1).cost
    # Every family has as many prompts, and so a second each.
    assert cost.stages[0].seconds == pytest.approx(left + left / 5)
    assert cost.stages[1].seconds == whole.stages[1].seconds


def test_without_a_run_it_is_the_least_by_speeds_and_says_so(ran, tmp_path):
    _, _, plan = ran
    found = planned_cost(plan, tmp_path / "none.duckdb", device="cpu", workers=2)
    assert not found.measured
    assert "GFLOP/s" in found.rates
    assert "the least it takes" in found.rates
    assert "no run of organism in float32 is in" in found.rates
    assert found.cost.rows is found.cost.stored is found.cost.moved is None
    assert found.cost.serial > 0  # the forwards of the output scores
    assert found.cost.sent > 0


@pytest.mark.parametrize(
    "change, said",
    [
        ("device = 'NVIDIA H100'", "on NVIDIA H100, which is not the cpu here"),
        ("platform = 'elsewhere'", "on cpu, which is not the cpu here"),
    ],
)
def test_another_devices_rates_are_not_taken_without_saying_so(ran, tmp_path, change, said):
    db, run, plan = ran
    other = changed(db, tmp_path, f"UPDATE runs SET {change}")
    found = planned_cost(plan, other, device="cpu", workers=2)
    assert said in found.rates
    assert not found.here
    # Where there is a run on this device as well, it is that one's.
    both = changed(
        other,
        tmp_path / "..",
        "CREATE TEMP TABLE mine AS SELECT * REPLACE ('a' AS run_id, 'cpu' AS device, "
        f"'{run['platform']}' AS platform, finished_at - INTERVAL 1 DAY AS finished_at, "
        "created_at - INTERVAL 1 DAY AS created_at) FROM runs",
        "INSERT INTO runs SELECT * FROM mine",
        "INSERT INTO units SELECT * REPLACE ('a' AS run_id) FROM units",
        "INSERT INTO prompts SELECT * REPLACE ('a' AS run_id) FROM prompts",
        "INSERT INTO prompt_tags SELECT * REPLACE ('a' AS run_id) FROM prompt_tags",
    )
    found = planned_cost(plan, both, device="cpu", workers=2)
    assert found.here
    assert found.rates == "from run a on cpu"


def test_what_a_resumed_run_does_not_tell_is_estimated(ran, tmp_path):
    """It knows the time of its last process alone."""
    db, run, plan = ran
    resumed = changed(db, tmp_path, "UPDATE runs SET wall_seconds = 0.1")
    found = planned_cost(plan, resumed, device="cpu", workers=1)
    assert "of what no run had, the least it takes" in found.rates
    assert 0 < found.cost.loading < 30
    assert 0 < found.cost.serial < 1
    assert {one.rates for one in found.cost.stages} == {run["run_id"]}


def test_a_run_in_another_dtype_or_with_random_saes_is_no_measure(ran, tmp_path):
    db, _, plan = ran
    for change in ("dtype = 'bfloat16'", "origin = 'mock'", "status = 'unfinished'"):
        other = changed(db, tmp_path, f"UPDATE runs SET {change}")
        assert not planned_cost(plan, other, device="cpu", workers=1).measured


def test_output_scores_are_counted_as_they_are_made():
    assert (STRONGEST, len(OPENINGS)) == (workload.READ, workload.OPENINGS)
    plan = load("voices").plan("organism")
    (work,) = (one for one in workload.workload(plan) if one.stage == workload.OUTPUTS)
    assert work.replays == STRONGEST + 10
    assert work.tokens < 300


def test_a_price_by_hand():
    """40 groups of 4 s on 16 workers are 3 rounds; 5 s of loading, and 1 s of one process."""
    plan = load("voices").plan("organism")
    groups = stage_groups(plan, Grouping(16, on_cpu=True, parameters=10**9))
    estimated = {one.name: 0.0 for one in groups} | {"observe": 160.0}
    cost = cost_of(
        plan, groups, None, estimated=estimated, loading=5, serial=1, workers=16, price=3
    )
    assert (cost.stages[0].groups, cost.stages[0].rounds) == (40, 3)
    assert cost.wall == pytest.approx(5 + 12 + 1)
    assert cost.device_hours == pytest.approx(16 * 18 / 3600)
    assert cost.busy_hours == pytest.approx((16 * 5 + 160) / 3600)
    assert cost.dollars == pytest.approx(3 * 16 * 18 / 3600)


def test_the_command_shows_the_arithmetic(few):
    db, run_id = few
    call = ("plan", "pilot", "--target", "organism", "--device", "cpu", "--db", db)
    told = invoke(*call, "--workers", 4, "--price", "2.5").output
    assert f"from run {run_id} on cpu\n" in told
    assert re.search(r"\n +observe  1 group x [\d.]+ s = [\d.]+ s\n", told)
    assert re.search(r"\n +device hours  4 workers x [\d.]+ s / 3600 = .* hours", told)
    assert " x $2.50 = $" in told
    plain = json.loads(invoke(*call, "--workers", 4, "--json").stdout)["cost"]
    assert plain["cost"]["workers"] == 4
    assert plain["cost"]["wall"] == pytest.approx(
        plain["cost"]["loading"]
        + sum(one["wall"] for one in plain["cost"]["stages"])
        + plain["cost"]["serial"]
    )
    alone = invoke(*call, "--price", "2.5")
    assert alone.exit_code == 2
    assert "--workers" in alone.output
    assert invoke(*call, "--workers", 0).exit_code == 2


@pytest.mark.parametrize(
    "groups, longest, workers, said",
    [
        (120, 4.0, 16, "120 groups x 4 s / 16 workers = 8 rounds x 4 s = 32 s"),
        (128, 4.0, 16, "128 groups x 4 s / 16 workers = 32 s"),
        (128, 4.0, 1, "128 groups x 4 s = 512 s"),
        (1, 4.0, 16, "1 group x 4 s = 4 s"),
        (3, 9.0, 16, "3 groups x 4 s / 16 workers: the longest group = 9 s"),
    ],
)
def test_a_line_shows_how_its_seconds_come_about(groups, longest, workers, said):
    wall = stage_seconds(groups, 4.0, longest, workers)
    stage = StageCost("s", "", groups, 4.0 * groups, 4.0, longest, -(-groups // workers), wall, 0)
    assert stage_line(stage, workers) == said


def test_a_run_of_several_workers_does_not_tell_what_one_process_does(ran, tmp_path):
    """Its stages have more seconds than passed."""
    db, _, plan = ran
    spread = changed(db, tmp_path, "UPDATE units SET seconds = 1000 * seconds")
    found = planned_cost(plan, spread, device="cpu", workers=1)
    assert 0 < found.cost.serial < 1
