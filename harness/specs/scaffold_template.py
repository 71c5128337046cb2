"""The text of a new spec, with a comment on each part."""

import json
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

from harness.specs.clusters import plural
from harness.specs.contrast import Contrast
from harness.specs.design import smallest_p
from harness.specs.metrics import metric_words
from harness.specs.plan import FEWEST
from harness.specs.scaffold_facts import PromptFacts, needed
from harness.specs.targets import Target

_RESERVED = {
    "true",
    "false",
    "null",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
}  # which YAML reads as values
# A sentence that YAML reads as itself.
_PLAIN = re.compile(r"[A-Za-z][\w ,;().?/-]* [\w ,;().?/-]*")


def draft(
    name: str,
    question: str,
    targets: Sequence[Target],
    prompts: str,
    schema: str,
    facts: PromptFacts,
    allow: str = "",
) -> str:
    """The text of a spec; `prompts` and `schema` are paths as it names them.

    `allow` is the reason for which shortcuts are allowed, where there is one.
    """
    said = question if _PLAIN.fullmatch(question) else json.dumps(question, ensure_ascii=False)
    file = prompts if re.fullmatch(r"[A-Za-z][\w./-]*", prompts) else json.dumps(prompts)
    parts = [
        f"# yaml-language-server: $schema={schema}",
        *_comment("An editor that knows the line above explains each part where the cursor rests."),
        f"name: {name}",
        f"question: {said}",
        *_comment(
            "Where it runs (`harness targets`): the claims are tested on each target apart. `layers` "
            "are blocks whose output is read, counted from 0: a list, `all`, `default` or `none`."
        ),
        "targets:",
        *(f"  {target.name}: {{layers: {_layers(target)}}}" for target in targets),
        *_comment(f"{facts.pairs} pairs in {facts.families} families."),
        f"prompts: {file}",
        *_balance(facts),
        *_shortcuts(allow),
        *_readout(facts),
        *_split(facts),
        *_comment(
            "The paired test of each feature between the variants, corrected over all features of all "
            "layers. `alpha` is the error rate of every claim below."
        ),
        f"contrast: {{of: {facts.variants.correct}, against: {facts.variants.misconception}, "
        "statistic: pratt+mcnemar, "
        "correction: max-t, alpha: 0.05}",
        *(_ablations(facts) if facts.discovery else _no_ablations(facts)),
        *_comment(f"What impacts are measured in: {_difference(facts)}, in nats."),
        "metric: logit_difference",
        *_comment("Tokens that each prompt is continued by, to be read by people; 0 for none."),
        "new_tokens: 6",
        *_claims(targets, facts),
    ]
    return "\n".join(parts) + "\n"


def _difference(facts: PromptFacts) -> str:
    one, other = facts.variants.names
    if facts.variants.are_roles:
        return f"log p({one}) - log p({other})"
    return metric_words("logit_difference", facts.variants)


def _comment(text: str, indent: str = "") -> list[str]:
    return [f"{indent}# {line}" for line in wrap(text, 96 - len(indent), break_on_hyphens=False)]


def _layers(target: Target) -> str:
    return f"[{', '.join(map(str, target.layers))}]" if target.layers else "all"


def _balance(facts: PromptFacts) -> Iterator[str]:
    if facts.balanced:
        yield from _comment(
            "`family`: within every family each answer is right as often as it is wrong, so that "
            "whatever a feature owes to a word cancels. `none` would not ask for it."
        )
        yield "balance: family"
    else:
        yield from _comment(
            "In some families an answer is right more often than it is wrong: what a feature owes to a "
            "word does not cancel there. Ask the other question as often, and write `family`."
        )
        yield "balance: none"


def _shortcuts(allow: str) -> Iterator[str]:
    if allow:
        yield from _comment(
            "Words, answers or lengths alone tell the variants apart (`harness check`), and a feature may "
            "do the same. The reason why that is allowed stands in the report."
        )
        yield f"shortcuts: {{allow: {json.dumps(allow, ensure_ascii=False)}}}"


def _readout(facts: PromptFacts) -> Iterator[str]:
    if facts.shared:
        which = "The" if facts.shared == facts.pairs else f"{facts.shared} of {facts.pairs}"
        yield from _comment(
            f"Where features are read. {which} pairs have one prompt for both variants, which differ in "
            "the answer: before it every difference would be zero. Several positions become one by "
            "`mean`, `max` or `sum`."
        )
        yield "readout: {at: answer, reduce: mean}"
    else:
        yield from _comment(
            "Where features are read: the variants differ in the prompt, so at its last token, before "
            "any answer. Else `prompt`, `answer` or `all`, with `reduce: mean`, `max` or `sum`."
        )
        yield "readout: {at: last_prompt_token}"


def _split(facts: PromptFacts) -> Iterator[str]:
    units = _several(facts.cluster)
    if facts.discovery:
        text = (
            f"{facts.units - facts.confirming} {units} select features and {facts.confirming} others "
            f"confirm the claims; {needed()} is the fewest that can. Another seed, another split: choose "
            "it before the first run."
        )
    else:
        text = (
            f"All {facts.units} {units} confirm: {needed()} must, and {FEWEST} more would be needed to "
            "select features on."
        )
    yield from _comment(text)
    yield f"split: {{by: {_word(facts.cluster)}, discovery: {facts.discovery:g}, seed: 42}}"
    yield from _cluster(facts)


def _cluster(facts: PromptFacts) -> Iterator[str]:
    """What hangs together, where a tag tells: as the units of every test, or why it cannot be."""
    if not facts.tag:
        return
    tag, several = _word(facts.tag), _several(facts.tag)
    if facts.cluster == facts.tag:
        yield from _comment(
            f"Families that share a {tag} are not independent: {several} are the units of every test, so "
            f"that what is shown holds for others. `family` would speak of these {several} alone."
        )
        yield f"cluster: {tag}"
    else:
        yield from _comment(
            f"Families that share a {tag} are not independent, but {facts.groups} {several} can give no p "
            f"below {smallest_p(facts.groups):.3g}: families count as if they were, and what is shown holds "
            f"for these {several}. With {needed()} or more, split by it and write:"
        )
        yield f"# cluster: {tag}"


def _word(tag: str) -> str:
    """A tag as YAML reads it, whatever it is."""
    plain = re.fullmatch(r"[A-Za-z][\w-]*", tag, re.ASCII) and tag.lower() not in _RESERVED
    return tag if plain else json.dumps(tag)


def _several(tag: str) -> str:
    """Several of its values, in words."""
    return plural(tag) if _word(tag) == tag else f"values of {_word(tag)}"


def _ablations(facts: PromptFacts) -> Iterator[str]:
    yield from _comment(
        "Edits of the model: chosen on the discovering families, frozen, made on the confirming ones."
    )
    yield "ablations:"
    yield "  - name: top"
    if facts.shared:
        yield from _comment(
            "By predicted effect on the metric at the prompt's tokens: features read at the answer "
            "fire too late to change it. `toward` is where their removal should move the answer.",
            "    ",
        )
        yield f"    select: {{top: 10, by: attribution, toward: {facts.variants.correct}}}"
    else:
        yield from _comment(
            "By the strongest difference between the variants; or `by: attribution`, by predicted "
            "effect. `toward` is where their removal should move the answer.",
            "    ",
        )
        yield f"    select: {{top: 10, by: contrast, rank: size, toward: {facts.variants.correct}}}"
    yield from _comment(
        "What the features' values become: `zero`; `mean`; `resample` with a `source`; `clamp`, `scale` "
        "or `steer` with a `value`; `direction`. `doses: [0, 0.5, 2]` scales them as well.",
        "    ",
    )
    yield "    kind: zero"
    yield from _comment(
        "Where: `all`, `prompt`, `answer`, `last_prompt_token`, or tokens of the prompt: [1, -1].",
        "    ",
    )
    yield f"    positions: {'prompt' if facts.shared else 'all'}"
    yield f"    variant: {facts.variants.misconception}"
    yield from _comment(
        "Sets of random features that are alike where the edit acts; 19 are the fewest that alpha 0.05 "
        "allows, and where more can show nothing they are left out.",
        "    ",
    )
    yield "    controls: 99"


def _no_ablations(facts: PromptFacts) -> Iterator[str]:
    yield from _comment(
        f"No ablations: with {needed() + FEWEST} {_several(facts.cluster)} instead of {facts.units}, some "
        "could select the features to remove and enough would be left to confirm what that does."
    )


def _claims(targets: Sequence[Target], facts: PromptFacts) -> Iterator[str]:
    floor, units = smallest_p(facts.confirming), _several(facts.cluster)
    yield from _comment(
        f"What is claimed, fixed before the run; the names say what is tested, whatever the question asks. "
        f"{facts.confirming} {units} can give no p below {floor:.2g}. `within: 0.5` instead of a "
        "direction claims that an effect is no larger than 0.5 nats."
    )
    right = facts.variants.answer("correct")
    dashed = right.replace(" ", "-")
    one = "right one" if facts.variants.are_roles else right
    claims = 2 + bool(facts.discovery)
    if claims * floor > Contrast().alpha:
        yield from _comment(
            "Each claim at alpha in the order below, until one is not supported: corrected by Holm "
            f"(`holm`), {claims} claims need a p of {Contrast().alpha / claims:.2g}, and more {units}."
        )
        yield "order: fixed-sequence"
    yield "claims:"
    if facts.shared:
        wrong = "wrong one" if facts.variants.are_roles else facts.variants.answer("misconception")
        yield from _comment(
            f"The {right} is likelier than the {wrong}; `less` claims the "
            f"{facts.variants.answer('misconception')}.",
            "  ",
        )
        yield (
            f"  - {{name: {dashed}-likelier, behaviour: logit_difference, direction: greater, than: 0}}"
        )
    else:
        after = facts.variants.correct
        yield from _comment(
            f"The {right} is likelier after the {after} variant than after the other one.", "  "
        )
        yield (
            f"  - {{name: {dashed}-likelier-after-{after}, behaviour: logit_difference, contrast: true, "
            "direction: greater, than: 0}"
        )
    yield from _comment("Some feature tells the variants apart.", "  ")
    yield "  - {name: features-tell-variants-apart, features: significant, at_least: 1}"
    if truths := [target.name for target in targets if target.truth]:
        yield from _comment("Or, where the right features are known:", "  ")
        yield (
            "  # - {name: known-features-found, features: truth, at_least: 1, "
            f"only: [{', '.join(truths)}]}}"
        )
    if facts.discovery:
        yield from _comment(
            f"Without the selected features the answer moves to the {one}, by more than without "
            "matched random ones, and `keeps` both answers as likely together, but for 1 nat.",
            "  ",
        )
        yield (
            f"  - {{name: {dashed}-gains-without-top, ablation: top, "
            f"direction: toward-{facts.variants.correct}, beyond: controls, keeps: 1}}"
        )
