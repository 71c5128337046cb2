"""The folder in which the shards of one run meet: what the first of them found, and everybody's parts."""

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from harness.errors import CannotRun, Fault, InputError
from harness.names import LONGEST_ID, child, is_name
from harness.paths import make_folder
from harness.runner.context import How
from harness.runner.preparation import RunRequest
from harness.runner.provenance import FOR_RUN, differences
from harness.runner.resume import new_run_id
from harness.runner.tasks import Fitted
from harness.specs.plan import Plan
from harness.specs.prompt import Origin
from harness.specs.text_file import read_text

LINE = "run.json"
FORMAT: Literal[1] = 1
LARGEST = 1_000_000  # bytes of the line
MOST = 2**31  # threads, and rows of a forward


def _named(text: str) -> str:
    if not is_name(text, LONGEST_ID):
        raise ValueError("it is no name")
    return text


def _path(text: str) -> str:
    if "\0" in text:
        raise ValueError("it is no path")
    return text


def _with_what_all_take(facts: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name in FOR_RUN:
        number = facts.get(name)
        if type(number) is not int or not 0 <= number < MOST:
            raise ValueError("they are not those of a run")
    return facts


_Name = Annotated[str, AfterValidator(_named)]


class FoundTarget(BaseModel):
    """What a model and SAEs have told of a target."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    width: PositiveInt | None
    blocks: PositiveInt | None
    dtype: str
    origin: Origin
    sae: str


class RunLine(BaseModel):
    """What a folder says of its run: as `runs` has it, how many prompts if not all, and of so many shards.

    `asked` is the batch size that was asked for, 0 for none, and `facts` are those of the process in which
    the model was loaded. It may be a stranger's.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1]
    of: PositiveInt
    run_id: _Name
    spec: Annotated[str, AfterValidator(_path)]
    name: _Name
    target: _Name
    limit: NonNegativeInt
    plan: str
    asked: NonNegativeInt
    found: FoundTarget
    facts: Annotated[dict[str, JsonValue], AfterValidator(_with_what_all_take)]
    on_cpu: bool
    parameters: Annotated[int, Field(ge=0, lt=10**15)]


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, and what it says of the run."""

    folder: Path
    line: RunLine

    def fit(self, plan: Plan) -> Fitted:
        """What the model told, of the run's plan."""
        line = self.line
        target = replace(plan.target, **line.found.model_dump())
        return Fitted(target, line.facts, line.on_cpu, line.parameters)


def meet(
    parent: Path, of: int, wanted: RunRequest, plan: Plan, fitted: Fitted, how: How
) -> RunFolder:
    """The folder of this run in `parent`, begun by whoever is first.

    Raises `CannotRun` where another shard has found another model, device or software, by which numbers of
    one run would differ, and where nothing can be written there.
    """
    named = f"{plan.spec.name}-{plan.target.name}-{_digest(plan, how)}-of-{of}"
    folder = child(parent, named)
    line = RunLine(
        format=FORMAT,
        of=of,
        run_id=new_run_id(plan, datetime.now(UTC)),
        spec=str(wanted.spec_path.resolve()),
        name=plan.spec.name,
        target=plan.target.name,
        limit=plan.limit,
        plan=_plan_hash(plan),
        asked=how.batch_size,
        found=FoundTarget(
            **{name: getattr(fitted.target, name) for name in FoundTarget.model_fields}
        ),
        facts=dict(fitted.facts),
        on_cpu=fitted.on_cpu,
        parameters=fitted.parameters,
    )
    mine = folder / f".{secrets.token_hex(8)}.json"  # of machines that share the disk, too
    try:
        make_folder(folder)
        mine.write_text(line.model_dump_json(indent=1), encoding="utf-8")
        with suppress(FileExistsError):
            os.link(mine, folder / LINE)  # whole, or another's
        mine.unlink()
    except OSError as error:
        with suppress(OSError):
            mine.unlink()
        what = f"nothing can be written there: {error.strerror or error}"
        raise CannotRun(Fault(str(folder), what, "name another with --parts")) from None
    found = read_folder(folder)
    if why := differences(fitted.facts, found.line.facts):
        remedy = "run all shards with the same, or begin in another folder with --parts"
        raise CannotRun(Fault(str(folder), f"another shard ran with others: {why}", remedy))
    return found


def read_folder(folder: Path) -> RunFolder:
    """What the first shard has written there. Raises `InputError` where it is not the folder of a run."""
    path = folder / LINE
    try:
        text = read_text(path, LARGEST)
        return RunFolder(folder, RunLine.model_validate_json(text))
    except InputError:
        pass
    except ValidationError as error:
        wrong = error.errors()[0]
        if wrong["loc"] == ("format",) and isinstance(wrong["input"], int):
            what = f"it is of format {wrong['input']}, and this harness reads {FORMAT}"
            remedy = "join it with the harness that ran its shards"
            raise InputError(Fault(str(path), what, remedy)) from None
    what, remedy = (
        "it is not what `harness run --shard` wrote",
        "name the folder of a run that was divided",
    )
    raise InputError(Fault(str(path), what, remedy))


def check_plan(found: RunFolder, plan: Plan) -> None:
    """Raises `InputError` where the spec or its prompts are no longer those that the shards ran."""
    if _plan_hash(plan) != found.line.plan:
        what = f"{found.line.spec} or its prompts changed since its shards were run"
        raise InputError(Fault(str(found.folder), what, "put them back, or run the shards again"))


def _plan_hash(plan: Plan) -> str:
    told = (plan.spec.hash, plan.prompts_hash, plan.target.name, plan.layers, plan.limit)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _digest(plan: Plan, how: How) -> str:
    """Tells runs of one spec and target apart, by all that is asked for."""
    asked = (how.dtype, how.attention, how.batch_size, how.mock, how.mock_if_missing)
    return hashlib.sha256(repr((_plan_hash(plan), asked)).encode()).hexdigest()[:12]
