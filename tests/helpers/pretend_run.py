"""Run an eval on the pretended device, in a process of its own, and say what was seen: one JSON object.

`python -m tests.helpers.pretend_run SPEC DB '{"dtype": "bfloat16", "noise": "by_tile"}'`
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from harness.models.language_model import LanguageModel
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.sae import precise
from harness.specs.spec_file import load
from tests.helpers import pretend_device
from tests.helpers.pretend_device import NAME, pretend


def main(spec: str, db: str, options: str = "{}") -> None:
    """Run it as the options say: `dtype`, `noise`, `limit`, `batch_size`, `full_at`, `has_double`."""
    asked = json.loads(options)
    noise = asked.pop("noise", "")
    pretend.noise = getattr(pretend_device, noise) if noise else None
    pretend.full_at = set(asked.pop("full_at", ()))
    if not asked.pop("has_double", True):
        pretend.has_double = False
        precise.WITHOUT_DOUBLE.add(NAME)
    forwards = Counter[str]()
    for name in ("token_scores", "cached_forward", "replay", "generate"):
        setattr(LanguageModel, name, _counted(name, forwards))
    said: list[str] = []
    outcome = run_eval(
        load(spec),
        "organism",
        db=db,
        how=How(device=NAME, **asked),
        progress=lambda *_: None,
        say=said.append,
    )
    print(
        json.dumps(
            {
                "run_id": outcome.run_id,
                "operations": pretend.operations,
                "waits": pretend.waits,
                "unordered": pretend.unordered,
                "forwards": forwards,
                "said": said,
            }
        )
    )


def _counted(name: str, calls: Counter[str]) -> Callable[..., Any]:
    """A method of the model that counts its calls."""
    method = getattr(LanguageModel, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return method(*args, **kwargs)

    return call


if __name__ == "__main__":
    main(*sys.argv[1:])
