"""How much a plan asks of a model, stage by stage, as far as that is known before any weight is loaded."""

from dataclasses import dataclass
from typing import Literal

from harness.specs.ablations import Ablation, dosed, looks
from harness.specs.fields import RANDOM_SAE
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.specs.shuffled_sources import shuffles_of
from harness.specs.unit import Stage

MESSAGE = 24  # tokens that a chat template puts around a message, about
CHARACTERS = 4.2  # of English in a token of Gemma's vocabulary
OUTPUTS: Literal["output scores"] = "output scores"  # after all stages, of features and no prompt
OPENINGS = 4  # texts at whose last token a feature is amplified for them, of so many tokens:
OPENING = 6
READ = 20  # features of the contrast that are traced and scored, beside those that are edited


@dataclass(frozen=True)
class StageWork:
    """What one stage does: the `rows` of prompts that it is given, and what passes through the model.

    `tokens` pass through all of its blocks, or as many as make up for the blocks that are passed over.
    `forwards` are made of each batch of rows, and `backwards` with them; `replays` of each row are of
    an ablation: each is a row of its own, and `features` are edited in them. `reads` is how often the SAEs
    of all layers are needed, and `whole` says whether those of all layers are needed at once.
    """

    stage: Stage | Literal["output scores"]
    ablation: str
    rows: int
    tokens: float
    forwards: int = 1
    backwards: int = 0
    replays: int = 0
    features: int = 0
    reads: int = 1
    whole: bool = False

    @property
    def name(self) -> str:
        """As a run's progress calls it."""
        return f"{self.stage} {self.ablation}".strip()


def workload(plan: Plan) -> tuple[StageWork, ...]:
    """The work of every stage of a plan, in its order, and of the output scores after them.

    Of ablations an upper bound: what an edit cannot change is not computed again.
    """
    work = tuple(_work(plan, stage, ablation) for stage, ablation in plan.steps)
    return (*work, _outputs(plan)) if plan.layers else work


def _outputs(plan: Plan) -> StageWork:
    """Of each layer a forward of the openings; of each feature a replay of the last token of each."""
    plans = (plan, *plan.refits)
    features = READ + sum(members_of(ablation) for one in plans for ablation in one.ablations)
    layers = len(plan.layers)
    tokens = OPENINGS * (layers * OPENING + features * _share(plan))
    return StageWork(OUTPUTS, "", OPENINGS, tokens, layers, replays=features, features=features)


def _work(plan: Plan, stage: Stage, name: str) -> StageWork:
    files = plan.files_of(stage, name)
    chosen = [
        prompts[one]
        for file in files
        for prompts in [{prompt.id: prompt for prompt in plan.prompts_of(file)}]
        for unit in plan.units(stage, name, file=file)
        for one in unit.prompts
    ]
    # Prompts with one text are one row.
    rows = list({prompt.asked: prompt for prompt in chosen}.values())
    asked = sum(_asked(p) for p in rows)
    scored = asked + sum(_length(one) for p in rows for one in p.answers)
    if stage == "generate":
        said = plan.spec.new_tokens
        return StageWork(stage, name, len(rows), asked + len(rows) * said, forwards=said, reads=0)
    if stage == "baseline":
        without = {prompt.asked: prompt for prompt in plan.baselines}.values()
        scored = sum(_asked(p) + sum(map(_length, p.answers)) for p in without)
        return StageWork(stage, name, len(without), scored, reads=0)
    if stage in ("tokens", "inject"):
        return _injected(plan.ablation(name), stage, len(rows), asked)
    if stage == "survey":
        # A layer's losses are taken on a sample, which is replayed twice and is left out here.
        return StageWork(stage, name, len(rows), asked, reads=2)
    if stage in ("attribute", "predict"):
        return _attribution(plan, plan.ablation(name), stage, len(rows), scored)
    if stage == "ablate":
        ablation = plan.ablation(name)
        sets = replays_of(ablation)
        shuffles = shuffles_of(plan, ablation)
        # Each of these has replays of its own: the sources are read, beside a forward of the prompts.
        apart = shuffles + ablation.complement
        # A random dictionary has such replays as well, of which one is counted among the sets.
        alone = apart + (RANDOM_SAE in ablation.baselines)
        features = members_of(ablation) * (1 + ablation.controls + ablation.directions)
        tokens = scored * (1 + 2 * alone + (sets + apart) * _share(plan))
        whole = ablation.complement
        return StageWork(stage, name, len(rows), tokens, 1, 0, sets + apart, features, whole=whole)
    if stage == "baseline directions":
        # The prompts of the other variant are read as well.
        return StageWork(stage, name, 2 * len(rows), 2 * scored)
    if stage == "random features":
        # Both variants at the readout, and then each layer's edited positions by themselves.
        layers = min(len(plan.layers), members_of(plan.ablation(name)))
        return StageWork(stage, name, 2 * len(rows), (2 + layers) * scored, forwards=1 + layers)
    if stage == "side effects":
        ablation = plan.ablation(name)
        # As if each prompt were replayed with the controls: those of the other variant are not.
        sets = 1 + looks(ablation)[0] * any(files)
        tokens = scored * (1 + sets * _share(plan))
        features = members_of(ablation) * sets
        return StageWork(stage, name, len(rows), tokens, replays=sets, features=features)
    return StageWork(stage, name, len(rows), scored, reads=bool(plan.layers))


def _injected(ablation: Ablation, stage: Stage, texts: int, asked: float) -> StageWork:
    """What looks for an ablation's tokens in so many texts, or puts them into these."""
    features, wanted = members_of(ablation), ablation.tokens
    assert wanted is not None
    # Into each text the tokens of each feature, at each place; and the text as it is.
    copies = features * len(wanted.at) * wanted.grams if stage == "inject" else 0
    longest = wanted.top * (1 + wanted.grams) / 2  # on average over all lengths
    tokens = asked * (1 + copies) + texts * copies * longest
    return StageWork(stage, ablation.name, texts * (1 + copies), tokens, features=features)


def _attribution(
    plan: Plan, ablation: Ablation, stage: Stage, rows: int, scored: float
) -> StageWork:
    layers, steps = len(plan.layers), ablation.select.steps
    # The way back to the stream costs what the way there does: no weight asks for its gradient.
    if ablation.select.method == "gradient":
        return StageWork(stage, ablation.name, rows, 2 * scored, backwards=1)
    tokens = layers * scored * (1 + 2 * steps * _share(plan))
    passes = layers * steps
    return StageWork(stage, ablation.name, rows, tokens, forwards=layers + passes, backwards=passes)


def replays_of(ablation: Ablation) -> int:
    """How many interventions an ablation has at most: each is replayed on every row that it touches.

    Without those that take values from other families, of which there are as many as `shuffles_of` says, and
    without the complement.
    """
    members = members_of(ablation)
    singles = members * (1 + ablation.leave_one_out) if members > 1 else 0
    doses = dict.fromkeys(ablation.doses)
    factors, sets = dosed(ablation)
    # The target, its no-op, and that no-op once more, untouched; and the baselines.
    own = 3 + len(ablation.baselines) + singles + len(doses)
    return own + ablation.controls + ablation.directions + len(factors) * sets


def members_of(ablation: Ablation) -> int:
    """How many features a set of an ablation has at most; of another eval's set as if it were the default."""
    if ablation.select.by == "list":
        return sum(map(len, ablation.select.features.values()))
    return ablation.select.top


def longest_row(plan: Plan) -> int:
    """How many tokens the longest prompt with its answers has, from above.

    Three characters a token, and some to spare: English has four to five, so that the rows that are
    thought to fit do, and nothing need be tokenized to know how many.
    """
    return max(
        len(" ".join((prompt.text, *prompt.answers))) // 3
        + 8
        + (bool(prompt.chat) + len(prompt.chat)) * MESSAGE
        for prompt in plan.prompts
    )


def _share(plan: Plan) -> float:
    """The share of the blocks that an edit at one of the layers leaves to be computed, on average."""
    blocks = plan.target.blocks
    if not (plan.layers and blocks):
        return 1.0
    return sum(blocks - 1 - layer for layer in plan.layers) / len(plan.layers) / blocks


def _asked(prompt: Prompt) -> float:
    return _length(prompt.text) + MESSAGE * len(prompt.chat)


def _length(text: str) -> float:
    return len(text) / CHARACTERS + 1
