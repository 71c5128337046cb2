"""What the metric's slopes at a layer predict: of each feature, of the SAE's error, and of what is left.

To first order removing a part v of the stream changes the metric by -slope . v. The parts of a stream x are
the features' f * W_dec, the error x - sae(x), and the constant: what the SAE puts out where no feature is
active, its bias and what it passes on. Error nodes are those of Marks et al. 2024, arXiv:2403.19647.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.models.transfer import send
from harness.runner.context import RunContext
from harness.sae import Sae, decode, encode
from harness.sae.encoding import scale_written, written_part
from harness.specs.ablations import Ablation
from harness.store.tables.columns import Columns
from harness.store.tables.observations import AttributionErrors, Attributions


@dataclass(frozen=True)
class Slopes:
    """The metric's slope at the edited positions of one layer.

    `held`, in the model's dtype, and `slope`, in nats a unit of it, are (n_positions, held width);
    `row` (n_positions,), on the processor, says whose they are.
    """

    held: Tensor
    slope: Tensor
    row: Tensor

    def effects(self, sae: Sae, at: Tensor) -> tuple[Tensor, Tensor]:
        """The slope times the parts at some of the positions, in nats: (n, features), and (n, 2).

        The latter are the error and the constant. All of them add up to the slope times the stream.
        """
        held = self.held[at]
        slope = written_part(sae, self.slope[at]).float()
        scale = scale_written(sae, held)
        values = encode(sae, held)
        by_feature = values * ((slope if scale is None else slope * scale) @ sae.w_dec.T)
        none = sae.only(torch.empty(0, dtype=torch.long, device=held.device))
        constant = decode(none, values[:, :0], held)
        error = written_part(sae, held).float() - decode(sae, values, held)
        return by_feature, (slope[:, None] * torch.stack([error, constant], 1)).sum(-1)


class LayerEffects:
    """The predicted effects of one layer's parts on the metric, by family, in nats."""

    def __init__(self, sae: Sae, families: Sequence[str]) -> None:
        self._sae, self._families = sae, families
        self._of_features = torch.zeros(len(families), sae.features, device=sae.w_enc.device)
        self._of_others = torch.zeros(len(families), 2, device=sae.w_enc.device)

    def add(self, context: RunContext, slopes: Slopes, family: Tensor) -> None:
        """Add those of removing each part at the positions; `family` (n_positions,) is whose they are.

        Family by family and in the order of the positions: what is added up in any order, as a device's
        atomic sums are, has other last bits the next time.
        """
        (order,) = send(self._of_features.device, family.argsort(stable=True))
        numbers, counts = family.unique(return_counts=True)
        for number, own in zip(numbers.tolist(), order.split(counts.tolist()), strict=True):
            for at in own.split(context.limit.positions(self._sae.features)):
                by_feature, others = slopes.effects(self._sae, at)
                self._of_features[number] -= by_feature.sum(0)
                self._of_others[number] -= others.sum(0)

    def tables(
        self,
        context: RunContext,
        ablation: Ablation,
        layer: int,
        features: Collection[int] | None = None,
    ) -> list[Columns]:
        """Rows of the features that are predicted to do anything, or of those of `features`; and of the sums.

        What all features do together is that of every one, whichever have rows.
        """
        names = np.array(self._families)
        # On the processor: a device may have no float64.
        together = self._of_features.cpu().double().sum(1).numpy()
        error, constant = self._of_others.cpu().double().numpy().T
        shown = self._of_features
        if features is not None:
            wanted = torch.zeros(self._sae.features, dtype=torch.long)
            wanted[list(features)] = 1
            shown = shown * send(shown.device, wanted)[0]
        family, feature = (index.cpu().numpy() for index in shown.nonzero(as_tuple=True))
        common = {
            "run_id": context.run_id,
            "ablation": ablation.name,
            "layer": layer,
            "origin": context.origin,
        }
        return [
            Attributions.filled(
                **common,
                family=names[family],
                feature=feature,
                predicted=shown.cpu().numpy()[family, feature],
            ),
            AttributionErrors.filled(
                **common, family=names, features=together, error=error, constant=constant
            ),
        ]
