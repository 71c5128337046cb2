"""A chat as token ids, as the model's own chat template has it, and whose word each token is."""

from collections.abc import Sequence
from typing import Any

from harness.errors import Fault, InputError
from harness.models.padded_batch import Tokens
from harness.models.tokenizer import check_specials, join_answers, wanted_bos
from harness.specs.chat import ROLES, Chat
from harness.specs.fields import WhereBos

# In the place of what is said while it is looked for where a template puts it: in no text, of private use.
_PLACE = "\ue000{}\ue001"


def tokenize_chat(
    tokenizer: Any,
    bos: WhereBos,
    chat: Chat,
    answers: Sequence[str],
    *,
    needed: bool,
    longest: int,
    widest: int,
) -> Tokens:
    """Tokenize a chat, jointly with each answer as what the assistant says next.

    An answer begins the assistant's turn, or goes on with it after one space where its message is the
    last. BOS is as the template has it, and once; `bos` can put it there or take it away, and `needed` as
    in `opening`. Raises `InputError` as `tokenize` does, and where the model has no template, or none that
    takes such messages.
    """
    for message in chat:
        check_specials(tokenizer, message.content)
    text, spans = _written(tokenizer, chat)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    written = tuple(encoded.input_ids)
    roles = tuple(_role(start, end, spans) for start, end in encoded.offset_mapping)
    before, cut = _opening(tokenizer, bos, written, needed)
    roles = (0,) * len(before) + roles[cut:]

    def ids(whole: str) -> tuple[int, ...]:
        return before + tuple(tokenizer(whole, add_special_tokens=False).input_ids)[cut:]

    for answer in answers:
        check_specials(tokenizer, answer)
    joint = "" if chat[-1].role == "user" else " "
    made = join_answers(
        before + written[cut:], text + joint, answers, ids, shown=chat[-1].content,
        longest=longest, widest=widest,
    )  # fmt: skip
    return Tokens(made.prompt, made.answers, roles)


def check_template(tokenizer: Any) -> None:
    """Raises `InputError` where a model cannot be spoken to in chats."""
    if not getattr(tokenizer, "chat_template", None):
        what = "the model has no chat template"
        remedy = "name a model that was trained on chats, or write prompts as texts without `chat`"
        raise InputError(Fault("chat", what, remedy))


def _opening(
    tokenizer: Any, bos: WhereBos, written: tuple[int, ...], needed: bool
) -> tuple[tuple[int, ...], int]:
    """What stands before the template's tokens, and how many of these are left out."""
    token, own = wanted_bos(tokenizer, bos, needed=needed), tokenizer.bos_token_id
    there = own is not None and written[:1] == (own,)
    if bos == "never":
        return (), int(there)
    return (() if token is None or there else (token,)), 0


def _written(tokenizer: Any, chat: Chat) -> tuple[str, list[tuple[int, int, int]]]:
    """The chat as a text up to where the assistant speaks on, and where in it each role's words are.

    A span is where it begins and ends, and the number of its role.
    """
    goes_on = chat[-1].role == "assistant"
    places = [_PLACE.format(i) for i in range(len(chat))]
    template = _rendered(tokenizer, [m.role for m in chat], places, not goes_on)
    text, spans = "", []
    for message, place in zip(chat, places, strict=True):
        parts = template.split(place)
        if len(parts) != 2:
            raise _unreadable()
        text += parts[0]
        spans.append((len(text), len(text) + len(message.content), 1 + ROLES.index(message.role)))
        text, template = text + message.content, parts[1]
    text += "" if goes_on else template
    whole = _rendered(tokenizer, [m.role for m in chat], [m.content for m in chat], not goes_on)
    # A template that looks at what is said would write something else of it than of a place for it.
    if not (whole.startswith(text) if goes_on else whole == text):
        raise _unreadable()
    return text, spans


def _rendered(tokenizer: Any, roles: Sequence[str], said: Sequence[str], ask: bool) -> str:
    check_template(tokenizer)
    messages = [
        {"role": role, "content": content} for role, content in zip(roles, said, strict=True)
    ]
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    except Exception as error:  # whatever a template raises, and whatever is wrong with it
        said_of_it = (str(error).split("\n") or [""])[0][:200] or type(error).__name__
        what = f"the model's chat template does not take {' and '.join(dict.fromkeys(roles))}"
        raise InputError(
            Fault("chat", f"{what} in this order: {said_of_it}", "leave out what it does not know")
        ) from None


def _unreadable() -> InputError:
    what = "the model's chat template changes what the messages say, or says it elsewhere"
    return InputError(Fault("chat", what, "write the prompts as texts, without `chat`"))


def _role(start: int, end: int, spans: Sequence[tuple[int, int, int]]) -> int:
    """Whose word a token is: of several, which holds the space before a word, its own."""
    return next((role for first, last, role in spans if start < last and end > first), 0)
