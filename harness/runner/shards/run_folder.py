"""The folder in which the shards of one run meet: what the first of them found, and everybody's parts."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import CannotRun, Fault, InputError
from harness.names import child
from harness.paths import make_folder, whole_file
from harness.runner.context import How
from harness.runner.preparation import RunRequest
from harness.runner.provenance import differences
from harness.runner.resume import new_run_id
from harness.runner.tasks import Fitted
from harness.specs.plan import Plan
from harness.specs.targets import Target

LINE = "run.json"
FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """A run in its `folder`, of so many shards: its id, the path of its spec, and what a model told of it."""

    folder: Path
    of: int
    run_id: str
    spec: Path
    target: str
    limit: int
    plan: str
    fitted: Mapping[str, Any]

    def fit(self, plan: Plan) -> Fitted:
        """What the model told, of the run's plan."""
        told = self.fitted
        target = replace(plan.target, **told["target"])
        return Fitted(target, told["facts"], told["on_cpu"], told["parameters"])


def meet(
    parent: Path, of: int, wanted: RunRequest, plan: Plan, fitted: Fitted, how: How
) -> RunFolder:
    """The folder of this run in `parent`, begun by whoever is first.

    Raises `CannotRun` where another shard has found another model, device or software, by which numbers of
    one run would differ, and where nothing can be written there.
    """
    named = f"{plan.spec.name}-{plan.target.name}-{_digest(plan, how)}-of-{of}"
    folder = child(parent, named)
    line = {
        "format": FORMAT,
        "of": of,
        "run_id": new_run_id(plan, datetime.now(UTC)),
        "spec": str(wanted.spec_path.resolve()),
        "target": plan.target.name,
        "limit": plan.limit,
        "plan": _plan_hash(plan),
        "fitted": {
            "target": _found(fitted.target),
            "facts": dict(fitted.facts),
            "on_cpu": fitted.on_cpu,
            "parameters": fitted.parameters,
        },
    }
    try:
        make_folder(folder)
        with whole_file(folder / f".{os.getpid()}.json") as part:
            part.write_text(json.dumps(line, indent=1), encoding="utf-8")
        mine = folder / f".{os.getpid()}.json"
        with suppress(FileExistsError):
            os.link(mine, folder / LINE)  # whole, or another's
        mine.unlink()
    except OSError as error:
        what = f"nothing can be written there: {error.strerror or error}"
        raise CannotRun(Fault(str(folder), what, "name another with --parts")) from None
    found = read_folder(folder)
    if why := differences(fitted.facts, found.fitted["facts"]):
        remedy = "run all shards with the same, or begin in another folder with --parts"
        raise CannotRun(Fault(str(folder), f"another shard ran with others: {why}", remedy))
    return found


def read_folder(folder: Path) -> RunFolder:
    """What the first shard has written there. Raises `InputError` where it is not the folder of a run."""
    path = folder / LINE
    try:
        line = json.loads(path.read_text(encoding="utf-8"))
        if line["format"] != FORMAT:
            what = f"it is of format {line['format']}, and this harness reads {FORMAT}"
            raise InputError(Fault(str(path), what, "join it with the harness that ran its shards"))
        of, limit, fitted = int(line["of"]), int(line["limit"]), dict(line["fitted"])
        texts = {name: str(line[name]) for name in ("run_id", "target", "plan")}
        spec = Path(line["spec"])
        fitted = {name: fitted[name] for name in ("target", "facts", "on_cpu", "parameters")}
    except (OSError, ValueError, KeyError, TypeError):
        what = "it is not what `harness run --shard` wrote"
        raise InputError(
            Fault(str(path), what, "name the folder of a run that was divided")
        ) from None
    return RunFolder(folder, of, spec=spec, limit=limit, fitted=fitted, **texts)


def check_plan(folder: RunFolder, plan: Plan) -> None:
    """Raises `InputError` where the spec or its prompts are no longer those that the shards ran."""
    if _plan_hash(plan) != folder.plan:
        what = f"{folder.spec} or its prompts changed since its shards were run"
        raise InputError(Fault(str(folder.folder), what, "put them back, or run the shards again"))


def _found(target: Target) -> dict[str, Any]:
    """What a model and SAEs have told of a target."""
    names = ("width", "blocks", "dtype", "origin", "sae")
    return {name: value for name, value in asdict(target).items() if name in names}


def _plan_hash(plan: Plan) -> str:
    told = (plan.spec.hash, plan.prompts_hash, plan.target.name, plan.layers, plan.limit)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _digest(plan: Plan, how: How) -> str:
    """Tells runs of one spec and target apart, by all that is asked for."""
    asked = (how.dtype, how.attention, how.batch_size, how.mock, how.mock_if_missing)
    return hashlib.sha256(repr((_plan_hash(plan), asked)).encode()).hexdigest()[:12]
