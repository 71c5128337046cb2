"""What a new spec must suit: its targets' layers, and how many families its prompts have."""

import math
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Fault, InputError
from harness.specs.clusters import FAMILY, grouping_tag
from harness.specs.contrast import Contrast
from harness.specs.design import families_needed, largest_share, smallest_p
from harness.specs.plan import FEWEST
from harness.specs.prompt_file import load_prompts, variants_in
from harness.specs.prompt_pairs import OLD
from harness.specs.variants import Variants


@dataclass(frozen=True)
class PromptFacts:
    """What of the prompts decides how a spec is written.

    `shared` counts the pairs whose variants have the same prompt; `balanced` says whether each answer
    is right as often as it is wrong within every family. `tag` is the tag that groups families, of which
    there are so many `groups`; nothing where none does. `variants` is what the variants are called.
    """

    families: int
    pairs: int
    shared: int
    balanced: bool
    tag: str = ""
    groups: int = 0
    variants: Variants = OLD

    @property
    def cluster(self) -> str:
        """What counts as independent: groups of families, where they are enough for a claim."""
        return self.tag if self.tag and self.groups >= needed() else FAMILY

    @property
    def units(self) -> int:
        """How many of them there are."""
        return self.families if self.cluster == FAMILY else self.groups

    @property
    def discovery(self) -> float:
        """The share of units that discover; 0 where none can be spared from the confirming side."""
        if self.units // 2 >= needed():
            return 0.5
        share = largest_share(self.units, needed()) or 0.0
        return share if math.ceil(share * self.units) >= FEWEST else 0.0

    @property
    def confirming(self) -> int:
        """How many units confirm."""
        return self.units - math.ceil(self.discovery * self.units)


def needed() -> int:
    """The fewest families whose sign flips can reach the usual alpha."""
    return families_needed(Contrast().alpha) or 0


def prompt_facts(path: Path) -> PromptFacts:
    """The facts of a prompt file. Raises `InputError`, also where no claim could be reached."""
    variants = variants_in(path)
    prompts = load_prompts(path, variants=variants)
    try:
        load_prompts(path, balanced=True, variants=variants)
        balanced = True
    except InputError:
        balanced = False
    texts: dict[str, set[str]] = {}
    for prompt in prompts:
        texts.setdefault(prompt.pair_id, set()).add(prompt.text)
    families = len({prompt.family for prompt in prompts})
    if families < needed():
        counted = f"{families} famil{'y' if families == 1 else 'ies'}"
        what = f"it has {counted}, and {families} can give no p below " + (
            f"{smallest_p(families):.3g}"
        )
        raise InputError(Fault(str(path), what, f"add families: a claim needs {needed()}"))
    shared = sum(len(distinct) == 1 for distinct in texts.values())
    tag = grouping_tag(prompts)
    groups = len({prompt.tags[tag] for prompt in prompts}) if tag else 0
    return PromptFacts(families, len(texts), shared, balanced, tag, groups, variants)
