"""Ablations as a spec writes them: which features are selected, and how they are edited."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, WithJsonSchema, model_serializer

from harness.names import A_SET, LONGEST
from harness.specs.fields import (
    RANDOM_SAE,
    VARIANT_NAMED,
    Baseline,
    Kind,
    LayerKey,
    Name,
    Positions,
    SpecPart,
    without,
)
from harness.specs.prompt import Label

LEAST_COSINE = 0.7  # of two decoder directions that are taken for one feature's
# How a set of another eval is taken, where nothing is said of it.
_TAKEN: dict[str, Any] = {"match": None, "least": LEAST_COSINE, "layers": "all", "target": None}
NEUTRAL = "data/neutral.jsonl"  # the neutral texts that come with the package


class Select(SpecPart):
    """Which features an ablation edits: chosen on the discovery families, then frozen.

    Or chosen and frozen by another eval, which `source` then names.
    """

    top: int = Field(default=10, ge=1, le=1000, description="How many features, at most.")
    by: Literal["contrast", "attribution", "list", "truth"] | None = Field(
        default=None,
        description="`contrast`: the strongest difference between the variants at the readout. "
        "`attribution`: the largest predicted effect on the metric of removing the feature at the "
        "edited positions. `list`: those under `features`. `truth`: the target's known features. Either "
        "this or `from`.",
    )
    taken_from: str | None = Field(
        default=None,
        alias="from",
        pattern=A_SET,
        max_length=2 * LONGEST + 1,
        description="In the place of `by`, `SPEC_NAME/ABLATION`: the features that this eval's latest "
        "complete run on the same target froze, unchanged.",
    )
    rank: Literal["size", "consistency"] = Field(
        default="size",
        description="What `by: contrast` takes the strongest by. `size`: how far the variants lie apart, in "
        "units of the residual stream. `consistency`: the contrast's statistic, which many features "
        "share that differ in every family, whether much or little.",
    )
    toward: Annotated[Label, WithJsonSchema(VARIANT_NAMED[""])] = Field(
        default="correct",
        description="Keep features whose removal is expected to move the answer this way: toward the "
        "`correct` one, or toward the `misconception`, or of the variant of another name. With `from`, as "
        "the other eval has it.",
    )
    method: Literal["gradient", "integrated-gradients"] = Field(
        default="gradient",
        description="How attribution predicts. `gradient`: gradient x activation. "
        "`integrated-gradients`: gradients averaged while the layer's features grow from 0.",
    )
    steps: int = Field(default=10, ge=1, le=1000, description="Of integrated gradients.")
    match: Literal["decoder"] | None = Field(
        default=None,
        description="Of `from`, where that eval had other SAEs of the same model: `decoder` takes in the "
        "place of each feature the one of this target's SAE of the same layer whose decoder direction lies "
        "nearest, none twice.",
    )
    least: float = Field(
        default=LEAST_COSINE,
        gt=0,
        le=1,
        description="Of `match`: the least cosine of two features' decoder directions; a feature that has no "
        "such match is left out.",
    )
    layers: Literal["all", "shared"] = Field(
        default="all",
        description="Of `from`: whether every layer of the set must be read here (`all`), or only the "
        "features of layers that are read here are taken (`shared`).",
    )
    target: str | None = Field(
        default=None,
        min_length=1,
        description="Of `match`: the target on which that eval froze the set, where it ran on several of one "
        "model; the one of its latest run when left out.",
    )
    features: dict[LayerKey, Annotated[tuple[int, ...], Field(min_length=1)]] = Field(
        default={}, description="For `by: list`: the features of each layer, {12: [4567, 81]}."
    )

    @model_serializer(mode="wrap")
    def _as_it_decides(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what decides nothing, so that it changes no hash either."""
        fields: dict[str, Any] = plain(self)
        taken_from = fields.pop("taken_from", None)
        if taken_from is not None:
            how = {name: fields[name] for name in ("toward", *_TAKEN)}
            return {"from": taken_from} | without(how, {"toward": "correct", **_TAKEN})
        for name in _TAKEN:
            del fields[name]
        if self.by != "contrast":
            fields.pop("rank", None)
        return fields

    @property
    def source(self) -> tuple[str, str] | None:
        """The eval and its ablation that the features come from; None where they are selected here."""
        if self.taken_from is None:
            return None
        spec, ablation = self.taken_from.split("/")
        return spec, ablation

    @property
    def uses_families(self) -> bool:
        """Whether results on the discovery families decide which features these are."""
        return self.by in ("contrast", "attribution")


Placement = Literal["start", "middle", "end", "replace"]
MOST_GRAMS = 3  # tokens that are looked for and injected as one


class Tokens(SpecPart):
    """Which tokens of an ablation's features are put into neutral texts, and where."""

    top: int = Field(
        default=3,
        ge=1,
        le=20,
        description="How many tokens of each feature, at most: those at which it is most active on average "
        "in the discovering prompts of the variant where it is the stronger.",
    )
    at_least: int = Field(
        default=5,
        ge=1,
        le=10_000,
        description="In how many of these prompts a token must occur to be among them.",
    )
    grams: int = Field(
        default=1,
        ge=1,
        le=MOST_GRAMS,
        description="Up to how many adjacent tokens are taken as one. With 2 or 3 each feature's strongest "
        "pairs of tokens, and then threes, are put in as well, by themselves: those at whose last token it "
        "is most active on average.",
    )
    at: tuple[Placement, ...] = Field(
        default=("start", "middle", "end", "replace"),
        min_length=1,
        description="Where they are put, together and the strongest first: at the `start` of a text, in its "
        "`middle`, at its `end`; or each in the place of a token of the text (`replace`), spread over it.",
    )
    into: str = Field(
        default=NEUTRAL,
        description="A JSONL file of texts that have nothing to do with the subject, each with an `id` and a "
        "`prompt`; looked for where the spec's own prompts are.",
    )

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is as it was before there was a choice, so that no hash changes."""
        return without(plain(self), {"grams": 1})


class Ablation(SpecPart):
    """An edit of the residual stream, with matched random controls."""

    name: Name = Field(description="What claims and the store call it.")
    select: Select = Field(description="Which features are edited.")
    kind: Kind = Field(
        default="zero",
        description="What takes the place of the feature's value f. `zero`: 0. `mean`: its mean at the "
        "edited positions of the discovery families' prompts, of both variants. `resample`: its value in "
        "another prompt. `clamp`: `value`. `scale`: `value` times f. `steer`: f plus `value`. "
        "`direction`: nothing; the features' directions are projected out of the residual stream.",
    )
    value: float | None = Field(
        default=None, description="Of clamp and steer in units of the feature, of scale a factor."
    )
    source: Literal["pair", "random"] | None = Field(
        default=None,
        description="Of resample, where the value comes from. `pair`: the pair's other variant. "
        "`random`: a discovery prompt. Tokens are aligned from the end of the prompt.",
    )
    doses: tuple[float, ...] = Field(
        default=(),
        description="Factors by which the selected features are scaled as well: 0 removes them, 1 "
        "leaves them.",
    )
    positions: Positions = Field(
        default="all",
        description="Where the edit is made, never at BOS: at `all` tokens, those of the `prompt` or "
        "the `answer`, at `last_prompt_token`, or at numbered tokens of the prompt: 1 is the first "
        "after BOS, -1 the last. Of chats also at `last_user_token`, and at all that the `assistant` says.",
    )
    variant: Annotated[Label, WithJsonSchema(VARIANT_NAMED[""])] = Field(
        default="misconception",
        description="The variant on whose prompts the impact is measured, `correct` or "
        "`misconception`, or as the contrast names it; the one that is not positive when left out.",
    )
    controls: int = Field(
        default=99,
        ge=1,
        le=10_000,
        description="Sets of random features that fire as often and as strongly where the edit acts, "
        "and are edited by as much. The rank p is at least 1 / (controls + 1).",
    )
    directions: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="So many edits more that are as large as the target's at every token, in random "
        "directions: for claims `beyond: directions`.",
    )
    shuffled: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Of resample from the pair: so many edits more of the same features, each with the "
        "values of other families' pairs, for claims `beyond: shuffled`. At most one fewer than families "
        "confirm: that is all there are in which no family has its own source, or one twice.",
    )
    baselines: tuple[Baseline, ...] = Field(
        default=(),
        description="Edits that are as large as the target's at every token, along one direction of each "
        "layer that the discovery families give, toward what `select.toward` names, for claims `beyond` "
        "them. `mean-difference`: that of the variants at the readout. `probe`: of a logistic regression "
        "between them. `neurons`: the mean difference in as many dimensions as features are edited there. "
        "`random-sae`: as many features that the contrast selects in a random dictionary, as large on "
        "average.",
    )
    complement: bool = Field(
        default=False,
        description="Of resample from the pair: one edit more, in which every other feature of the same "
        "layers takes its value in the pair's other variant and the selected ones keep theirs, for claims "
        "about the `complement`.",
    )
    leave_one_out: bool = Field(
        default=False,
        description="As many edits more as features are selected, each of all but one of them, for claims "
        "that each is `needed`.",
    )
    splits: int = Field(
        default=1,
        ge=1,
        le=100,
        description="On how many splits of the families, the spec's own among them, the features are "
        "selected, frozen and edited, for claims of `crossfit`.",
    )
    tokens: Tokens | None = Field(
        default=None,
        description="Measure what the features' strongest tokens alone do in neutral texts, for claims of "
        "`tokens`: {} or {top: 3, at: [start, end], grams: 2}.",
    )
    only: tuple[str, ...] = Field(
        default=(), description="Targets on which the edit is made; everywhere when empty."
    )

    @property
    def directed(self) -> tuple[Baseline, ...]:
        """The baselines that move what is edited along a direction; the other has features of its own."""
        return tuple(name for name in self.baselines if name != RANDOM_SAE)

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is as it was before there was a choice, so that no hash changes."""
        later = {"directions": 0, "shuffled": 0, "complement": False, "leave_one_out": False}
        fields = without(plain(self), later | {"tokens": None, "splits": 1})
        if not self.baselines:
            del fields["baselines"]
        return fields


LOOKS = (19, 49)  # sets of controls after which it is asked whether more could show anything
FUTILE = 0.2  # a rank p above which they could not
ARRANGEMENTS = 9_999  # of families' sources that a rank is taken among, where all are measured
DOSED = 9  # sets of controls that are scaled by each dose: for their mean and spread, and no rank


def dosed(ablation: Ablation) -> tuple[tuple[float, ...], int]:
    """The factors by which controls are scaled as well, and how many sets of them.

    Not those that change nothing, or that are the ablation itself.
    """
    own = {1.0} | ({0.0} if ablation.kind == "zero" else set())
    factors = tuple(dict.fromkeys(factor for factor in ablation.doses if factor not in own))
    return factors, min(DOSED, ablation.controls)


def looks(ablation: Ablation) -> tuple[int, ...]:
    """After how many sets of controls there is a look, the last of them all.

    None is closer to the end than to the look before it: it would save little.
    """
    return (*(look for look in LOOKS if 2 * look < ablation.controls), ablation.controls)
