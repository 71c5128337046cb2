"""The spec that a run's line holds, which may be a stranger's: read by the rules of specs, or refused."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from harness.errors import Fault, InputError
from harness.names import LONGEST_ID, is_name
from harness.specs.prompt import Origin
from harness.specs.spec import Spec
from harness.store.frozen_sets import sets_of


def stored_spec(run: Mapping[str, Any], column: str = "spec") -> Spec:
    """The spec that a run was made of, or that it was `analysed_spec` by. Raises `InputError`."""
    try:
        return Spec.model_validate_json(run[column], strict=False)
    except (ValidationError, ValueError, RecursionError):
        raise _fault(run, "its spec is not one that this harness reads") from None


def spec_mapping(run: Mapping[str, Any], column: str = "spec") -> dict[str, Any]:
    """The same as plain data, also of a spec that only another version reads. Raises `InputError`."""
    try:
        said = json.loads(run[column])
    except (TypeError, ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise _fault(run, "its spec is no JSON object")
    return said


def check_run(run: Mapping[str, Any]) -> None:
    """Raises `InputError` where a run that is to be imported was not written by a harness."""
    sets_of(run)
    for column in ("run_id", "spec_name", "target"):
        if not is_name(run[column], LONGEST_ID):
            raise _fault(run, f"its {column} is no name: {str(run[column])[:60]!r}")
    spec = stored_spec(run)
    if spec.name != run["spec_name"] or run["target"] not in spec.targets:
        raise _fault(run, "its spec is of another name, or has no such target")
    if hashlib.sha256(run["spec"].encode()).hexdigest() != run["spec_hash"]:
        raise _fault(run, "its spec is not the one that its hash is of")
    if run["origin"] not in get_args(Origin):
        raise _fault(run, f"its origin is {str(run['origin'])[:60]!r}")


def _fault(run: Mapping[str, Any], what: str) -> InputError:
    remedy = "take the run from where it was made, with `harness export`"
    return InputError(Fault(f"run {str(run['run_id'])[:200]}", what, remedy))
