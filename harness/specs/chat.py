"""A prompt as a chat: messages of a system, a user and an assistant, in their order."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from harness.specs.text_file import is_whole

ROLES = ("system", "user", "assistant")
ROLE_POSITIONS = ("last_user_token", "assistant")  # which a prompt without roles does not have
LONGEST = 1_000  # messages


class Message(NamedTuple):
    """What one of `ROLES` says."""

    role: str
    content: str


Chat = tuple[Message, ...]


def of_user(text: str) -> Chat:
    """A chat that is nothing but a question."""
    return (Message("user", text),)


def chat_of(messages: Sequence[dict[str, Any]]) -> Chat:
    """The messages of a prompt line without faults."""
    return tuple(Message(one["role"], one["content"]) for one in messages)


def transcript(chat: Chat) -> str:
    """A chat as a text, on which it is shown and compared; of a question alone, the question."""
    if len(chat) == 1:
        return chat[0].content
    return "\n".join(f"{one.role}: {one.content}" for one in chat)


def asked_instead(chat: Chat, text: str) -> Chat:
    """The chat with another last question."""
    last = max(i for i, one in enumerate(chat) if one.role == "user")
    return (*chat[:last], Message("user", text), *chat[last + 1 :])


def faults_of_messages(value: list[Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with a list that stands for a prompt: what, and what to do."""
    example = 'write [{"role": "user", "content": "..."}]'
    if not 0 < len(value) <= LONGEST:
        what = "has no message" if not value else f"has more than {LONGEST} messages"
        yield f"'prompt' {what}", example
        return
    for i, one in enumerate(value, 1):
        if not isinstance(one, dict) or set(one) != {"role", "content"}:
            yield f"message {i} of 'prompt' is no role and content", example
        elif one["role"] not in ROLES:
            what = f"message {i} of 'prompt' has no role that is known"
            yield what, f"write one of {', '.join(ROLES)}"
        elif not isinstance(one["content"], str) or not one["content"].strip():
            yield f"message {i} of 'prompt' says nothing", "write a text as its content"
        elif not is_whole(one["content"]):
            what = f"message {i} of 'prompt' holds half of a surrogate pair"
            yield what, "write the whole character"
        elif one["content"] != one["content"].strip():
            # Some templates strip, others do not: what is said must not hang on that.
            what = f"message {i} of 'prompt' begins or ends with white space"
            yield what, "remove it"
    said = [one.get("role") for one in value if isinstance(one, dict)]
    if "user" not in said:
        yield "no message of 'prompt' is the user's", "let somebody ask"
    elif said[-1] == "system":
        yield "'prompt' ends with the system's message", "let the user's or the assistant's be last"
