"""How much more an ablation's target does than each of its baselines, prompt by prompt, on every metric."""

from collections.abc import Mapping

import numpy as np

from harness.analysis.ablation_impacts import AblationImpacts
from harness.specs.prompt import Origin
from harness.stats import mean_interval, paired_max_t
from harness.store.tables.results import BaselineTests


def baseline_tests(
    impacts: Mapping[str, AblationImpacts], run_id: str, origin: Origin
) -> list[BaselineTests]:
    """A row a baseline and metric, of an ablation's `impacts` by metric.

    None where there is no baseline, or fewer than two families confirm, or clusters of them.
    """
    rows = []
    for metric, found in sorted(impacts.items()):
        for name in found.baselines if found.units.n > 1 else ():
            beside = found.beside(name)
            if np.isnan(beside.beyond).any():
                continue
            mean = mean_interval(beside.beyond, beside.units.of)
            test = paired_max_t(beside.beyond, units=beside.units.of, statistic="mean")
            rows.append(
                {
                    "run_id": run_id,
                    "ablation": found.ablation.name,
                    "baseline": name,
                    "metric": metric,
                    "n_pairs": len(found.target),
                    "n_units": mean.n_units,
                    "target_impact": float(found.target.mean()),
                    "baseline_impact": float(beside.controls.mean()),
                    "difference": float(mean.mean[0]),
                    "ci_low": float(mean.low[0]),
                    "ci_high": float(mean.high[0]),
                    "p": float(test.p_marginal[0]),
                    "origin": origin,
                }
            )
    return [BaselineTests.of(rows)] if rows else []
