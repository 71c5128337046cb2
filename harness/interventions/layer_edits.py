"""The edited features of one layer: of every intervention together, so that any row can have any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType

import torch
from torch import Tensor

from harness.interventions.complement_edits import At, ComplementEdits
from harness.interventions.edits import Edit, directions, gain_and_shift, rotated
from harness.sae import Sae, encode
from harness.specs.fields import Baseline
from harness.specs.intervention import Intervention

WEIGHED = 2**24  # values of features that are looked at together


@dataclass(frozen=True)
class LayerEdits:
    """What interventions do at one layer.

    `sae` holds the edited features and, last, one that is never active. `members` (interventions,
    most) int64 are each intervention's own features of it, filled up with that one; `gain` and `shift`
    (interventions, most) float32 are as in `harness.interventions.edits`. `resampled` (interventions,)
    bool says whose shift is a source prompt's values. `along` (interventions, width written) float32 are the
    directions of baselines, and zeros of all others; None where there is no baseline.
    """

    sae: Sae
    members: Tensor
    gain: Tensor
    shift: Tensor
    resampled: Tensor
    along: Tensor | None = None

    def read(self, held: Tensor, cut: Tensor | None = None) -> Tensor:
        """The features' values (rows, tokens, features of `sae`) of what the site holds.

        `held` (rows, tokens, held width); `cut` is a TopK dictionary's `cutoff` of it, where that is known.
        """
        return encode(self.sae, held, cut)

    def beside(self, source: Tensor, at: At, held: Tensor, cut: Tensor | None) -> Tensor:
        """What edits need beside the edited stream: the features' values in source prompts, as `read`.

        `source` (rows, its tokens, held width) is what the site holds of these, and `at` has the row and the
        token of it that stand for each of the prompts', (rows, tokens); `held` is theirs before any edit.
        """
        del held, cut
        return self.read(source)[at]

    def edit(self, which: Tensor, source_values: Tensor | None = None, *, identity: Tensor) -> Edit:
        """The edit of rows that have the interventions `which` (n,).

        `source_values` (n, tokens, features of `sae`) are those of the source prompts, the shift of the
        resampled; where `identity` (n,) bool the same is computed and nothing is changed.
        """
        members = self.members[which]
        shift = self.shift[which][:, None]
        if source_values is not None:
            index = members[:, None].expand(-1, source_values.shape[1], -1)
            shift = shift + source_values.gather(2, index) * self.resampled[which, None, None]
        # gain = shift = 0 adds nothing to the stream, by the same arithmetic as any other edit.
        does_edit = ~identity[:, None, None]
        return Edit(
            self.sae.only(members),
            self.gain[which][:, None] * does_edit,
            shift * does_edit,
            None if self.along is None else self.along[which][:, None],
        )

    def changes(self, values: Tensor, source_values: Tensor | None = None) -> Tensor:
        """Where each intervention moves anything, (interventions, rows, tokens) bool.

        `values` and `source_values` (rows, tokens, features of `sae`) are the features' values.
        """
        most = max(1, WEIGHED // (values.shape[0] * values.shape[1] * self.members.shape[1]))
        parts = []
        for start in range(0, len(self.members), most):
            some = slice(start, start + most)
            members, shift = self.members[some], self.shift[some]
            if source_values is not None:
                shift = shift + source_values[..., members] * self.resampled[some, None]
            moved = self.gain[some] * values[..., members] + shift != 0
            parts.append(moved.any(-1).movedim(-1, 0))
        return torch.cat(parts)


EditsByLayer = Mapping[int, LayerEdits] | Mapping[int, ComplementEdits]
# Of each baseline, by layer, its direction of length 1 in what is edited, (width written,) float32.
Directions = Mapping[Baseline, Mapping[int, Tensor]]


def make_layer_edits(
    sae: Sae,
    layer: int,
    interventions: Sequence[Intervention],
    directions_of: Directions = MappingProxyType({}),
) -> LayerEdits:
    """What these interventions do at one layer, on the device of its SAE.

    `directions_of` has those of the baselines that are among them.
    """
    device = sae.w_enc.device
    own = [tuple(feature for of, feature in edit.features if of == layer) for edit in interventions]
    # Features that several interventions edit are there once, and all of them are copied together.
    alone = [
        some
        for edit, some in zip(interventions, own, strict=True)
        if edit.kind != "direction" and edit.role != "rotated"
    ]
    place = {feature: i for i, feature in enumerate(dict.fromkeys(chain.from_iterable(alone)))}
    parts = [sae.only(torch.tensor(list(place), dtype=torch.long).to(device))]
    size = len(place)
    members: list[list[int]] = []
    gains: list[list[float]] = []
    shifts: list[list[float]] = []
    for edit, some in zip(interventions, own, strict=True):
        if edit.kind == "direction" and some:
            # A set's span has a basis of its own, which it shares with no other set.
            basis = directions(sae.only(torch.tensor(some, device=device)))
            parts.append(basis)
            members.append(list(range(size, size + basis.features)))
            size += basis.features
            forms = [gain_and_shift(edit.kind, None)] * basis.features
        else:
            if edit.role == "rotated" and some:
                # Its directions are its own, and are read by nobody else.
                seed = int(edit.id[:12], 16) + layer
                parts.append(rotated(sae.only(torch.tensor(some, device=device)), seed))
                members.append(list(range(size, size + len(some))))
                size += len(some)
            else:
                members.append([place[feature] for feature in some])
            at_layer = [i for i, (of, _) in enumerate(edit.features) if of == layer]
            forms = [
                gain_and_shift(edit.kind, edit.values[i] if edit.values else None) for i in at_layer
            ]
        gains.append([gain for gain, _ in forms])
        shifts.append([shift for _, shift in forms])

    def filled(rows: list[list[float]] | list[list[int]], filler: int) -> Tensor:
        most = max(map(len, rows))
        return torch.tensor([row + [filler] * (most - len(row)) for row in rows], device=device)

    return LayerEdits(
        sae=_joined([*parts, _inactive_feature(sae)]),
        members=filled(members, size).long(),
        gain=filled(gains, 0).float(),
        shift=filled(shifts, 0).float(),
        resampled=torch.tensor([edit.kind == "resample" for edit in interventions], device=device),
        along=_along(sae, layer, interventions, directions_of),
    )


def _along(
    sae: Sae, layer: int, interventions: Sequence[Intervention], directions_of: Directions
) -> Tensor | None:
    """The baselines' directions, (interventions, width written), and zeros of what is no baseline."""
    if not any(edit.baseline and layer in edit.layers for edit in interventions):
        return None
    none = torch.zeros_like(sae.w_dec[0])
    return torch.stack(
        [
            directions_of[edit.baseline][layer].to(none)
            if edit.baseline and layer in edit.layers
            else none
            for edit in interventions
        ]
    )


def _inactive_feature(sae: Sae) -> Sae:
    """One feature that is never active and moves nothing."""
    zero = torch.zeros_like(sae.b_enc[:1])
    return Sae(
        torch.zeros_like(sae.w_enc[:, :1]), zero, torch.zeros_like(sae.w_dec[:1]), sae.b_dec,
        torch.full_like(zero, torch.inf),
    )  # fmt: skip


def _joined(parts: Sequence[Sae]) -> Sae:
    """All of their features, which read and write as those of the first do."""
    return replace(
        parts[0],
        w_enc=torch.cat([part.w_enc for part in parts], 1),
        b_enc=torch.cat([part.b_enc for part in parts]),
        w_dec=torch.cat([part.w_dec for part in parts]),
        threshold=torch.cat([part.threshold for part in parts]),
    )
