"""Which run is which: what makes two runs the same, and what makes one exploratory."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from harness import hub
from harness.model import LanguageModel
from harness.observe import readout_name
from harness.places import find
from harness.plan import Plan
from harness.provenance import provenance
from harness.read import prompts_path
from harness.records import Runs
from harness.run import prompt_rows
from harness.store import Store
from harness.target import Target

# What two runs may differ in and still be the same run.
_IRRELEVANT = ("spec_path", "prompts_path", "git_commit", "git_dirty")


def begin(
    store: Store,
    plan: Plan,
    spec_path: Path,
    model: LanguageModel,
    files: dict[int, Path],
    batch_size: int,
) -> tuple[str, str | None]:
    """The id of the run to go on with or of a new one, and why it is exploratory, if it is."""
    facts = {
        **provenance(),
        **model.facts,
        "spec_name": plan.spec.name,
        "spec_hash": plan.spec.hash,
        "spec": plan.spec.canonical(),
        "spec_path": str(spec_path.resolve()),
        "question": plan.spec.question,
        "target": plan.target.name,
        "origin": plan.target.origin,
        "prompts_path": str(prompts_path(plan.spec, spec_path).resolve()),
        "prompts_hash": plan.prompts_hash,
        "model": plan.target.model,
        "model_revision": getattr(model.network.config, "_commit_hash", None),
        "model_hash": _model_hash(plan.target),
        "sae": plan.target.sae,
        "sae_revision": None if find(plan.target.sae) else plan.target.sae_revision,
        "sae_hash": hub.digest_of(*files.values()),
        "layers": list(plan.layers),
        "readout": readout_name(plan),
        "metric": plan.spec.metric,
        "alpha": plan.spec.contrast.alpha,
        "seed": plan.spec.split.seed,
        "batch_size": batch_size,
    }
    content = hashlib.sha256(
        json.dumps(
            {k: v for k, v in facts.items() if k not in _IRRELEVANT}, sort_keys=True
        ).encode()
    ).hexdigest()
    unfinished = store.read(Runs, content=content, status="unfinished")
    if len(unfinished):
        return str(unfinished.run_id[0]), unfinished.exploratory[0]
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%d-%H%M%S-%f}"[:-3] + f"-{plan.spec.name}-{plan.target.name}"
    exploratory = _changed(store, plan, str(facts["sae_hash"]))
    row = {
        "run_id": run_id,
        "content": content,
        "created_at": now,
        "status": "unfinished",
        "exploratory": exploratory,
        **facts,
    }
    store.commit(Runs.of([row]), *prompt_rows(run_id, plan))
    return run_id, exploratory


def _changed(store: Store, plan: Plan, sae_hash: str) -> str | None:
    """Why a run cannot confirm: results for another version of the same question were seen before."""
    earlier = store.read(Runs, spec_name=plan.spec.name, target=plan.target.name)
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
        if changed:
            return f"the {' and '.join(changed)} changed since run {earlier.run_id[i]}"
    return None


def _model_hash(target: Target) -> str | None:
    folder = find(target.model)
    return None if folder is None else hub.digest_of(*sorted(folder.glob("*.safetensors")))
