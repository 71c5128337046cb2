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
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.figures import figure, seconds
from harness import records
from harness.queries import SavedQuery, saved_queries, typed
from harness.records import LABELS, Activations, Columns
from harness.store import Store

RUNS, LAYERS, WIDTH = 10, 26, 16_384
DRAWS = 110  # features drawn for a prompt and layer; about 104 of them differ
GROUP = 64  # prompts that a run commits together
STEPS, TOP = 6, 50  # tokens that the model says, and logits kept of each
FEWEST = 3  # prompts of a side on which a tested feature is active
METRICS = ("log_p_correct", "log_p_misconception", "logit_difference", "kl", "top1_flips")
SIDES = ("discovery", "confirmation")
EDITED = 5  # features that an ablation removes together
ROLES = {"target": 1, "no-op": 1, "dose": 3, "single": EDITED, "control": 20}
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
Rows = tuple[type[Columns], int, dict[str, Any]]  # how many, and what is not drawn


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


def rows_in(folder: Path, rounds: int, few: int) -> list[bool]:
    """Rows a second and bytes a row of one run's activations, as the run commits them."""
    run = Run(0, families=100)
    commits = list(observed(run, firings(run)))
    ways: dict[str, tuple[Callable[[Path, list[Tables]], float], list[Tables]]] = {
        "Store.commit": (by_commit, commits),
        "DuckDB executemany": (by_executemany, [[first(commits, few)]]),  # all would take minutes
        "SQLite executemany": (by_sqlite, commits),
        "Parquet, zstd": (by_parquet, commits),
    }
    sizes = {name: sum(map(len, itertools.chain(*given))) for name, (_, given) in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, (way, given)) in itertools.product(range(rounds), ways.items()):
        (folder / name).unlink(missing_ok=True)
        taken[name].append(way(folder / name, given))
    rates = {name: sizes[name] / np.array(taken[name]) for name in ways}
    faster = {name: float(np.median(rates["Store.commit"] / rates[name])) for name in ways}
    stored = {name: (folder / name).stat().st_size / sizes[name] for name in ways}
    for name, size in sizes.items():
        print(f"{name}: {np.median(rates[name]):,.0f} rows/s of {size:,} activations", end="")
        print(f", {stored[name]:.1f} bytes each" if size > few else "", end="")
        print(f"; Store.commit is {faster[name]:.2f} times as fast")
    smaller = stored["SQLite executemany"] / stored["Store.commit"]
    return [
        figure("Store.commit", float(np.median(rates["Store.commit"])), "rows/s", 1e6),
        figure("Store.commit / executemany", faster["DuckDB executemany"], "x", 100),
        figure("bytes an activation, SQLite / results file", smaller, "x", 4),
    ]


def by_commit(file: Path, commits: list[Tables]) -> float:
    """Seconds until the last row is in a results file, safe from a crash."""
    with Store.open(file) as store:
        return sum(seconds(partial(store.commit, *tables)) for tables in commits)


def by_executemany(file: Path, commits: list[Tables]) -> float:
    """Row by row into the same table, in one transaction."""
    with Store.open(file):
        pass
    with closing(duckdb.connect(str(file))) as connection:
        connection.begin()
        write = partial(connection.executemany, INSERT, list(by_row(commits)))
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


def first(commits: list[Tables], size: int) -> Activations:
    """The first rows."""
    return Activations(*map(list, zip(*itertools.islice(by_row(commits), size), strict=True)))


def ask(store: Store, runs: list[Run], rounds: int) -> bool:
    """Every saved query, of a run, feature and claim for which it has rows."""
    ((size,),) = store.query("SELECT count(*) FROM activations")[1]
    layer, feature = store.query(BUSIEST, {"run": runs[-1].id})[1][0]
    print(f"saved queries of {size:,} activations in {len(runs)} runs, median of {rounds}:")
    taken = {}
    for query, claim in asked():
        run = runs[0 if query.name == "placebo_calibration" else -1].id
        given = {"run": run, "run_a": runs[1].id, "run_b": runs[2].id, "claim": claim}
        given |= {"layer": layer, "feature": feature}
        known = {one.name for one in query.parameters}
        filled = query.filled({name: given[name] for name in known & given.keys()})
        call = partial(store.query, query.sql, {name: typed(it) for name, it in filled.items()})
        name, (_, rows) = f"{query.name} {claim}".strip(), call()
        taken[name] = float(np.median([seconds(call) for _ in range(rounds)]))
        print(f"  {name}: {taken[name] * 1e3:.0f} ms, {len(rows):,} rows", flush=True)
        if not rows:
            raise AssertionError(f"{name} finds nothing to time")
    slowest = max(taken, key=taken.__getitem__)
    return figure(f"slowest saved query: {slowest}", taken[slowest], "s", 0.5, at_most=True)


def asked() -> Iterator[tuple[SavedQuery, str]]:
    """The saved queries; one that asks for a claim, with each kind of claim."""
    for query in saved_queries().values():
        of_claim = any(one.name == "claim" for one in query.parameters)
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


def observed(run: Run, found: Firings) -> Iterator[Tables]:
    """A commit for each group of prompts, a table for each layer in it."""
    ends = np.flatnonzero(np.diff(found.layer, append=-1)) + 1
    tables = []
    for start, end in itertools.pairwise([0, *ends.tolist()]):
        size, part = end - start, slice(start, end)
        tables.append(
            Activations(
                run_id=[run.id] * size,
                prompt_id=run.prompts[found.prompt[part]],
                layer=found.layer[part],
                readout=["last_prompt_token"] * size,
                feature=found.feature[part],
                value=found.value[part],
                origin=["real"] * size,
            )
        )
        if len(tables) == LAYERS:
            yield tables
            tables = []


def fill(file: Path, runs: list[Run]) -> None:
    """A results file in which every table has what such runs leave there."""
    with Store.open(file) as store:
        for run in runs:
            found = firings(run)
            for tables in observed(run, found):
                store.commit(*tables)
            for kind, size, given in itertools.chain(described(run), measured(run, found)):
                store.commit(rows(store, kind, run, size, given))


def rows(store: Store, kind: type[Columns], run: Run, size: int, given: dict[str, Any]) -> Columns:
    """Rows of a table: a single value holds in all of them, and what is not given is drawn."""
    columns: dict[str, Any] = {}
    for field in store.table(f"FROM {kind.table} LIMIT 0").schema:
        value = given.get(field.name, {"run_id": run.id, "origin": "real"}.get(field.name, ...))
        if value is ...:
            value = drawn(field.type, run, size)
        one = not isinstance(value, np.ndarray | list)
        columns[field.name] = [value] * size if one else value
    return kind(**columns)


def drawn(kind: pa.DataType, run: Run, size: int) -> Any:
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


def described(run: Run) -> Iterator[Rows]:
    """The run, its units and prompts, what the model says and how the SAEs fit; and the verdicts."""
    began, prompts, n = STARTED + timedelta(hours=run.number), run.prompts, len(run.prompts)
    claims = json.dumps({"claims": [*CLAIMS.values()]})
    spec = {"created_at": began, "spec_name": run.spec, "spec": claims}
    layers = {
        "layers": [list(range(LAYERS))],
        "metric": METRICS[2],
        "exploratory": None,
        "neuronpedia": [["gemma"] * LAYERS],
    }
    yield records.Runs, 1, spec | layers
    stage, family = crossed(["observe", "generate", "survey", "ablate"], run.names)
    unit = np.char.add(stage, family)
    yield records.Units, len(unit), {"unit_id": unit, "stage": stage, "family": family}
    of = {"prompt_id": prompts, "pair_id": np.arange(n) // 2, "line": np.arange(n)}
    of |= {"family": np.repeat(run.names, 4), "label": list(LABELS) * (n // 2)}
    yield records.Prompts, n, of | {"split": np.repeat(SIDES, n // 2)}
    prompt, tag = crossed(prompts, ["voice", "topic"])
    yield records.PromptTags, len(tag), {"prompt_id": prompt, "tag": tag}
    yield records.Generations, n, {"prompt_id": prompts, "token_ids": [list(range(STEPS))] * n}
    prompt, step, rank = crossed(prompts, range(STEPS), range(TOP))
    yield records.TopkLogits, len(rank), {"prompt_id": prompt, "step": step, "rank": rank}
    prompt, candidate, index = crossed(prompts, LABELS, range(2))
    of = {"prompt_id": prompt, "candidate": candidate, "token_index": index}
    yield records.Answers, len(index), of
    yield records.SaeHealth, LAYERS, {"layer": np.arange(LAYERS)}
    names = [one["name"] for one in CLAIMS.values()]
    yield records.Verdicts, len(CLAIMS), {"claim": names, "kind": [*CLAIMS]}


def measured(run: Run, found: Firings) -> Iterator[Rows]:
    """How often features fire, their tests on each side, and an ablation of the top ones."""
    count = partial(np.bincount, minlength=LAYERS * WIDTH)
    place, half = found.layer * WIDTH + found.feature, len(run.prompts) // 2
    (alive,) = count(place).nonzero()
    rate = count(place)[alive] / len(run.prompts)
    yield records.FeatureActivity, len(alive), at(alive) | {"firing_rate": rate}
    for side, here in zip(SIDES, (found.prompt < half, found.prompt >= half), strict=True):
        (tested,) = (count(place[here]) >= FEWEST).nonzero()
        p = (
            run.random.random(len(tested))
            if side == "confirmation"
            else np.full(len(tested), np.nan)
        )
        tests = at(tested) | {"split": side, "p_marginal": p, "p_adjusted": np.minimum(1, p * 1e3)}
        sign = np.where(found.prompt % 2, -1, 1)[here]
        tests["mean_difference"] = count(place[here], found.value[here] * sign)[tested] * 2 / half
        yield records.FeatureTests, len(tested), tests
    family, feature = crossed(run.names, range(500))
    yield records.Attributions, len(feature), ABLATION | {"family": family, "feature": feature}
    yield from edits(run, tested[np.argsort(p)[:EDITED]])


def edits(run: Run, top: NDArray[np.int64]) -> Iterator[Rows]:
    """The interventions of an ablation of these features, and what each of them does."""
    numbered = [(role, str(i)) for role, size in ROLES.items() for i in range(size)]
    ids = np.array([hashlib.sha256("".join(one).encode()).hexdigest()[:16] for one in numbered])
    one, rank = crossed(range(len(ids)), range(EDITED))
    role, number = np.array(numbered).T
    there = (role[one] != "single") | (rank == number[one].astype(int))
    one, rank = one[there], rank[there]
    of = {"intervention_id": ids[one], "role": role[one], "number": number[one].astype(int)}
    of |= {"rank": rank, "value": number[one].astype(float) / 2}
    yield records.Interventions, len(one), ABLATION | of | at(top[rank])
    one, metric = crossed(range(len(ids)), METRICS)
    of = {"intervention_id": ids[one], "role": role[one], "metric": metric}
    yield records.AblationTests, len(one), ABLATION | of
    confirming = run.prompts[len(run.prompts) // 2 + 1 :: 2]
    one, prompt, metric = crossed(ids, confirming, METRICS)
    of = {"intervention_id": one, "prompt_id": prompt, "metric": metric}
    yield records.Impacts, len(one), of
    one, prompt, candidate, index = crossed(ids, confirming, LABELS, range(2))
    of = {"intervention_id": one, "prompt_id": prompt, "candidate": candidate}
    yield records.ImpactTokens, len(one), of | {"token_index": index}


def at(place: NDArray[np.int64]) -> dict[str, Any]:
    """The layer and feature of places in one row of all layers' features."""
    return {"layer": place // WIDTH, "feature": place % WIDTH}


def crossed(*values: Any) -> list[NDArray[Any]]:
    """Every combination, as columns."""
    return [part.ravel() for part in np.meshgrid(*map(np.asarray, values), indexing="ij")]


if __name__ == "__main__":
    sys.exit(main())
