"""Texts as token ids: prompt and answers jointly, BOS exactly once, and no other special token."""

from collections.abc import Sequence
from typing import Any

from harness.errors import Fault, InputError
from harness.models.padded_batch import Tokens


def tokenize(tokenizer: Any, text: str, answers: Sequence[str], *, longest: int) -> Tokens:
    """Tokenize a prompt, jointly with each answer after one space.

    `longest` is how many tokens the model takes. Raises `InputError` where a prompt has more with its
    answer, where a token spans the boundary, or where the text contains a special token.
    """
    prompt = _ids(tokenizer, text)
    answer_ids = []
    for answer in answers:
        # Jointly: alone, an answer's first word may be tokenized otherwise than after this prompt.
        both = _ids(tokenizer, f"{text} {answer}")
        if both[: len(prompt)] != prompt or len(both) == len(prompt):
            raise InputError(
                Fault(
                    f"prompt '{text[-40:]}'",
                    f"one token spans its end and the answer '{answer}'",
                    "end the prompt with a whole word, so that a space separates the two",
                )
            )
        if len(both) > longest:
            raise InputError(
                Fault(
                    f"prompt '{text[:40]}...'",
                    f"it has {len(both)} tokens with its answer, the model takes {longest}",
                    "shorten it",
                )
            )
        answer_ids.append(both[len(prompt) :])
    return Tokens(prompt, tuple(answer_ids))


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    bos = tokenizer.bos_token_id
    ids = list(tokenizer(text).input_ids)
    if bos is not None and ids[:1] != [bos]:
        ids.insert(0, bos)
    if special := set(ids[1:]) & set(tokenizer.all_special_ids):
        name = tokenizer.convert_ids_to_tokens(min(special))
        raise InputError(
            Fault(f"prompt '{text[:40]}'", f"it contains the special token {name}", "remove it")
        )
    return tuple(ids)
