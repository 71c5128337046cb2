"""What an eval asks of a device: operations, waits of the host, rows a replay, on a pretended one.

`python -m benchmarks.launches [--quick]`

On a GPU an operation on a few rows takes as long as it takes to be launched, and what makes the host wait
leaves the GPU idle. Neither depends on how fast a machine is, so that what an edit costs here, against a
forward a cell (each edit of each prompt in a hooked forward of its own, whose scores are read as it
ends), can be held to a bar on any.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.counted_forwards import ROWS
from benchmarks.figures import figure
from harness.paths import bundled
from harness.store.database import Store

FAMILIES = {True: 2, False: 6}  # of each side
CELLS = 8  # that are made one by one
COUNTED = ("operations", "forwards", "waits")
# Edits that change something; all others are answered without a forward.
EDITS = (
    "SELECT count(*) FROM (SELECT DISTINCT intervention_id, prompt_id FROM impacts WHERE active)"
)


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer families")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], int(options.measure[1]))))
        return 0
    return 0 if all(launches(bundled("evals", "voices.yaml"), FAMILIES[options.quick])) else 1


def launches(spec: Path, families: int) -> list[bool]:
    """Of a spec on so many families of each side on the organism."""
    # A backend of torch cannot be taken back: a process of its own.
    call = [sys.executable, "-m", "benchmarks.launches", "--measure", str(spec), str(families)]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    edits, cell, stages = seen["edits"], seen["cell"], dict(each(seen["stages"]))
    for stage, taken in stages.items():
        print(f"  {stage:<16} " + ", ".join(f"{taken[what]:,} {what}" for what in taken))
    # An ablation is as many stages as it looks at its controls.
    parts = [taken for stage, taken in stages.items() if stage.startswith("ablate")]
    ablate = {what: sum(part[what] for part in parts) for what in parts[0]}
    print(
        f"  {edits} edits: {ablate['operations'] / edits:.0f} operations and "
        f"{ablate['waits'] / edits:.2f} waits each; a forward a cell has {cell['operations']:.0f} and "
        f"{cell['waits']:.0f}"
    )
    total = {what: sum(taken[what] for taken in stages.values()) for what in ("waits", "forwards")}
    each_forward = total["waits"] / total["forwards"]
    held = [
        figure(
            f"launches: a forward a cell / ours, {what} an edit",
            cell[what] * edits / ablate[what],
            "x",
            bar,
        )
        for what, bar in (("operations", 20.0), ("waits", 12.0))
    ]
    rows = seen["forwards"][ROWS] / seen["forwards"]["replay"]
    return [
        *held,
        figure("launches: rows a replay", rows, "rows", 15.0),
        figure("launches: waits a forward", each_forward, "waits", 28.0, at_most=True),
    ]


def each(stages: dict[str, dict[str, int]]) -> Any:
    """What each stage took by itself, of what had been taken when it ended."""
    before = dict.fromkeys(COUNTED, 0)
    for stage, after in stages.items():
        yield stage, {what: after[what] - before[what] for what in COUNTED}
        before = after


def measure(spec: str, families: int) -> dict[str, Any]:
    """Run the eval, and some of its cells one by one: what each took."""
    from benchmarks import pretend_run

    with tempfile.TemporaryDirectory() as scratch:
        db = f"{scratch}/r.duckdb"
        seen = pretend_run.run(spec, db, {"limit": families, "batch_size": 64})
        with Store.open_to_read(Path(db)) as store:
            ((edits,),) = store.query(EDITS)[1]
    return seen | {"edits": edits, "cell": one_by_one()}


def one_by_one() -> dict[str, float]:
    """Operations and waits of an edit in a hooked forward of its own, whose scores are read as it ends."""
    from benchmarks.ablation_peers import logprobs
    from benchmarks.pretend_device import NAME, pretend
    from harness.models.loading import load_model
    from harness.models.model_files import ModelFiles
    from harness.models.sae_files import sae_file
    from harness.sae import encode, load_sae
    from harness.specs.targets import load_targets

    model = load_model(ModelFiles(bundled("fixtures", "organism"), "organism"), device=NAME)
    layer = model.depth // 2
    path = sae_file(load_targets()["organism"], layer)
    sae = load_sae(path, width=model.width).to(str(model.device))
    ids = torch.arange(3, 35)[None].to(model.device)
    candidates = torch.tensor([[5, 6]]).to(model.device)
    before = pretend.operations, sum(pretend.waits.values())
    for feature in range(CELLS):
        part = sae.only(torch.tensor([feature], device=model.device))

        def ablate(_block: Any, _args: Any, residual: Any, part: Any = part) -> None:
            residual[:, 1:] -= encode(part, residual[:, 1:]) @ part.w_dec

        hook = model.network.model.layers[layer].register_forward_hook(ablate)
        with torch.no_grad():
            logits = model.network(ids, use_cache=False, logits_to_keep=1).logits
        hook.remove()
        logprobs(logits, candidates).tolist()
    after = pretend.operations, sum(pretend.waits.values())
    operations, waits = ((now - then) / CELLS for now, then in zip(after, before, strict=True))
    return {"operations": operations, "waits": waits}


if __name__ == "__main__":
    sys.exit(main())
