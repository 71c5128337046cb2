"""Run an eval on the pretended device, in a process of its own, and say what was seen: one JSON object.

`python -m benchmarks.pretend_run SPEC DB '{"dtype": "bfloat16", "noise": "by_tile"}'`
"""

import json
import sys
from typing import Any

from accelerate import dispatch_model

from benchmarks import pretend_device
from benchmarks.counted_forwards import FORWARDS, counted_forwards
from benchmarks.pretend_device import NAME, pretend
from harness.models import loading
from harness.models.language_model import LanguageModel
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.sae import precise
from harness.specs.spec_file import load


def run(spec: str, db: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Run it as is `asked`; what was seen.

    `dtype`, `limit`, `batch_size`: as for `run`. `noise`, `has_double`, `full_at`, `failed`: as in
    `pretend_device`; `failures` in each stage. `split`: half of the model on the processor.
    """
    noise = asked.pop("noise", "")
    pretend.noise = getattr(pretend_device, noise) if noise else None
    pretend.full_at = asked.pop("full_at", 0)
    pretend.failed = set(asked.pop("failed", ()))
    a_stage = asked.pop("failures", 0)
    device = NAME
    if asked.pop("split", False):
        device = "split"
        loading._placed = lambda _: {}
        loading.LanguageModel = _spread  # type: ignore[assignment, misc]
    if not asked.pop("has_double", True):
        pretend.has_double = False
        precise.WITHOUT_DOUBLE.add(NAME)
    said: list[str] = []
    stages: dict[str, dict[str, int]] = {}

    def watched(stage: str, *_: int) -> None:
        """What a stage took: the device's memory at most, operations and forwards so far."""
        if stage not in stages:
            pretend.most, pretend.failures = pretend.bytes, a_stage
        stages[stage] = {
            "bytes": pretend.most,
            "operations": pretend.operations,
            "forwards": sum(forwards[name] for name in FORWARDS),
            "waits": sum(pretend.waits.values()),
        }

    with counted_forwards() as forwards:
        outcome = run_eval(
            load(spec),
            "organism",
            db=db,
            how=How(device=device, **asked),
            progress=watched,
            say=said.append,
        )
    return {
        "run_id": outcome.run_id,
        "operations": pretend.operations,
        "waits": pretend.waits,
        "unordered": pretend.unordered,
        "mixed": pretend.mixed,
        "forwards": forwards,
        "said": said,
        "stages": stages,
        "failed": sorted(pretend.failed),
    }


def _spread(network: Any, *args: Any) -> LanguageModel:
    """The organism's first blocks on the processor and the others on the pretended device."""
    # The head shares its weights with the embedding, and so its device.
    placed = dict.fromkeys(("model.embed_tokens", "model.rotary_emb", "lm_head"), "cpu")
    placed |= {"model.norm": NAME} | {
        f"model.layers.{i}": "cpu" if i < 3 else NAME for i in range(6)
    }
    # With the processor for the main device its blocks are computed there, and not only kept.
    return LanguageModel(dispatch_model(network, placed, main_device="cpu"), *args)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))))
