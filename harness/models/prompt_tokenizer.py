"""Texts and chats as a model's tokens, and its tokens as text."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from harness.models.architecture import Architecture
from harness.models.chat_tokens import tokenize_chat
from harness.models.padded_batch import Batch, PaddingSide, Tokens, pad
from harness.models.tokenizer import opening, tokenize
from harness.specs.chat import Chat
from harness.specs.fields import WhereBos

KNOWN = 2048  # prompts whose tokens are kept: every stage asks for those of the same ones


class PromptTokenizer:
    """A tokenizer, and what of its model decides how prompts begin, how long they may be, and padding."""

    def __init__(
        self,
        architecture: Architecture,
        tokenizer: Any,
        padding_side: PaddingSide = "left",
        bos: WhereBos = "auto",
    ) -> None:
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.padding_side: PaddingSide = padding_side
        self._where_bos: WhereBos = bos
        self._known: dict[tuple[str | Chat, tuple[str, ...]], Tokens] = {}

    @cached_property
    def opening(self) -> tuple[int, ...]:
        """What every prompt begins with: BOS, or nothing, as the target or the tokenizer has it."""
        return opening(self.tokenizer, self._where_bos, needed=self.architecture.family.marked)

    def tokens(self, asked: str | Chat, *answers: str) -> Tokens:
        """Tokenize a prompt, jointly with each answer after one space, with BOS once or not at all.

        A chat is tokenized as the model's own template has it, with each answer where the assistant speaks.
        Raises `InputError` where the model does not take so many tokens, a token spans the boundary, or
        the text contains a special token.
        """
        if (tokens := self._known.get((asked, answers))) is None:
            tokens = self._tokenized(asked, answers)
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[asked, answers] = tokens
        return tokens

    def _tokenized(self, asked: str | Chat, answers: tuple[str, ...]) -> Tokens:
        most = {"longest": self.architecture.longest, "widest": self.architecture.widest}
        if isinstance(asked, str):
            return tokenize(self.tokenizer, self.opening, asked, answers, **most)
        needed = self.architecture.family.marked
        return tokenize_chat(self.tokenizer, self._where_bos, asked, answers, needed=needed, **most)

    @property
    def bos(self) -> int | None:
        """The token that every prompt begins with; None where it begins with a word."""
        return next((one for one in self.opening if one == self.tokenizer.bos_token_id), None)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Tokens that are no word of any text: BOS, padding, the marks of a chat."""
        added = self.tokenizer.added_tokens_decoder.items()
        marks = {token for token, one in added if one.special}
        return frozenset({*self.tokenizer.all_special_ids, *self.opening, *marks})

    @property
    def lacks_bos(self) -> bool:
        """Whether prompts begin without the BOS that a model of this family was always given."""
        has_one = self.tokenizer.bos_token_id is not None
        return self.architecture.family.marked and has_one and self.bos is None

    def text_of(self, ids: Sequence[int]) -> str:
        """Token ids as text, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def token_of(self, token: int) -> str:
        """A token as it reads in running text: with its leading space."""
        return self.tokenizer.decode([token])

    def batch(self, rows: Sequence[Tokens], side: PaddingSide | None = None) -> Batch:
        """The rows padded on the model's side, or another, on the processor."""
        return pad(rows, pad_id=self.pad_id, side=side or self.padding_side)

    @property
    def pad_id(self) -> int:
        """What padding is made of, and hidden from all else."""
        return self.architecture.config.pad_token_id or 0
