"""The verdicts of a stored run drawn again, with the spec as it stands now."""

import json
from pathlib import Path

from harness.errors import Fault, InputError, Say
from harness.paths import DEFAULT_DB
from harness.runner.outcome import Outcome, conclude
from harness.runner.spec_of_run import spec_file_of
from harness.specs.targets import MOCK
from harness.specs.trials import trial_of
from harness.store.database import Store
from harness.store.find_run import check_finished, find_run
from harness.store.interface import WAIT_SECONDS
from harness.store.prompts import families_of_run
from harness.store.stored_spec import spec_mapping

# The parts of a spec that decide what is computed; the others decide what is made of it.
_RUN = ("targets", "prompts", "readout", "split", "ablations", "metric", "new_tokens")


def analyse_again(
    run_id: str,
    *,
    db: str | Path = DEFAULT_DB,
    wait: float = WAIT_SECONDS,
    say: Say = lambda _: None,
) -> Outcome:
    """Draw the verdicts of a stored run again, with the spec as it stands now.

    `run_id` is an id, its beginning, a spec's name or `latest`. Raises `InputError` or `CannotRun`.
    """
    with Store.open(db, create=False, wait=wait, say=say) as store:
        run = find_run(store, run_id)
        check_finished(run)
        name = run["run_id"]
        file = spec_file_of(f"run {name}", Path(run["spec_path"]), run["spec_name"])
        plan = file.plan(run["target"])
        if run["origin"] == "mock" and plan.target.sae != run["sae"]:
            plan = file.plan(run["target"], run["sae"].removeprefix(MOCK))
        then = spec_mapping(run)
        now = json.loads(plan.spec.canonical())
        changed = [part for part in _RUN if now[part] != then.get(part)]
        if plan.prompts_hash != run["prompts_hash"]:
            plan = trial_of(plan, run["prompts_hash"], families_of_run(store, name)) or plan
        if plan.prompts_hash != run["prompts_hash"]:
            changed.append("prompts")
        if changed:
            raise InputError(
                Fault(
                    f"run {name}",
                    f"its {' and '.join(dict.fromkeys(changed))} changed since it was run",
                    "run the spec again",
                )
            )
        exploratory, analysed = run["exploratory"], None
        if plan.spec.hash != run["spec_hash"]:
            exploratory, analysed = "the spec changed since the run", plan.spec.canonical()
        exploratory = plan.limited or exploratory
        verdicts = conclude(store, plan, name, exploratory, analysed_spec=analysed)
        return Outcome.of(store, plan, name, verdicts, exploratory, run["wall_seconds"])
