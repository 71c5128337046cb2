"""The results file beside DuckDB's executemany, SQLite and Parquet, and its saved queries at size.

`nox -s bench_store`, or `python -m benchmarks.store [--quick]`. All rows are drawn from a seed, in
the shape of runs with 26 layers, 16,384 features a layer and about 100 of them active on a prompt.
"""

import argparse
import hashlib
import itertools
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.figures import figure, seconds
from harness.specs.prompt import LABELS
from harness.store.database import Store
from harness.store.database_file import connect
from harness.store.queries import SavedQuery, parse_value, saved_queries
from harness.store.tables import interventions, observations, results, runs
from harness.store.tables.columns import Columns
from harness.store.tables.observations import Activations

RUNS, LAYERS, WIDTH = 10, 26, 16_384
DRAWS = 110  # features drawn for a prompt and layer; about 104 of them differ
GROUP = 64  # prompts that a run commits together
STEPS, TOP = 6, 50  # tokens that the model says, and logits kept of each
LENGTH, FOLLOWED = 40, 200  # tokens of a prompt; features whose values are kept at every token
WRITTEN = 10  # tokens of either end that a feature moves most
FEWEST = 3  # prompts of a side on which a tested feature is active
METRICS = (
    "log_p_correct",
    "log_p_misconception",
    "logit_difference",
    "log_mass",
    "kl",
    "top1_flips",
)
SIDES = ("discovery", "confirmation")
EDITED = 5  # features that an ablation removes together
ROLES = {"target": 1, "no-op": 1, "dose": 3, "single": EDITED, "complement": 1, "control": 20}
CONTEXT = "context-dependent"
CLAIMS: dict[str, dict[str, object]] = {
    "behaviour": {"name": "answers-right", "behaviour": "logit_difference", "than": 0},
    "features": {"name": "features-exist", "features": "significant", "at_least": 1},
    "ablation": {"name": "top-matters", "ablation": "top", "beyond": "controls"},
}
ABLATION = {"ablation": "top"}
STARTED = datetime(2026, 11, 1, tzinfo=UTC)
INSERT = "INSERT INTO activations VALUES (?, ?, ?, ?, ?, ?, ?)"
BUSIEST = """
    SELECT layer::VARCHAR AS layer, feature::VARCHAR AS feature
    FROM top_features WHERE run_id = $run ORDER BY firing_rate DESC, rank LIMIT 1
"""
Tables = Sequence[Columns]
Rows = tuple[type[Columns], dict[str, Any]]  # a table, and what of it is not drawn


@dataclass(frozen=True)
class Run:
    """What tells one run from the others; a family has two pairs."""

    number: int
    families: int

    @cached_property
    def spec(self) -> str:
        """The first run is the placebo's."""
        return "voices" if self.number else "placebo"

    @cached_property
    def id(self) -> str:
        """As the store names it."""
        return f"20261101-{self.number:02}0000-000-{self.spec}-gemma-2-2b"

    @cached_property
    def names(self) -> list[str]:
        """Its families; the first half is for discovery."""
        return [f"family-{i:03}" for i in range(self.families)]

    @cached_property
    def prompts(self) -> NDArray[np.str_]:
        """Their ids: the variants of a pair are neighbours."""
        return np.array(list(map("-".join, itertools.product(self.names, "ab", LABELS))))

    @cached_property
    def random(self) -> np.random.Generator:
        """Its own seed's."""
        return np.random.default_rng(self.number)


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, fewer rounds")
    options = parser.parse_args()
    rounds, families, few = (3, 10, 500) if options.quick else (5, 100, 2000)
    with tempfile.TemporaryDirectory() as name:
        held = rows_in(Path(name), rounds, few)
    runs = [Run(number, families) for number in range(RUNS)]
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "results.duckdb")
        fill(file, runs)
        with Store.open_to_read(file) as store:
            held.append(ask(store, runs, rounds))
            read_back(store, runs[-1], file.with_suffix(".parquet"), rounds)
    return 0 if all(held) else 1


def rows_in(folder: Path, rounds: int, few: int, families: int = 100) -> list[bool]:
    """Rows a second and bytes a row of one run's activations, as the run commits them."""
    run = Run(0, families)
    commits = activation_tables(run, firings(run))
    size = sum(map(len, itertools.chain(*commits)))
    ways: dict[str, tuple[Any, int]] = {
        "Store.commit": (by_commit, size),
        "DuckDB executemany": (partial(by_executemany, few), few),  # all would take minutes
        "SQLite executemany": (by_sqlite, size),
        "Parquet, zstd": (by_parquet, size),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, (way, n)) in itertools.product(range(rounds), ways.items()):
        (folder / name).unlink(missing_ok=True)
        rates[name].append(n / way(folder / name, commits))
    ours = np.array(rates["Store.commit"])
    faster = {name: float(np.median(ours / rates[name])) for name in ways}
    stored = {name: (folder / name).stat().st_size / n for name, (_, n) in ways.items()}
    for name, (_, n) in ways.items():
        print(f"{name}: {np.median(rates[name]):,.0f} rows/s of {n:,} activations", end="")
        print(f", {stored[name]:.1f} bytes each" if n == size else "", end="")
        print(f"; Store.commit / this: {faster[name]:.2f}")
    smaller = stored["SQLite executemany"] / stored["Store.commit"]
    return [
        figure("Store.commit", float(np.median(ours)), "rows/s", 1e6),
        figure("Store.commit / executemany", faster["DuckDB executemany"], "x", 100),
        figure("bytes an activation, SQLite / results file", smaller, "x", 4),
    ]


def by_commit(file: Path, commits: list[Tables]) -> float:
    """Seconds until the last row is in a results file, safe from a crash."""
    with Store.open(file) as store:
        return sum(seconds(partial(store.commit, *tables)) for tables in commits)


def by_executemany(few: int, file: Path, commits: list[Tables]) -> float:
    """The first rows, one by one into the same table, in one transaction."""
    rows = list(itertools.islice(by_row(commits), few))
    with Store.open(file):
        pass
    with closing(connect(file)) as connection:
        connection.begin()
        write = partial(connection.executemany, INSERT, rows)
        return seconds(write) + seconds(connection.commit)


def by_sqlite(file: Path, commits: list[Tables]) -> float:
    """Row by row into a table of the same columns, in one transaction."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE activations ({', '.join(Activations.names())})")
        write = partial(connection.executemany, INSERT, by_row(commits))
        return seconds(write) + seconds(connection.commit)


def by_parquet(file: Path, commits: list[Tables]) -> float:
    """All rows at once into one file, in the store's types."""
    types = {"layer": pa.int32(), "feature": pa.int32()}

    def arrow(table: Columns) -> pa.Table:
        names = table.names()
        return pa.table({name: pa.array(getattr(table, name), types.get(name)) for name in names})

    def write() -> None:
        parts = pa.concat_tables(map(arrow, itertools.chain(*commits)))
        pq.write_table(parts, file, compression="zstd")

    return seconds(write)


def by_row(commits: list[Tables]) -> Iterator[tuple[Any, ...]]:
    """Rows of Python's own types: SQLite knows no others."""
    for table in itertools.chain(*commits):
        columns = [getattr(table, name) for name in table.names()]
        yield from zip(*(c if isinstance(c, list) else c.tolist() for c in columns), strict=True)


def ask(store: Store, runs: list[Run], rounds: int) -> bool:
    """Every saved query, of a run, feature and claim for which it has rows."""
    ((size,),) = store.query("SELECT count(*) FROM activations")[1]
    layer, feature = store.query(BUSIEST, {"run": runs[-1].id})[1][0]
    print(f"saved queries of {size:,} activations in {len(runs)} runs, median of {rounds}:")
    taken = {}
    for query, claim in queries_to_ask():
        run = runs[0 if query.name == "placebo_calibration" else -1].id
        given = {"run": run, "run_a": runs[1].id, "run_b": runs[2].id, "claim": claim}
        given |= {"layer": layer, "feature": feature, "set": "voices/top"}
        names = {parameter.name for parameter in query.parameters}
        filled = query.fill({name: given[name] for name in names & given.keys()})
        call = partial(
            store.query, query.sql, {name: parse_value(it) for name, it in filled.items()}
        )
        name, (_, rows) = f"{query.name} {claim}".strip(), call()
        taken[name] = float(np.median([seconds(call) for _ in range(rounds)]))
        print(f"  {name}: {taken[name] * 1e3:.0f} ms, {len(rows):,} rows", flush=True)
        if not rows:
            raise AssertionError(f"{name} finds nothing to time")
    slowest = max(taken, key=taken.__getitem__)
    return figure(f"slowest saved query: {slowest}", taken[slowest], "s", 0.5, at_most=True)


def queries_to_ask() -> Iterator[tuple[SavedQuery, str]]:
    """The saved queries; one that asks for a claim, with each kind of claim."""
    for query in saved_queries().values():
        of_claim = any(parameter.name == "claim" for parameter in query.parameters)
        for claim in CLAIMS.values() if of_claim else [{"name": ""}]:
            yield query, str(claim["name"])


def read_back(store: Store, run: Run, file: Path, rounds: int) -> None:
    """One run's activations as numpy arrays, from among all runs and from a file of its own."""
    rows = store.read(Activations, run.id)
    by_parquet(file, [[rows]])

    def parquet() -> None:
        table = pq.read_table(file)
        Activations(*(table.column(name).to_numpy() for name in rows.names()))

    ways = {"Store.read": partial(store.read, Activations, run.id), "pyarrow of Parquet": parquet}
    for name, way in ways.items():
        rate = len(rows) / np.median([seconds(way) for _ in range(rounds)])
        print(f"{name}: {rate:,.0f} rows/s of {len(rows):,} activations read")


@dataclass(frozen=True)
class Firings:
    """Which features are active on which prompts, in the order in which a run finds them."""

    prompt: NDArray[np.int64]
    layer: NDArray[np.int64]
    feature: NDArray[np.int64]
    value: NDArray[np.float32]


def firings(run: Run) -> Firings:
    """A few features are active on most prompts, most on few, and other ones at each layer."""
    prompts = len(run.prompts)
    rank = (WIDTH * run.random.random((prompts, LAYERS, DRAWS)) ** 3).astype(np.int64)
    prompt, layer, _ = np.ogrid[:prompts, :LAYERS, :DRAWS]
    feature = (rank * 4099 + layer * 977) % WIDTH
    shape = (prompts // GROUP + 1, LAYERS, prompts, WIDTH)
    cells = np.broadcast_arrays(prompt // GROUP, layer, prompt, feature)
    places = np.unique(np.ravel_multi_index(cells, shape))
    _, layer, prompt, feature = np.unravel_index(places, shape)
    return Firings(prompt, layer, feature, run.random.lognormal(1, 1, len(places)).astype("f4"))


def activation_tables(run: Run, fired: Firings) -> list[Tables]:
    """A commit for each group of prompts, a table for each layer in it."""
    ends = np.flatnonzero(np.diff(fired.layer, append=-1)) + 1
    tables = []
    for start, end in itertools.pairwise([0, *ends.tolist()]):
        size, part = end - start, slice(start, end)
        tables.append(
            Activations(
                run_id=[run.id] * size,
                prompt_id=run.prompts[fired.prompt[part]],
                layer=fired.layer[part],
                readout=["last_prompt_token"] * size,
                feature=fired.feature[part],
                value=fired.value[part],
                origin=["real"] * size,
            )
        )
    return [tables[i : i + LAYERS] for i in range(0, len(tables), LAYERS)]


def fill(file: Path, runs: list[Run]) -> None:
    """A results file in which every table has what such runs leave there."""
    with Store.open(file) as store:
        for run in runs:
            fired = firings(run)
            for tables in activation_tables(run, fired):
                store.commit(*tables)
            for kind, given in itertools.chain(descriptions(run), measurements(run, fired)):
                store.commit(rows(store, kind, run, given))


def rows(store: Store, kind: type[Columns], run: Run, given: dict[str, Any]) -> Columns:
    """Rows of a table: a single value holds in all of them, and what is not given is drawn."""
    size = max(len(column) for column in given.values() if isinstance(column, np.ndarray | list))
    given = {"run_id": run.id, "origin": "real"} | given
    columns = {
        field.name: given[field.name] if field.name in given else draw_column(field.type, run, size)
        for field in store.table(f"FROM {kind.table} LIMIT 0").schema
    }
    many = {n: c if isinstance(c, np.ndarray | list) else [c] * size for n, c in columns.items()}
    return kind(**many)


def draw_column(kind: pa.DataType, run: Run, size: int) -> Any:
    """Random numbers, or the same word, time or answer in every row."""
    if pa.types.is_floating(kind):
        return run.random.normal(size=size)
    if pa.types.is_integer(kind):
        return run.random.integers(1, 100, size)
    if pa.types.is_list(kind):
        return [["word"] * LAYERS] * size
    if pa.types.is_timestamp(kind):
        return STARTED
    return False if pa.types.is_boolean(kind) else "word"


def descriptions(run: Run) -> Iterator[Rows]:
    """The run, its units and prompts, what the model says, how the SAEs fit, and the verdicts."""
    prompts, n, claims = run.prompts, len(run.prompts), list(CLAIMS.values())
    spec = {"spec_name": run.spec, "spec": json.dumps({"claims": claims}), "metric": METRICS[2]}
    spec |= {"created_at": STARTED + timedelta(hours=run.number), "status": "finished"}
    blocks = {"layers": [list(range(LAYERS))], "neuronpedia": [["gemma"] * LAYERS]}
    frozen = {"top": {"spec": "voices", "ablation": "top", "run_id": Run(0, run.families).id}}
    spec |= {"feature_sources": json.dumps(frozen)}
    yield runs.Runs, spec | blocks | {"exploratory": None, "analysed_spec": None}
    units = cross(stage=["observe", "generate", "survey", "ablate"], family=run.names)
    yield runs.Units, units | {"unit_id": np.char.add(units["stage"], units["family"])}
    of = {"prompt_id": prompts, "pair_id": np.arange(n) // 2, "line": np.arange(n)}
    of |= {"family": np.repeat(run.names, 4), "label": list(LABELS) * (n // 2)}
    yield runs.Prompts, of | {"split": np.repeat(SIDES, n // 2)}
    yield runs.OtherPrompts, {name: of[name][:4] for name in ("prompt_id", "pair_id", "line")}
    yield runs.PromptTags, cross(prompt_id=prompts, tag=["voice", "topic"])
    yield observations.PromptTokens, cross(prompt_id=prompts, position=range(LENGTH))
    yield observations.Generations, {"prompt_id": prompts, "token_ids": [list(range(STEPS))] * n}
    yield observations.TopkLogits, cross(prompt_id=prompts, step=range(STEPS), rank=range(TOP))
    yield observations.Answers, cross(prompt_id=prompts, candidate=LABELS, token_index=range(2))
    yield observations.Baselines, cross(prompt_id=prompts, candidate=LABELS)
    yield observations.SaeHealth, {"layer": np.arange(LAYERS)}
    yield results.Verdicts, {"claim": [claim["name"] for claim in claims], "kind": list(CLAIMS)}
    yield runs.Registrations, {"spec_hash": [run.id], "spec_name": run.spec, "claims": "[]"}


def measurements(run: Run, fired: Firings) -> Iterator[Rows]:
    """How often and where features fire, their tests on each side, and an ablation of the top ones."""
    count = partial(np.bincount, minlength=LAYERS * WIDTH)
    place, half = fired.layer * WIDTH + fired.feature, len(run.prompts) // 2
    (alive,) = count(place).nonzero()
    yield (
        observations.FeatureActivity,
        at(alive) | {"firing_rate": count(place)[alive] / (2 * half)},
    )
    sign = np.where(fired.prompt % 2, -1, 1)
    for side, on_side in zip(SIDES, (fired.prompt < half, fired.prompt >= half), strict=True):
        (tested,) = (count(place[on_side]) >= FEWEST).nonzero()
        mean = count(place[on_side], (fired.value * sign)[on_side])[tested] * 2 / half
        p = np.where(side == "confirmation", run.random.random(len(tested)), np.nan)
        tests = {"mean_difference": mean, "p_marginal": p, "p_adjusted": np.minimum(1, p * 1000)}
        yield results.FeatureTests, at(tested) | tests | {"split": side}
    (shown,) = np.isin(place, np.argsort(count(place))[-FOLLOWED:]).nonzero()
    tokens = {"prompt_id": run.prompts[fired.prompt[shown]], "value": fired.value[shown]}
    tokens |= {"position": run.random.integers(1, LENGTH, len(shown))}
    yield observations.TokenActivations, at(place[shown]) | tokens
    yield observations.Attributions, ABLATION | cross(family=run.names, feature=range(500))
    traced = np.unique(place[shown])
    yield observations.OutputScores, at(traced)
    ends = cross(place=traced, side=["up", "down"], rank=range(WRITTEN))
    yield observations.FeatureLogits, at(ends.pop("place")) | ends
    yield observations.AttributionErrors, ABLATION | cross(family=run.names, layer=range(LAYERS))
    yield from edits(run, tested[np.argsort(p)[:EDITED]])


def edits(run: Run, top: NDArray[np.int64]) -> Iterator[Rows]:
    """The interventions of an ablation of these features, and what each of them does."""
    named = [(role, number) for role, size in ROLES.items() for number in range(size)]
    ids = np.array([hashlib.sha256(repr(edit).encode()).hexdigest()[:16] for edit in named])
    role, number = np.array([role for role, _ in named]), np.array([number for _, number in named])
    edit, rank = cross(edit=np.arange(len(ids)), rank=np.arange(EDITED)).values()
    edited = (role[edit] != "single") | (rank == number[edit])
    edit, rank = edit[edited], rank[edited]
    of = {"intervention_id": ids[edit], "role": role[edit], "number": number[edit], "rank": rank}
    yield interventions.Interventions, ABLATION | of | at(top[rank]) | {"value": number[edit] / 2}
    tests = cross(intervention_id=ids, metric=METRICS)
    yield results.AblationTests, ABLATION | tests | {"role": np.repeat(role, len(METRICS))}
    rivals = cross(baseline=["mean-difference", "probe"], metric=METRICS)
    yield results.BaselineTests, ABLATION | rivals
    moved = cross(baseline=["mean-difference", "probe"], dimension=range(500))
    yield interventions.BaselineDirections, ABLATION | moved | {"value": run.random.random(1000)}
    found = at(top[:3]) | {"rank": [0, 1, 2]}
    yield interventions.RandomFeatures, ABLATION | found
    yield results.SelectionStability, ABLATION | at(top) | {"share": run.random.random(EDITED)}
    yield results.SelectionOverlap, ABLATION | {"unit": ["family"]}
    yield results.Moderators, ABLATION | {"term": ["dose", "tone"], "level": ["2", "warm"]}
    on = {"intervention_id": ids, "prompt_id": run.prompts[len(run.prompts) // 2 + 1 :: 2]}
    noise = cross(prompt_id=run.prompts, metric=METRICS)
    yield interventions.ImpactNoise, {"ablation": "top"} | noise
    beside = cross(**on, metric=METRICS)
    yield interventions.SideEffects, ABLATION | beside | {"role": "target", "file": ""}
    labelled = cross(pair_id=run.prompts, feature=top[:3] % WIDTH, label=LABELS)
    yield interventions.Decoys, ABLATION | labelled | {"file": "other", "decoy": "hats"}
    followed = at(top[:3])
    followed = followed | {"gram": [1, 1, 1]}
    before = {"before": [[], [], []]}
    yield (
        interventions.InjectedTokens,
        ABLATION | followed | before | {"token": [" who", " is", " a"]},
    )
    texts = cross(prompt_id=["n1", "n2"], placement=["", "start"], feature=top[:3] % WIDTH)
    yield interventions.Injections, ABLATION | texts | {"file": "neutral"}
    yield results.InjectionTests, ABLATION | followed | {"placement": "start", "driven": CONTEXT}
    splits = cross(split=range(1, 6))
    yield results.CrossfitSplits, ABLATION | splits | {"claim": "on-most-splits"}
    taken = {"rank": np.arange(EDITED), "from_run": "another", "taken": True}
    yield interventions.MatchedFeatures, ABLATION | at(top) | taken
    yield interventions.ControlBalance, ABLATION | cross(property=["edit size", "firing rate"])
    yield interventions.Impacts, cross(**on, metric=METRICS)
    yield interventions.ImpactTokens, cross(**on, candidate=LABELS, token_index=range(2))


def at(place: NDArray[np.int64]) -> dict[str, Any]:
    """The layer and feature of places in one row of all layers' features."""
    return {"layer": place // WIDTH, "feature": place % WIDTH}


def cross(**columns: Any) -> dict[str, Any]:
    """Every combination of these values."""
    parts = np.meshgrid(*map(np.asarray, columns.values()), indexing="ij")
    return {name: part.ravel() for name, part in zip(columns, parts, strict=True)}


if __name__ == "__main__":
    sys.exit(main())
