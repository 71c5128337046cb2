"""What a dictionary is tried on, at all positions or few: its site in each layer, and the sites beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from harness.sae.input_readings import (
    Beside,
    Gain,
    other_gains,
    other_layers,
    other_norms,
    other_places,
)
from harness.sae.readings import biases, decoders, factors, order, thresholds
from harness.sae.sparse_product import LARGE
from harness.sae.sparsity_readings import other_ks
from harness.sae.trial import Reading, Trial

FEW = 32  # positions on which all other readings are tried first

K = TypeVar("K")


@dataclass(frozen=True)
class TriedPlaces:
    """A dictionary on what it reads at `layer`, and what else it may be of, as `diagnosis.misfit` has it."""

    trial: Trial
    streams: Mapping[int, Tensor]
    layer: int
    beside: Beside | None
    gain: Gain | None

    def kinds(self) -> tuple[Iterator[Reading], ...]:
        """All other readings that take no great search, each kind computed as it is asked for."""
        trial = self.trial
        return (
            other_layers(trial, self.streams, self.layer),
            other_places(trial, self.beside),
            other_norms(trial),
            other_gains(trial, self.gain),
            other_ks(trial),
            biases(trial),
            factors(trial),
            thresholds(trial),
            decoders(trial),
            order(trial),
        )

    def few(self) -> "TriedPlaces | None":
        """The same at `FEW` positions spread over all; None where they would not be tried much sooner.

        Of a large dictionary a processor takes as long as there are positions. Another device is waited for
        as often as it is asked.
        """
        trial, step = self.trial, len(self.trial.held) // FEW
        small = len(trial.held) * trial.sae.features < LARGE
        if step < 2 or small or trial.held.device.type != "cpu":
            return None
        beside = self.beside
        return replace(
            self,
            trial=Trial(trial.sae, trial.held[::step]),
            streams=_each(self.streams, step),
            beside=beside and (lambda: _each(beside(), step)),
        )


def _each(held: Mapping[K, Tensor], step: int) -> dict[K, Tensor]:
    return {of: one[::step] for of, one in held.items()}
