"""What a run stored of an ablation, as the tests read it back."""

from dataclasses import dataclass, replace
from typing import Self

from harness.specs.intervention import Intervention
from harness.store.interface import ReadStore
from harness.store.interventions import interventions_of
from harness.store.tables.interventions import ControlBalance, ImpactNoise, Impacts, Interventions
from harness.store.tables.observations import Attributions, EditActivity, FeatureActivity


@dataclass(frozen=True)
class AblationRows:
    """What a run stored of one ablation: its edits, what each did, and what was predicted of it.

    `impacts` may hold other ablations' rows as well; `noise` is what an edit of nothing seemed to do,
    `activity` and `edited` what features do at all positions and where they are edited, and `balance` how
    like its controls the target is.
    """

    interventions: tuple[Intervention, ...]
    impacts: Impacts
    predictions: Attributions
    noise: ImpactNoise
    activity: FeatureActivity
    edited: EditActivity
    balance: ControlBalance

    @classmethod
    def read(cls, source: ReadStore, run_id: str, ablation: str) -> Self:
        """Those of a stored run."""
        return cls(
            interventions_of(source.read(Interventions, run_id, ablation=ablation)),
            source.read(Impacts, run_id),
            source.read(Attributions, run_id, ablation=ablation),
            source.read(ImpactNoise, run_id, ablation=ablation),
            source.read(FeatureActivity, run_id),
            source.read(EditActivity, run_id, ablation=ablation),
            source.read(ControlBalance, run_id, ablation=ablation),
        )

    def measured(self) -> Self:
        """Without the controls that a look has left out."""
        there = set(self.impacts.intervention_id)
        kept = (
            one
            for one in self.interventions
            if one.role != "control" or one.id in there or not there
        )
        return replace(self, interventions=tuple(kept))
