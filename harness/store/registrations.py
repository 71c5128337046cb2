"""Specs from when they were put into a results file, and what it held then of what they confirm on.

Whether results were there before is decided when a spec is registered, by what the file holds, so that no
clock can change it. What comes in from another file has only times to be put in order by, and is judged by
them once, as it comes.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import pyarrow as pa

from harness.errors import Fault, InputError
from harness.names import is_name
from harness.specs.prompt import LIMITED, Origin
from harness.store.database import Store
from harness.store.errors import not_tables
from harness.store.interface import ReadStore
from harness.store.tables.runs import Registrations, Runs

# Runs on the same target with results on one of these prompts. A target is its model's files where both
# sides know them, and its name where one does not; a commit names the files of a repository as a hash does
# those of a folder. Of what came from elsewhere, only what was done before `until`.
_SHOWN = """
SELECT r.run_id, r.spec_name, r.spec_hash, r.prompts_hash,
    coalesce(starts_with(r.exploratory, $limited), false) AS limited, count(DISTINCT p.prompt) AS n
FROM runs r JOIN prompts p USING (run_id)
WHERE r.origin = $origin AND p.prompt IN (SELECT prompt FROM confirming)
    AND CASE
        WHEN r.model_hash IS NOT NULL AND $model_hash::VARCHAR IS NOT NULL THEN r.model_hash = $model_hash
        WHEN r.model_hash IS NULL AND $model_hash::VARCHAR IS NULL AND r.model_revision IS NOT NULL
            AND $model_revision::VARCHAR IS NOT NULL THEN r.model_revision = $model_revision
        ELSE r.target = $target
    END
    AND (r.status = 'finished' OR EXISTS (SELECT 1 FROM units u WHERE u.run_id = r.run_id))
    AND ($until::TIMESTAMPTZ IS NULL OR EXISTS (
        SELECT 1 FROM units u WHERE u.run_id = r.run_id AND u.family = p.family AND u.finished_at < $until
    ))
GROUP BY ALL
ORDER BY min(r.created_at), r.run_id
"""
_WHAT = ("target", "origin", "model_revision", "model_hash")  # of a registration, as above
OF_RUN = ("spec_hash", "target", "origin")  # which a run's spec is registered by
_KEY = (*OF_RUN, "prompts_hash")


@dataclass(frozen=True)
class Shown:
    """A run, and of how many of the prompts that were asked for it has results."""

    run_id: str
    spec_name: str
    spec_hash: str
    prompts_hash: str
    limited: bool
    prompts: int

    def before(self, confirming: Collection[str]) -> str:
        """That a spec which confirms on these prompts came after it, in words."""
        return (
            f"{self.prompts} of the {len(confirming)} prompts that it confirms on were seen in run "
            f"{self.run_id} before it was registered"
        )


def shown(
    store: ReadStore, what: Mapping[str, Any], until: datetime | None = None
) -> tuple[Shown, ...]:
    """The runs with results on any of the `confirming` prompts and the target of `what`, the first one first.

    `what` has columns of a registration, `confirming` among them.
    """
    values = {name: what[name] for name in _WHAT} | {"until": until, "limited": LIMITED}
    confirming = {"prompt": pa.array(what["confirming"], "string")}
    columns = store.arrays(_SHOWN, values, confirming=confirming)
    return tuple(Shown(*row) for row in zip(*columns.values(), strict=True))


def registrations_of(store: Store, run: Mapping[str, Any]) -> pa.Table:
    """The rows of a run's spec on its target."""
    values = {name: run[name] for name in OF_RUN}
    where = " AND ".join(f"{name} = ${name}" for name in values)
    return store.table(f"FROM registrations WHERE {where} ORDER BY ALL", values)


def take_in(
    store: Store, incoming: pa.Table, runs: Collection[str], *, known: Collection[str], kin: bool
) -> None:
    """Put in what another file has registered, after these of its `runs` came in.

    A spec that is registered here stays so; where the other file is of `kin`, which is that one began as a
    copy of the other, the earlier of the two counts. Then what nothing spoke against is judged by time: what
    came in by results that its own file had not (those `known` it had), all others by those that came in.
    No run is judged again.
    """
    here = {_key(row): row for row in _rows(store, store.table("FROM registrations"))}
    came = set()
    for row in _rows(store, incoming):
        check_registration(row)
        own = here.get(_key(row))
        if own is None or (kin and row["registered_at"] < own["registered_at"]):
            here[_key(row)] = row
            came.add(_key(row))
    every = set(store.read(Runs).run_id)
    for key, row in here.items():
        if row["seen"] is None:
            by = every.difference(known) if key in came else runs
            row["seen"] = _seen_by_time(store, row, by)
    store.put_registrations(Registrations.of(here.values()))


def are_kin(store: ReadStore, other: ReadStore) -> bool:
    """Whether one file began as a copy of the other: they share a run or a registration."""
    shared = "SELECT run_id FROM runs", "SELECT spec_hash, target, registered_at FROM registrations"
    return any(set(store.query(sql)[1]) & set(other.query(sql)[1]) for sql in shared)


def check_registration(row: Mapping[str, Any]) -> None:
    """Raises `InputError` where a registration that is to be taken in was not written by a harness."""
    try:
        claims = json.loads(row["claims"])
    except (TypeError, ValueError, RecursionError):
        claims = None
    right = (
        all(is_name(row[name] or "") for name in ("spec_name", "target"))
        and row["origin"] in get_args(Origin)
        and isinstance(claims, list)
        and row["registered_at"] is not None
        and not (row["seen"] or "").startswith(LIMITED)  # which is said of a run alone
    )
    if not right or None in (row["spec_hash"], row["prompts_hash"]):
        what = "it is not one that a harness wrote"
        remedy = "take it from where it was made, with `harness export`"
        raise InputError(Fault(f"registration of {str(row['spec_name'])[:60]!r}", what, remedy))


def _seen_by_time(store: Store, row: Mapping[str, Any], runs: Collection[str]) -> str | None:
    """Which results of these runs were there before it was registered; of other specs."""
    if not row["confirming"]:
        return None  # it is not known on what
    for one in shown(store, row, row["registered_at"]):
        same = one.spec_hash == row["spec_hash"] and (
            one.limited or one.prompts_hash == row["prompts_hash"]
        )
        if not same and one.run_id in runs:
            return one.before(row["confirming"])
    return None


def _rows(store: Store, table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table of registrations. Raises `InputError` where it is none."""
    wanted = store.table("FROM registrations LIMIT 0").schema
    if wrong := set(wanted.names) ^ set(table.column_names):
        raise not_tables(f"registrations should have other columns: see '{min(wrong)}'")
    try:
        rows: list[dict[str, Any]] = table.select(wanted.names).cast(wanted).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise not_tables(f"registrations: {str(error).splitlines()[0]}") from None
    return [
        row | {"registered_at": at and at.astimezone(UTC)}
        for row in rows
        for at in [row["registered_at"]]
    ]


def _key(row: Mapping[str, Any]) -> Sequence[Any]:
    return tuple(row[name] for name in _KEY)
