"""Families that hang together: those that share the value of a tag, such as a physical principle."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from harness.errors import Fault, InputError, first_few
from harness.specs.prompt import Prompt

FAMILY = "family"  # the cluster that a family is by itself
PRINCIPLE = "principle"  # the tag that physics prompts have for it
CORRELATION = 0.7  # of two families of a cluster, where a spec says none


def clusters_of(prompts: Sequence[Prompt], tag: str, *, file: str, asked: str) -> Mapping[str, str]:
    """Each family's value of a tag, by family; the family itself where the tag is `family`.

    Raises `InputError` where a line lacks the tag or a family has several values, naming lines of the `file`
    and what `asked` for it.
    """
    if tag == FAMILY:
        return {prompt.family: prompt.family for prompt in prompts}
    lines: dict[str, dict[str, int]] = defaultdict(dict)  # by family, the first line of each value
    lacking: dict[str, int] = {}
    for prompt in prompts:
        if tag in prompt.tags:
            lines[prompt.family].setdefault(prompt.tags[tag], prompt.line)
        else:
            lacking.setdefault(prompt.family, prompt.line)
    faults = []
    if lacking:
        what = (
            f"{asked} needs a tag '{tag}' on every line, and families lack it: {first_few(lacking)}"
        )
        where = f"{file}:{min(lacking.values())}"
        remedy = f'write it like "tags": {{"{tag}": "..."}}, or name another tag'
        faults.append(Fault(where, what, remedy))
    for family, values in lines.items():
        if len(values) > 1:
            (one, first), (other, second), *_ = values.items()
            what = f"family '{family}' has the {tag} '{one}' on line {first} and '{other}' here"
            remedy = f"give all lines of a family one {tag}: {asked} keeps families whole"
            faults.append(Fault(f"{file}:{second}", what, remedy))
    if faults:
        raise InputError(*faults)
    return {family: next(iter(values)) for family, values in lines.items()}


def grouping_tag(prompts: Sequence[Prompt]) -> str:
    """A tag that puts families together: on every line, alike within families, of two values or more.

    `principle` where that is one, else the one of most values; nothing where there is none.
    """
    families = {prompt.family for prompt in prompts}
    found: dict[str, int] = {}
    for tag in sorted({tag for prompt in prompts for tag in prompt.tags}):
        if any(tag not in prompt.tags for prompt in prompts):
            continue
        values = {(prompt.family, prompt.tags[tag]) for prompt in prompts}
        n = len({value for _, value in values})
        if len(values) == len(families) and 1 < n < len(families):
            found[tag] = n
    return PRINCIPLE if PRINCIPLE in found else max(found, key=found.__getitem__, default="")


def sizes_of(clusters: Mapping[str, str], families: Iterable[str]) -> list[int]:
    """How many of these families each of their clusters has."""
    sizes: dict[str, int] = defaultdict(int)
    for family in families:
        sizes[clusters[family]] += 1
    return sorted(sizes.values())


def effective_number(sizes: Collection[int], correlation: float) -> float:
    """How many independent families clusters of these `sizes` are worth to the mean over all of them.

    N^2 / sum of m (1 + (m - 1) rho) over clusters of m families, N in all, of which two of a cluster have
    the correlation rho: what the variance of one family's is divided by in that of their mean. With clusters
    of one size it is N / (1 + (m - 1) rho), Kish's (1965).
    """
    spread = sum(m * (1 + (m - 1) * correlation) for m in sizes)
    return sum(sizes) ** 2 / spread if spread > 0 else 0.0


def plural(tag: str) -> str:
    """Several of a cluster, in words: families, principles."""
    if tag.endswith("y") and tag[-2:-1] not in {*"aeiou"}:
        return f"{tag[:-1]}ies"
    return f"{tag}s"


def counted(n: int, tag: str) -> str:
    """So many of a cluster, in words: 1 family, 16 principles."""
    return f"{n} {tag if n == 1 else plural(tag)}"
