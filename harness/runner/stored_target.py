"""The target of a stored run, as it was then: its model, its SAEs and where they lie."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.specs.local_paths import is_within
from harness.specs.spec import Spec
from harness.specs.spec_paths import folders_around
from harness.specs.target_files import known_targets
from harness.specs.targets import MOCK, Target, mocked, resolve


def target_of_run(run: Mapping[str, Any], spec: Spec) -> Target:
    """What a run's line and its `spec` mean by its target. Raises `InputError` where nothing is meant now."""
    path = Path(run["spec_path"])
    # Where a stranger's spec lay says nothing about whose files are meant here.
    around = folders_around(path) if is_within(path) else ()
    known = known_targets(path.parent if around else None)
    target = resolve(run["target"], spec.targets[run["target"]], *around, known=known)
    if run["origin"] == "mock":
        target = mocked(target, run["sae"].removeprefix(MOCK))
    return target
