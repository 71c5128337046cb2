"""How well each way to predict effects ranks the organism's features, whose true effects are known.

Each feature of the organism was removed by itself at all positions of one confused prompt of every family
(`fixtures/organism/causes.npz`). Here the same is predicted: by the gradient, by integrated gradients, and by
the rules of Relevance Patching, which no run offers. Spearman's rank correlation over the features of a layer
that fire, of mean effects over families; and of the true twenty strongest, how many are among the twenty
that are predicted to be.

`python -m benchmarks.attribution_methods [--quick]`
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from benchmarks.cause_splits import COMMITTED, ORGANISM, Floats
from benchmarks.figures import figure
from benchmarks.relevance_rules import relevance_rules
from fixtures.training.causes import Causes, chosen_prompts, sae_of
from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.runner.context import RunContext
from harness.runner.stages.attribute import attribute
from harness.specs.ablations import Ablation, Select
from harness.specs.plan import Plan, make_plan
from harness.specs.prompt import Prompt
from harness.specs.prompt_file import load_prompts
from harness.specs.spec_file import load
from harness.store.tables.observations import Attributions

METHODS = ("gradient", "integrated-gradients", "relp")
FIGURES = (("rank correlation", "rho"), ("strongest found", "share"))
STRONGEST = 20
QUICK = 8  # families


def predicted(
    model: LanguageModel, plan: Plan, prompts: Sequence[Prompt], method: str, layer: int
) -> Floats:
    """The predicted effect of removing each feature of a layer, (features, families), in nats."""
    sae = sae_of(ORGANISM, layer, model.width)
    own = "gradient" if method == "relp" else method
    select = Select.model_validate({"by": "attribution", "method": own})
    ablation = Ablation(name="top", select=select, positions="all")
    context = RunContext("r", "stand-in", model, lambda _: sae, BatchLimit(32))
    rules: AbstractContextManager[None] = (
        relevance_rules(model.network) if method == "relp" else nullcontext()
    )
    families = {prompt.family: i for i, prompt in enumerate(prompts)}
    found = np.zeros((sae.features, len(families)))
    with rules:
        tables = attribute(context, replace(plan, layers=(layer,)), ablation, prompts)
    for table in tables:
        if isinstance(table, Attributions):
            for row in table.rows():
                found[row["feature"], families[row["family"]]] = row["predicted"]
    return found


def agreement(true: Floats, guessed: Floats) -> tuple[float, float]:
    """Of features' mean effects (n,): Spearman's correlation, and which share of the strongest is found."""
    strongest = [
        set(np.argsort(-np.abs(one), kind="stable")[:STRONGEST]) for one in (true, guessed)
    ]
    return float(spearmanr(true, guessed).statistic), len(set.intersection(*strongest)) / STRONGEST


def measured(
    families: int, layers: Sequence[int] = ()
) -> Iterator[tuple[int, str, int, float, float]]:
    """By layer, of these or all, and method: the features, the correlation, the share of the strongest."""
    causes = Causes.read(COMMITTED)
    target, loaded = ModelFiles(ORGANISM, "organism"), load(bundled("evals", "voices.yaml"))
    model = load_model(target)
    prompts = load_prompts(bundled("data", "voices.jsonl"))
    chosen = chosen_prompts(prompts, families)
    plan = make_plan(loaded.spec, loaded.targets["organism"], chosen)
    for layer in layers or range(model.depth):
        features, impact = causes.of_layer(layer)
        true = impact[:, : len(chosen)].mean(1)
        for method in METHODS:
            guessed = predicted(model, plan, chosen, method, layer)[features].mean(1)
            yield (layer, method, len(features), *agreement(true, guessed))


def main() -> int:
    """Print the table and the figures; the exit status is 1 where a method is better than the gradient."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    found = list(measured(QUICK if quick else 0))
    print("layer  features  method                rank correlation  of the strongest 20")
    for layer, method, n, correlation, share in found:
        print(f"{layer:5}  {n:8}  {method:20}  {correlation:16.3f}  {share:19.2f}")
    means = {
        method: np.array([one[3:] for one in found if one[1] == method]).mean(0)
        for method in METHODS
    }
    for method, (correlation, share) in means.items():
        print(f"  all            {method:20}  {correlation:16.3f}  {share:19.2f}")
    # Runs take the gradient unless they are told otherwise: nothing here should order features better.
    clear = [
        figure(f"{what}, gradient less {method}", float(ahead), unit, 0.0)
        for method in METHODS[1:]
        for (what, unit), ahead in zip(FIGURES, means["gradient"] - means[method], strict=True)
    ]
    return int(not all(clear))


if __name__ == "__main__":
    sys.exit(main())
