"""A prompt, a pair of them, and the labels that their two variants have."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.specs.chat import Chat, asked_instead, transcript

Label = Literal["correct", "misconception"]
Origin = Literal["real", "stand-in", "mock"]
LIMITED = "limited to "  # how `runs.exploratory` of a trial on some of the families begins
Answers = tuple[str, ...]
LABELS: tuple[Label, Label] = ("correct", "misconception")


ALONE: tuple[Answers, Answers] = ((), ())  # the further members of answers that are no sets


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line of a prompt file, completed from its pair.

    `label` is the role of its variant, and `variant` what its file calls that; the role where it is left
    out. `answer` is what this variant says. `correct` and `misconception` are the two candidates of its
    pair, whose log-probabilities are compared; `further` are the other members of each where it is a set of
    answers, of which only the first is named. `baseline` is the text without its scene, where that is given.
    `chat` are the messages of a prompt that the model's own chat template puts into tokens; `text` is then
    how it reads.
    """

    id: str
    pair_id: str
    family: str
    label: Label
    text: str
    answer: str
    correct: str
    misconception: str
    line: int
    tags: Mapping[str, str] = field(default_factory=dict)
    baseline: str = ""
    variant: str = ""
    chat: Chat = ()
    further: tuple[Answers, Answers] = ALONE

    def __post_init__(self) -> None:
        object.__setattr__(self, "variant", self.variant or self.label)

    @property
    def asked(self) -> str | Chat:
        """What the model is given: two prompts that are asked alike are one row of tokens."""
        return self.chat or self.text

    @property
    def before_answer(self) -> str:
        """What an answer follows as a text: the prompt and a space, or nothing where a turn begins."""
        return "" if self.chat and self.chat[-1].role == "user" else f"{self.text} "

    def candidate(self, which: Label) -> str:
        """The answer that counts as `which`; of a set the first."""
        return self.members(which)[0]

    def members(self, which: Label) -> Answers:
        """The answers that count as `which`: their probabilities are added up."""
        if which == "correct":
            return self.correct, *self.further[0]
        return self.misconception, *self.further[1]

    @property
    def answers(self) -> Answers:
        """All members of both candidates, those of `correct` first."""
        return (*self.members("correct"), *self.members("misconception"))


class Shared:
    """What many prompts of a file have in common, held once."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._tags: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def text(self, text: str) -> str:
        """The same text, as it was first met."""
        return self._texts.setdefault(text, text)

    def tags(self, tags: Mapping[str, str]) -> Mapping[str, str]:
        """The same tags, in their order, as they were first met."""
        return self._tags.setdefault(tuple(tags.items()), tags)


def baselines_of(prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """The prompts without their scenes, with the same answers."""
    return tuple(_baseline_of(prompt) for prompt in prompts)


def _baseline_of(prompt: Prompt) -> Prompt:
    if not prompt.chat:
        return replace(prompt, text=prompt.baseline)
    chat = asked_instead(prompt.chat, prompt.baseline)
    return replace(prompt, text=transcript(chat), chat=chat)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both variants of a pair."""

    correct: Prompt
    misconception: Prompt

    @property
    def family(self) -> str:
        """The scenario that both are about."""
        return self.correct.family


def pairs_of(prompts: Sequence[Prompt]) -> tuple[Pair, ...]:
    """Complete pairs, by name."""
    found: dict[str, dict[str, Prompt]] = defaultdict(dict)
    for prompt in prompts:
        found[prompt.pair_id][prompt.label] = prompt
    return tuple(Pair(**variants) for _, variants in sorted(found.items()))


def shown(answers: Answers) -> str:
    """Answers within the quotation marks that a sentence puts around one."""
    return "' or '".join(answers)
