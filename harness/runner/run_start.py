"""Which run is which: what makes two runs the same, and what makes one exploratory."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import hub, prompt_rows
from harness.model import LanguageModel
from harness.observe import readout_name
from harness.places import find
from harness.plan import Plan, trial_of
from harness.provenance import provenance
from harness.records import Runs
from harness.run import Results
from harness.sources import ModelFiles
from harness.target import Target

# What two runs may differ in and still be the same run.
_IRRELEVANT = ("spec_path", "prompts_path", "git_commit", "git_dirty", "neuronpedia", "threads")


@dataclass(frozen=True)
class Question:
    """What is to be run, and the files that it was read from.

    `repeated` is the line of the run that this one repeats, where it does.
    """

    plan: Plan
    spec_path: Path
    prompts_path: Path
    repeated: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Begun:
    """A run that is begun or taken up; `exploratory` says why it cannot confirm, if it cannot."""

    run_id: str
    exploratory: str | None
    batch_size: int
    threads: int


def facts_of(
    question: Question,
    model: LanguageModel,
    source: ModelFiles,
    files: Mapping[int, Path],
    *,
    batch_size: int,
    threads: int,
) -> dict[str, Any]:
    """What `runs` records of a run before it begins: all that could change a number, and more."""
    plan = question.plan
    hashes = [hub.digest_of(files[layer]) for layer in plan.layers if layer in files]
    return {
        **provenance(),
        **model.facts,
        "spec_name": plan.spec.name,
        "spec_hash": plan.spec.hash,
        "spec": plan.spec.canonical(),
        "spec_path": str(question.spec_path.resolve()),
        "question": plan.spec.question,
        "target": plan.target.name,
        "origin": plan.target.origin,
        "prompts_path": str(question.prompts_path.resolve()),
        "prompts_hash": plan.prompts_hash,
        "model": source.name,
        "model_revision": source.revision,
        "model_hash": None if hub.commit_of(source.folder) else hub.digest_of(*source.weights),
        "sae": plan.target.sae if plan.layers else "none",
        "sae_revision": _commit(plan.target, files),
        "sae_hash": _hash(plan.target, hashes),
        "sae_files": [_named(plan.target, path) for path in files.values()],
        "sae_hashes": hashes,
        "neuronpedia": [plan.target.neuronpedia(layer) for layer in plan.layers],
        "layers": list(plan.layers),
        "readout": readout_name(plan),
        "metric": plan.spec.metric,
        "alpha": plan.spec.contrast.alpha,
        "seed": plan.spec.split.seed,
        "batch_size": batch_size,
        "threads": threads,
    }


def begin(
    store: Results,
    question: Question,
    facts: Mapping[str, Any],
    *,
    asked: bool,
    resume: bool = True,
) -> Begun:
    """Go on with the unfinished run of the same content, unless `resume` is false, or begin one.

    A batch size that was not `asked` for is no part of the content: it follows the free memory, and a
    run that is taken up keeps its own, and its number of threads. A run that repeats another is
    exploratory where that one was.
    """
    irrelevant = _IRRELEVANT if asked else (*_IRRELEVANT, "batch_size")
    content = hashlib.sha256(
        json.dumps({k: v for k, v in facts.items() if k not in irrelevant}, sort_keys=True).encode()
    ).hexdigest()
    unfinished = store.read(Runs, content=content, status="unfinished")
    if resume and len(unfinished):
        row = next(unfinished.rows())
        return Begun(row["run_id"], row["exploratory"], row["batch_size"], int(row["threads"]))
    plan = question.plan
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%d-%H%M%S-%f}"[:-3] + f"-{plan.spec.name}-{plan.target.name}"
    if question.repeated is not None:
        exploratory = question.repeated["exploratory"]
    else:
        exploratory = plan.limited or _changed(store, plan, str(facts["sae_hash"]))
    row = {
        "run_id": run_id,
        "content": content,
        "created_at": now,
        "status": "unfinished",
        "exploratory": exploratory,
        **facts,
    }
    store.commit(Runs.of([row]), *prompt_rows.to_columns(plan.prompts, plan.sides, run_id))
    return Begun(run_id, exploratory, facts["batch_size"], facts["threads"])


def _changed(store: Results, plan: Plan, sae_hash: str) -> str | None:
    """Why a run cannot confirm: results for another version of the same question were seen before."""
    earlier = store.read(
        Runs, spec_name=plan.spec.name, target=plan.target.name, origin=plan.target.origin
    )
    now = {"spec": plan.spec.hash, "prompts": plan.prompts_hash, "SAEs": sae_hash}
    for i in range(len(earlier)):
        if earlier.status[i] != "finished" and not store.finished(str(earlier.run_id[i])):
            continue  # it broke before anything could be seen
        then = {
            "spec": earlier.spec_hash[i],
            "prompts": earlier.prompts_hash[i],
            "SAEs": earlier.sae_hash[i],
        }
        changed = [what for what in now if now[what] != then[what]]
        if "prompts" in changed and trial_of(plan, str(then["prompts"])):
            changed.remove("prompts")  # a trial on some of them changes nothing
        if changed:
            return f"the {' and '.join(changed)} changed since run {earlier.run_id[i]}"
    return None


def _commit(target: Target, files: Mapping[int, Path]) -> str | None:
    """The commit that the SAEs were taken from; null for a folder."""
    commits = {hub.commit_of(path) for path in files.values()} - {None}
    if find(target.sae) or not files:
        return None
    return commits.pop() if len(commits) == 1 else target.sae_revision


def _hash(target: Target, hashes: list[str]) -> str:
    """One hash of all SAEs; of random ones, of what makes them."""
    made = [f"{target.sae} {target.width} {target.features}"] if target.mock else hashes
    return hashlib.sha256("".join(made).encode()).hexdigest()


def _named(target: Target, path: Path) -> str:
    """An SAE's path within its folder or repository."""
    folder = find(target.sae)
    if folder is not None:
        return path.relative_to(folder).as_posix()
    parts = path.parts
    return "/".join(parts[parts.index("snapshots") + 2 :]) if "snapshots" in parts else str(path)
