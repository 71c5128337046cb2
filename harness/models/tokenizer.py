"""Texts as token ids: prompt and answers jointly, BOS once or not at all, and no other special token."""

from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import Fault, InputError
from harness.models.padded_batch import Tokens
from harness.specs.fields import WhereBos


def wanted_bos(tokenizer: Any, bos: WhereBos, *, needed: bool) -> int | None:
    """The BOS that has to be there whatever a tokenizer or a template does by itself; None where none has.

    Raises `InputError` for `always` where there is no BOS.
    """
    token = tokenizer.bos_token_id
    if bos == "always" and token is None:
        raise InputError(Fault("bos", "the tokenizer has no BOS", "write `bos: auto`"))
    return token if bos == "always" or (bos == "auto" and needed) else None


def opening(tokenizer: Any, bos: WhereBos, *, needed: bool) -> tuple[int, ...]:
    """What stands before every text: BOS, nothing, or what else a tokenizer puts there.

    `auto` is what the tokenizer does by itself, and BOS where the model is of no use without (`needed`).
    Raises `InputError` for `always` where there is no BOS.
    """
    token = wanted_bos(tokenizer, bos, needed=needed)
    text = "7"  # any will do
    words = tokenizer(text, add_special_tokens=False).input_ids
    whole = tokenizer(text).input_ids
    own = tuple(whole[: next((i for i, one in enumerate(whole) if [one] == words[:1]), 0)])
    if bos == "never":
        return ()
    return own if token is None or token in own else (token, *own)


def tokenize(
    tokenizer: Any,
    before: tuple[int, ...],
    text: str,
    answers: Sequence[str],
    *,
    longest: int,
    widest: int,
) -> Tokens:
    """Tokenize a prompt after its `opening`, jointly with each answer after one space.

    `longest` is how many tokens the model takes, and `widest` how many with all answers beside each other.
    Raises `InputError` where a prompt has more, where a token spans the boundary, or where the text
    contains a special token.
    """

    def ids(whole: str) -> tuple[int, ...]:
        check_specials(tokenizer, whole)
        return before + tuple(tokenizer(whole, add_special_tokens=False).input_ids)

    return join_answers(
        ids(text), f"{text} ", answers, ids, shown=text, longest=longest, widest=widest
    )


def join_answers(
    prompt: tuple[int, ...],
    text: str,
    answers: Sequence[str],
    ids: Callable[[str], tuple[int, ...]],
    *,
    shown: str,
    longest: int,
    widest: int,
) -> Tokens:
    """A prompt's tokens and those of each answer after its `text`; `ids` tokenizes both together.

    `shown` is what an error shows of the prompt. Raises `InputError` as `tokenize` does.
    """
    answer_ids = []
    for answer in answers:
        # Jointly: alone, an answer's first word may be tokenized otherwise than after this prompt.
        both = ids(f"{text}{answer}")
        if both[: len(prompt)] != prompt or len(both) == len(prompt):
            raise InputError(
                Fault(
                    f"prompt '{shown[-40:]}'",
                    f"one token spans its end and the answer '{answer}'",
                    "end the prompt with a whole word, so that a space separates the two",
                )
            )
        _check_length(shown, len(both), longest, "its answer")
        answer_ids.append(both[len(prompt) :])
    tokens = len(prompt) + sum(map(len, answer_ids))
    _check_length(shown, tokens, widest, "all of its answers")
    return Tokens(prompt, tuple(answer_ids))


def check_specials(tokenizer: Any, text: str) -> None:
    """Raises `InputError` where a text contains a special token, as which its words would be read."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    if special := {*ids} & {*tokenizer.all_special_ids}:
        name = tokenizer.convert_ids_to_tokens(min(special))
        raise InputError(
            Fault(f"prompt '{text[:40]}'", f"it contains the special token {name}", "remove it")
        )


def _check_length(text: str, tokens: int, most: int, answers: str) -> None:
    if tokens > most:
        what = f"it has {tokens} tokens with {answers}, the model takes {most}"
        raise InputError(Fault(f"prompt '{text[:40]}...'", what, "shorten it"))
