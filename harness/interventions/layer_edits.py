"""The edited features of one layer: of every intervention together, so that any row can have any."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.interventions.edits import Edit, directions, gain_and_shift
from harness.sae.jumprelu import Sae
from harness.specs.intervention import Intervention


@dataclass(frozen=True)
class Bank:
    """What interventions do at one layer.

    `sae` holds the edited features and, last, one that is never active. `members` (interventions,
    most) are each intervention's own, filled up with that one; `gain` and `shift` (interventions,
    most) are as in `harness.interventions.edits`. `resampled` (interventions,) says whose shift is a donor's.
    """

    sae: Sae
    members: Tensor
    gain: Tensor
    shift: Tensor
    resampled: Tensor

    def edit(self, which: Tensor, extra: Tensor | None = None, *, identity: Tensor) -> Edit:
        """The edit of rows that have the interventions `which` (n,).

        `extra` (n, tokens, features of `sae`) are the donors' values, the shift of the resampled;
        where `identity` (n,) the same is computed and nothing is changed.
        """
        members = self.members[which]
        shift = self.shift[which][:, None]
        if extra is not None:
            index = members[:, None].expand(-1, extra.shape[1], -1)
            shift = shift + extra.gather(2, index) * self.resampled[which, None, None]
        kept = ~identity[:, None, None]
        return Edit(self.sae.only(members), self.gain[which][:, None] * kept, shift * kept)

    def changes(self, number: int, values: Tensor, extra: Tensor | None = None) -> Tensor:
        """Where one intervention moves anything, (rows, tokens) bool, given the features' `values`.

        `values` and `extra` are (rows, tokens, features of `sae`).
        """
        members = self.members[number]
        shift = self.shift[number]
        if extra is not None and self.resampled[number]:
            shift = shift + extra[..., members]
        return (self.gain[number] * values[..., members] + shift != 0).any(-1)


def make_bank(sae: Sae, layer: int, interventions: Sequence[Intervention]) -> Bank:
    """The bank of one layer, on the device of its SAE."""
    device = sae.w_enc.device
    parts: list[Sae] = []
    at: dict[object, int] = {}
    size = 0

    def place(key: object, part: Sae) -> int:
        nonlocal size
        if key not in at:
            at[key] = size
            parts.append(part)
            size += part.features
        return at[key]

    members: list[list[int]] = []
    gains: list[list[float]] = []
    shifts: list[list[float]] = []
    for one in interventions:
        own = [i for i, (of, _) in enumerate(one.features) if of == layer]
        features = torch.tensor([one.features[i][1] for i in own], device=device, dtype=torch.long)
        if one.kind == "direction" and own:
            basis = directions(sae.only(features))
            start = place(one.id, basis)
            members.append(list(range(start, start + basis.features)))
            forms = [gain_and_shift(one.kind, None)] * basis.features
        else:
            members.append(
                [place(f, sae.only(features[i : i + 1])) for i, f in enumerate(features.tolist())]
            )
            forms = [gain_and_shift(one.kind, one.values[i] if one.values else None) for i in own]
        gains.append([gain for gain, _ in forms])
        shifts.append([shift for _, shift in forms])

    def filled(rows: list[list[float]] | list[list[int]], filler: int) -> Tensor:
        most = max(map(len, rows))
        return torch.tensor([row + [filler] * (most - len(row)) for row in rows], device=device)

    return Bank(
        sae=_joined([*parts, _never(sae)]),
        members=filled(members, size).long(),
        gain=filled(gains, 0).float(),
        shift=filled(shifts, 0).float(),
        resampled=torch.tensor([one.kind == "resample" for one in interventions], device=device),
    )


def _never(sae: Sae) -> Sae:
    """One feature that is never active and moves nothing."""
    column = torch.zeros_like(sae.b_dec)[:, None]
    zero = torch.zeros_like(sae.b_enc[:1])
    return Sae(column, zero, column.T, sae.b_dec, torch.full_like(zero, torch.inf))


def _joined(parts: Sequence[Sae]) -> Sae:
    return Sae(
        torch.cat([part.w_enc for part in parts], 1),
        torch.cat([part.b_enc for part in parts]),
        torch.cat([part.w_dec for part in parts]),
        parts[0].b_dec,
        torch.cat([part.threshold for part in parts]),
    )
