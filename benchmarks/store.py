"""The results file beside DuckDB's executemany, SQLite and Parquet, and its saved queries at size.

`nox -s bench_store`, or `python -m benchmarks.store [--quick]`. All numbers are drawn from a seed, in
the shape of runs with 26 layers, 16,384 features a layer and about 100 of them active on a prompt.
"""

import argparse
import hashlib
import itertools
import json
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
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
GROUP = 64  # prompts that a run looks at and commits together
FEWEST = 3  # prompts of a side on which a tested feature is active
METRICS = ("log_p_correct", "log_p_misconception", "logit_difference", "kl", "top1_flips")
STAGES = ("observe", "generate", "survey", "ablate")
STARTED = datetime(2026, 11, 1, tzinfo=UTC)
EDITED = 5  # features that an ablation removes together
ROLES = {"target": 1, "no-op": 1, "dose": 3, "single": EDITED, "control": 20}
CLAIMS: tuple[dict[str, object], ...] = (
    {"name": "answers-right", "behaviour": "logit_difference", "direction": "greater", "than": 0},
    {"name": "features-exist", "features": "significant", "at_least": 1},
    {"name": "top-matters", "ablation": "top", "direction": "toward-correct", "beyond": "controls"},
)
ONE_BY_ONE = "INSERT INTO activations VALUES (?, ?, ?, ?, ?, ?, ?)"
Commits = list[list[Activations]]


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, fewer rounds")
    options = parser.parse_args()
    rounds = 3 if options.quick else 5
    with tempfile.TemporaryDirectory() as name:
        held = rows_in(Path(name), rounds, one_by_one=500 if options.quick else 2000)
    with tempfile.TemporaryDirectory() as name:
        runs = [Run(i, families=10 if options.quick else 100) for i in range(RUNS)]
        file = Path(name, "results.duckdb")
        fill(file, runs)
        with Store.open_to_read(file) as store:
            held.append(ask(store, runs, rounds))
            read_back(store, runs[-1], Path(name, "run.parquet"), rounds)
    return 0 if all(held) else 1


def rows_in(folder: Path, rounds: int, one_by_one: int) -> list[bool]:
    """Rows a second and bytes a row of one run's activations, in the shape in which a run has them."""
    run = Run(0, families=100)
    commits = list(observed(run, firings(run)))
    size = sum(len(table) for tables in commits for table in tables)
    ways: dict[str, tuple[Callable[[Path, Commits], float], Commits, int]] = {
        "Store.commit": (by_commit, commits, size),
        "DuckDB executemany": (by_executemany, [[first(commits, one_by_one)]], one_by_one),
        "SQLite executemany": (by_sqlite, commits, size),
        "Parquet zstd": (by_parquet, commits, size),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, (way, rows, n)) in itertools.product(range(rounds), ways.items()):
        file = folder / name
        file.unlink(missing_ok=True)
        rates[name].append(n / way(file, rows))
    ours = rates["Store.commit"]
    for name, (_, rows, n) in ways.items():
        ratio = statistics.median(a / b for a, b in zip(ours, rates[name], strict=True))
        per_row = (folder / name).stat().st_size / n
        bytes_a_row = f", {per_row:.1f} bytes a row" if rows is commits else ""
        print(
            f"{name}: {statistics.median(rates[name]):,.0f} rows a second of {n:,}{bytes_a_row}; "
            f"Store.commit is {ratio:,.2f} times as fast"
        )
    slow = rates["DuckDB executemany"]
    ratio = statistics.median(a / b for a, b in zip(ours, slow, strict=True))
    size_ours, size_sqlite = ((folder / n).stat().st_size for n in ("Store.commit", "SQLite executemany"))
    return [
        figure("activations through Store.commit", statistics.median(ours), "rows/s", 1e6),
        figure("Store.commit / DuckDB executemany", ratio, "x", 100.0),
        figure("SQLite / results file, bytes a row", size_sqlite / size_ours, "x", 4.0),
    ]


def by_commit(file: Path, commits: Commits) -> float:
    """Seconds until the rows are in the results file and it is closed."""
    store = Store.open(file)

    def write() -> None:
        with store:
            for tables in commits:
                store.commit(*tables)

    return seconds(write)


def by_executemany(file: Path, commits: Commits) -> float:
    """Row by row into the same table, in one transaction."""
    Store.open(file).__exit__()
    with closing(duckdb.connect(str(file))) as connection:

        def write() -> None:
            connection.begin()
            connection.executemany(ONE_BY_ONE, list(tuples(commits)))
            connection.commit()

        return seconds(write)


def by_sqlite(file: Path, commits: Commits) -> float:
    """Row by row into a table of the same columns, in one transaction."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE activations ({', '.join(Activations.names())})")

        def write() -> None:
            with connection:
                connection.executemany(ONE_BY_ONE, tuples(commits))

        return seconds(write)


def by_parquet(file: Path, commits: Commits) -> float:
    """All rows into one file, in the store's types."""
    kinds = {"layer": pa.int32(), "feature": pa.int32()}

    def write() -> None:
        parts = [
            pa.table(
                {n: pa.array(getattr(table, n), kinds.get(n)) for n in Activations.names()}
            )
            for tables in commits
            for table in tables
        ]
        pq.write_table(pa.concat_tables(parts), file, compression="zstd")

    return seconds(write)


def tuples(commits: Commits) -> Iterator[tuple[Any, ...]]:
    """Rows of Python's own types: SQLite takes no other numbers."""
    for table in itertools.chain.from_iterable(commits):
        columns = (getattr(table, name) for name in table.names())
        yield from zip(*(c.tolist() if hasattr(c, "tolist") else c for c in columns), strict=True)


def first(commits: Commits, size: int) -> Activations:
    """The first rows."""
    return Activations(*zip(*itertools.islice(tuples(commits), size), strict=True))


def ask(store: Store, runs: list["Run"], rounds: int) -> bool:
    """Every saved query, with what it needs to return rows."""
    ((rows,),) = store.query("SELECT count(*) FROM activations")[1]
    top = dict(zip(*map(list, _first(store, runs[-1])), strict=True))
    taken = {}
    print(f"saved queries of {rows:,} activations in {len(runs)} runs, median of {rounds}:")
    for query, claim in asked():
        given = {"run": runs[-1].id, "run_a": runs[1].id, "run_b": runs[2].id, "claim": claim}
        if query.name.startswith("placebo"):
            given["run"] = runs[0].id
        known = {one.name for one in query.parameters}
        filled = query.filled({k: str(v) for k, v in (given | top).items() if k in known})
        values = {name: typed(value) for name, value in filled.items()}
        call = partial(store.query, query.sql, values)
        name = f"{query.name} {claim}".strip()
        taken[name] = statistics.median(seconds(call) for _ in range(rounds))
        count = len(call()[1])
        print(f"  {name}: {taken[name] * 1e3:.1f} ms, {count:,} rows")
        if not count:
            raise AssertionError(f"{name} found nothing")
    slowest = max(taken, key=lambda name: taken[name])
    print(f"the slowest saved query: {slowest}")
    return figure("slowest saved query", taken[slowest], "s", 0.5, at_most=True)


def asked() -> Iterator[tuple[SavedQuery, str]]:
    """The saved queries; one that asks for a claim, with each kind of claim."""
    for query in saved_queries().values():
        of_claim = any(one.name == "claim" for one in query.parameters)
        for claim in CLAIMS if of_claim else ({"name": ""},):
            yield query, str(claim["name"])


def _first(store: Store, run: "Run") -> tuple[list[str], tuple[Any, ...]]:
    sql = "SELECT layer, feature FROM top_features WHERE run_id = $run AND rank = 1"
    names, rows = store.query(sql, {"run": run.id})
    return names, rows[0]


def read_back(store: Store, run: "Run", file: Path, rounds: int) -> None:
    """One run's activations as numpy arrays, from among all runs and from a file of their own."""
    found = store.read(Activations, run.id)
    by_parquet(file, [[found]])

    def parquet() -> None:
        table = pq.read_table(file)
        Activations(*(table.column(name).to_numpy() for name in Activations.names()))

    for name, way in {
        "Store.read, in order": lambda: store.read(Activations, run.id),
        "pyarrow's read_table": parquet,
    }.items():
        taken = statistics.median(seconds(way) for _ in range(rounds))
        print(f"{name}: {len(found) / taken:,.0f} rows a second of {len(found):,}")


@dataclass(frozen=True)
class Run:
    """What tells one run from the others; its families have two pairs each."""

    number: int
    families: int

    @property
    def spec(self) -> str:
        """The first run is of the placebo."""
        return "voices" if self.number else "placebo"

    @property
    def id(self) -> str:
        """Its run_id."""
        return f"20261101-1200{self.number:02}-000-{self.spec}-gemma-2-2b"

    @property
    def random(self) -> np.random.Generator:
        """The same numbers at each call."""
        return np.random.default_rng(self.number)

    @property
    def prompts(self) -> NDArray[np.str_]:
        """Ids: both variants of a pair stand side by side."""
        return np.array(
            [
                f"{family}-{pair}-{label}"
                for family in self.names
                for pair in "ab"
                for label in LABELS
            ]
        )

    @property
    def names(self) -> list[str]:
        """Its families; the first half is for discovery."""
        return [f"family-{i:03}" for i in range(self.families)]


@dataclass(frozen=True)
class Firings:
    """Which features are active where, in the order in which a run finds them."""

    group: NDArray[np.int64]
    layer: NDArray[np.int64]
    prompt: NDArray[np.int64]
    feature: NDArray[np.int64]
    value: NDArray[np.float32]


def firings(run: Run) -> Firings:
    """A few features are active on most prompts, most on few; not the same ones at each layer."""
    random, n = run.random, 4 * run.families
    rank = (WIDTH * random.random((n, LAYERS, DRAWS)) ** 3).astype(np.int64)
    prompt, layer, _ = np.ogrid[:n, :LAYERS, :DRAWS]
    feature = (rank * 4099 + layer * 977) % WIDTH
    shape = (n // GROUP + 1, LAYERS, n, WIDTH)
    places = np.ravel_multi_index(np.broadcast_arrays(prompt // GROUP, layer, prompt, feature), shape)
    found = np.unravel_index(np.unique(places), shape)
    return Firings(*found, random.lognormal(1, 1, len(found[0])).astype(np.float32))


def observed(run: Run, found: Firings) -> Iterator[list[Activations]]:
    """Activations as a run commits them: one table a layer for each group of prompts."""
    ids = run.prompts
    place = found.group * LAYERS + found.layer
    bounds = np.append(np.flatnonzero(np.diff(place, prepend=-1)), len(place))
    tables = []
    for part in itertools.starmap(slice, itertools.pairwise(bounds.tolist())):
        size = part.stop - part.start
        tables.append(
            Activations(
                run_id=[run.id] * size,
                prompt_id=ids[found.prompt[part]],
                layer=found.layer[part],
                readout=["last_prompt_token"] * size,
                feature=found.feature[part],
                value=found.value[part],
                origin=["real"] * size,
            )
        )
    return map(list, itertools.batched(tables, LAYERS))
