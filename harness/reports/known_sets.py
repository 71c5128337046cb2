"""What is known of a selected set: which questions its claims answer, and which nobody has asked of it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from harness.errors import Fault, InputError
from harness.reports.labels import stored_labels
from harness.reports.run_data import Row, query_rows
from harness.store.find_run import Run, find_run
from harness.store.interface import ReadStore
from harness.store.tables.interventions import Interventions

# What a claim answers, as the view `set_claims` has it, and what to write to ask it of a set.
QUESTIONS = {
    "difference": "features: significant, among: {ablation}",
    "necessity": "ablation: {ablation}, beyond: controls",
    "own values": "ablation: {ablation}, beyond: shuffled",
    "baseline": "ablation: {ablation}, beyond: mean-difference",
    "sufficiency": "share: {ablation}",
    "completeness": "complement: {ablation}",
    "minimality": "needed: {ablation}",
    "doses": "monotone: {ablation}",
    "specificity": "specific, collateral or decoy: {ablation}",
    "stability": "stable: {ablation}",
    "other splits": "crossfit: {ablation}",
    "tokens": "tokens: {ablation}",
    "transfer": "select: {{from: {name}}} in another eval, and transfers",
}


@dataclass(frozen=True)
class KnownSet:
    """A set that an ablation of `run` froze: its features, with labels, and the claims about it.

    `unasked` are the questions that no claim answers, each with what to write.
    """

    name: str
    run: Run
    features: list[Row]
    claims: list[Row]

    @property
    def unasked(self) -> dict[str, str]:
        """The questions that no claim answers, and what asks them."""
        return unasked_of(self.name, {row["question"] for row in self.claims})

    @property
    def data(self) -> dict[str, Any]:
        """As plain values."""
        about = {"set": self.name, "run_id": self.run["run_id"], "target": self.run["target"]}
        found = {"features": self.features, "claims": self.claims, "unasked": self.unasked}
        return about | found


def unasked_of(name: str, asked: Collection[str]) -> dict[str, str]:
    """The questions beside those that were asked of a set, `SPEC/ABLATION`, and what asks them."""
    ablation = name.partition("/")[2]
    return {
        question: how.format(ablation=ablation, name=name)
        for question, how in QUESTIONS.items()
        if question not in asked
    }


def known_set(store: ReadStore, name: str) -> KnownSet:
    """The set `SPEC/ABLATION`, as the spec's last finished run froze it.

    Raises `InputError` where there is no such run, or no such ablation in it.
    """
    spec, _, ablation = name.partition("/")
    run = find_run(store, spec)
    edits = store.read(Interventions, run["run_id"], role="target")
    mine = sorted(
        (row for row in edits.rows() if row["ablation"] == ablation), key=lambda row: row["rank"]
    )
    if not mine:
        there = sorted({f"{spec}/{row['ablation']}" for row in edits.rows()})
        remedy = ", ".join(there) or "a run that edits something"
        what = f"run {run['run_id']} edited no such set"
        raise InputError(Fault(f"set {name}", what, f"name one of these: {remedy}"))
    labels = stored_labels(store)
    sources = dict(zip(run["layers"], run["neuronpedia"] or (), strict=False))
    meant = {
        (row["layer"], row["feature"]): row
        for row in query_rows(store, "feature_meaning", run=run["run_id"])
    }
    unknown = dict.fromkeys(("up", "output_score", "base"))
    features = [
        {one: row[one] for one in ("layer", "feature", "score", "kind", "variant")}
        | {"label": labels.get((sources.get(row["layer"]) or "", row["feature"]), {}).get("label")}
        | {one: meant.get((row["layer"], row["feature"]), unknown)[one] for one in unknown}
        for row in mine
    ]
    return KnownSet(name, run, features, query_rows(store, "known_of_set", set=name))
