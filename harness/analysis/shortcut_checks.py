"""Whether a spec's prompts give the answer away: its shortcut scores as faults, notes and a line.

What loads numpy is imported where a score is computed: most calls need none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.scored_prompts import scored_prompts
from harness.errors import Fault
from harness.specs.prompt import Prompt
from harness.specs.spec_file import SpecFile

if TYPE_CHECKING:
    from harness.analysis.shortcuts import ShortcutScore

MOST = 0.75  # of a deciding score: above it a spec has to say why
FEWEST_FAMILIES = 12  # of fewer no score is told from chance

_KNOWN: dict[
    tuple[object, ...], tuple["ShortcutScore", ...]
] = {}  # of prompts that were scored in this process


@dataclass(frozen=True)
class ShortcutFindings:
    """What the scores of a prompt file mean for a spec: `faults` refuse it, `notes` are to be read."""

    scores: tuple["ShortcutScore", ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The deciding scores in one line; nothing where there are none."""
        deciding = sorted((one for one in self.scores if one.decides), key=lambda one: -one.score)
        if not deciding:
            return ""
        told = [f"{', '.join(map(str, deciding))}, {_left_out(deciding[0])}"]
        others = [one for one in self.scores if not one.decides]
        if others:
            told.append(f"{max(others, key=lambda one: one.score)}, {_left_out(others[0])}")
        return f"shortcuts: {'; '.join(told)} (chance is 0.5)"


def shortcut_findings(
    name: str, prompts: Sequence[Prompt], file: str, allowed: str | None, where: Callable[..., str]
) -> ShortcutFindings:
    """Hold the shortcut scores of a spec's prompts against what it allows, with a reason.

    `name` is the spec's and `file` its prompts', and `where` places its parts. A kind of features whose
    deciding score lies above 0.75, and whose interval lies above chance, is a fault.
    """
    families = len({prompt.family for prompt in prompts})
    if families < FEWEST_FAMILIES:
        what = (
            f"{families} famil{'y is' if families == 1 else 'ies are'} too few for a shortcut score"
        )
        return ShortcutFindings(notes=(f"{name}: {what} ({FEWEST_FAMILIES})",))
    some = scored_prompts(prompts)
    scores = _scores(some)
    deciding = [one for one in scores if one.decides]
    telling = [one for one in deciding if one.score > MOST and one.low > 0.5]
    others = [one for one in deciding if one not in telling]
    notes = [
        f"{name}: {_told([one for one in others if said(one)])} {what}, {_left_out(deciding[0])}"
        for said, what in _SIDES
        if any(map(said, others))
    ]
    if len(some) < len(prompts):
        of = f"{len(some) // 2:,} of {len(prompts) // 2:,} pairs"
        notes.append(
            f"{name}: shortcut scores are of {of}, in families taken by a hash of their names"
        )
    if telling and allowed:
        told = f"{_told(telling)}, {_left_out(telling[0])}"
        notes.append(f"{name}: shortcuts are allowed ({allowed}): {told}")
    elif allowed:
        what = f"no deciding score lies above {MOST:g}; drop `shortcuts`"
        notes.append(f"{name}: {what}")
    refused = telling if not allowed else []
    faults = [Fault(where("prompts"), _refusal(refused, file), _REMEDY)] if refused else []
    return ShortcutFindings(scores, tuple(faults), tuple(notes))


def findings_of(file: SpecFile) -> ShortcutFindings:
    """The same of a spec that was read from its file. Raises `InputError` where its prompts are faulty."""
    spec = file.spec
    allowed = spec.shortcuts.allow if spec.shortcuts else None
    return shortcut_findings(spec.name, file.prompts, spec.prompts, allowed, file.where)


_REMEDY = (
    "let both variants use the same words, answers and lengths equally often, or say why it may be so: "
    '`shortcuts: {allow: "..."}`'
)


def _refusal(telling: Sequence["ShortcutScore"], file: str) -> str:
    told = ", ".join(map(str, sorted(telling, key=lambda one: -one.score)))
    return (
        f"the variants of {file} are told apart without any model, {_left_out(telling[0])}, by {told} "
        f"(paired accuracy; chance is 0.5, and {MOST:g} the most), so a feature may do the same"
    )


# What is noted of scores that refuse nothing. Of scores below chance there is no shortcut: what other groups
# teach is wrong here, and nobody knows that who has not seen these.
_SIDES: tuple[tuple[Callable[["ShortcutScore"], bool], str], ...] = (
    (lambda one: one.low > 0.5, "without any model, better than chance"),
    (
        lambda one: one.high < 0.5,
        "without any model, below chance: what holds in others fails in some",
    ),
)


def _told(scores: Sequence["ShortcutScore"]) -> str:
    return ", ".join(f"{one} [{one.low:.2f}, {one.high:.2f}]" for one in scores)


def _left_out(one: "ShortcutScore") -> str:
    many = f"{one.groups} {_PLURALS.get(one.left_out, f'groups by {one.left_out}')}"
    return f"{many} left out in {'turn' if one.folds == one.groups else f'{one.folds} parts'}"


_PLURALS = {"family": "families", "form": "forms", "principle": "principles"}


def _scores(prompts: Sequence[Prompt]) -> tuple["ShortcutScore", ...]:
    """Those that decide; of the same prompts they are computed once in a process."""
    from harness.analysis.shortcuts import shortcut_scores

    said = tuple(
        (p.pair_id, p.family, p.label, p.text, p.answer, *sorted(p.tags.items())) for p in prompts
    )
    if said not in _KNOWN:
        _KNOWN[said] = shortcut_scores(prompts, every=False)
    return _KNOWN[said]
