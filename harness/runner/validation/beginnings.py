"""What prompts begin with: BOS once, where it belongs, as texts and as chats."""

from collections.abc import Iterator, Sequence

from harness.errors import InputError
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import Tokens
from harness.runner.validation.check import Check
from harness.specs.chat import of_user

ASKED = "What is the capital of France?"


def bos(model: LanguageModel, texts: Sequence[str], rows: Sequence[Tokens]) -> Iterator[Check]:
    """How often BOS is in each row, and whether the tokenizer puts it there by itself."""
    token = model.tokenizer.bos_token_id
    says = (
        "BOS once at the beginning, or nowhere where the tokenizer has none or the target says so"
    )
    if token is None:
        yield Check("bos", True, "the tokenizer has none, and none is added", says)
        return
    own = [list(model.tokenizer(text).input_ids).count(token) for text in texts]
    counts = [_times(row, token) for row in rows]
    first = all(row.prompt[0] == token for row in rows)
    added = "the tokenizer adds it itself" if max(own) else "the tokenizer does not add it"
    if max(counts) == 0:
        holds = not model.lacks_bos
        found = f"nowhere; {added}" + "; a model of this family needs it" * (not holds)
    elif min(counts) == max(counts) == 1 and first:
        holds, found = True, f"once; {added}" + ", the harness does" * (not max(own))
    else:
        where = "" if first else ", and not at the beginning"
        holds, found = False, f"{max(counts)} times{where}; by itself the tokenizer has {max(own)}"
    yield Check("bos", holds, found, says, None, float(max(counts)))


def chat_template(model: LanguageModel) -> Iterator[Check]:
    """How many BOS a chat begins with that the model's own template renders."""
    says = "a chat begins with BOS as often as prompts do"
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        yield Check("chat template", None, "the tokenizer has none", says)
        return
    try:
        ids = model.tokens(of_user(ASKED)).prompt
    except InputError as error:
        yield Check("chat template", False, error.faults[0].what, says)
        return
    times = _leading(ids, tokenizer.bos_token_id)
    # A template may begin without it where a model has one that marks every turn, or none.
    wanted = (0, 1) if model.bos is None else (1,)
    found = f"{times} at the beginning of {len(ids)} tokens"
    yield Check("chat template", times in wanted, found, says, None, float(times))


def _times(row: Tokens, token: int) -> int:
    """How often BOS is in a row; of a chat, where it may mark every turn, at the beginning."""
    if row.roles:
        return _leading(row.prompt, token)
    return sum(part.count(token) for part in (row.prompt, *row.answers))


def _leading(ids: Sequence[int], token: int | None) -> int:
    """How many of a token are at the beginning."""
    return next((i for i, one in enumerate(ids) if one != token), len(ids))
