"""What a model's forwards take, without a weight: they run on torch's meta device and are watched.

Tensors of that device have shapes and no content, so that a model of any size is there in no time. Which
operations a forward asks for, and how long each result is held, are those of the real thing.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import finalize

import torch
import transformers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.models.language_model import LanguageModel
from harness.models.padded_batch import Tokens, reads_of
from harness.models.prompt_rows import cached_forward
from harness.models.suffix import suffix_of
from harness.specs.sites import Site

META = "meta"
DEEPEST = 500  # blocks: of more than any model has, building alone would take minutes
ANSWERS = 2  # are scored in every row


@dataclass(frozen=True)
class Taken:
    """What some work takes: `bytes` at most at once, beside what was there, and `operations`.

    An operation is a call of torch's on the device: a kernel, or a view, which costs the host as much.
    """

    bytes: int
    operations: int


class Rehearsal:
    """A model without weights. Each method says what one call of it takes, of rows of so many tokens.

    What was asked once is known.
    """

    def __init__(
        self, architecture: Mapping[str, Any], dtype: str, site: Site = "resid_post"
    ) -> None:
        """`architecture` is what a `config.json` says, and replays begin at `site`.

        Raises whatever transformers does where it cannot.
        """
        config: Any = transformers.AutoConfig.for_model(**architecture)
        depth = config.get_text_config().num_hidden_layers
        if depth > DEEPEST:
            raise ValueError(f"a model of {depth} blocks is not rehearsed")
        with torch.device(META):
            network = transformers.AutoModelForCausalLM.from_config(
                config,
                dtype=getattr(torch, dtype),
                attn_implementation="eager",
                trust_remote_code=False,
            )
        self.model = LanguageModel(network, tokenizer=None).at(site)
        self._known: dict[Hashable, Taken] = {}

    @property
    def bytes(self) -> int:
        """What the weights take."""
        return sum(weight.nbytes for weight in self.model.network.parameters())

    def score(self, rows: int, columns: int) -> Taken:
        """A forward that scores the rows' answers."""

        def work() -> object:
            batch = self.model.batch(_rows(rows, columns))
            return self.model.token_scores(batch, reads_of(batch))

        return self._taken(("score", rows, columns), lambda: work)

    def generate(self, rows: int, columns: int) -> Taken:
        """A forward that keeps the keys and values of all of its columns, for the tokens after them."""

        def work() -> object:
            ids = torch.zeros(rows, columns, dtype=torch.long, device=META)
            return self.model.network(ids, use_cache=True, logits_to_keep=1)

        return self._taken(("generate", rows, columns), lambda: work)

    def attribute(self, rows: int, columns: int, layers: Sequence[int]) -> Taken:
        """A forward, and the way back to the stream after `layers`, whose gradients are all held."""

        def watch(stream: Tensor) -> Tensor:
            watched = stream.requires_grad_() if stream.is_leaf else stream
            watched.retain_grad()
            return watched

        def work() -> None:
            batch, taps = self.model.batch(_rows(rows, columns)), dict.fromkeys(layers, watch)
            self.model.token_scores(batch, reads_of(batch), taps, gradients=True).sum().backward()

        return self._taken(("attribute", rows, columns, tuple(layers)), lambda: work)

    def replay(self, rows: int, columns: int, layers: Sequence[int]) -> Taken:
        """A replay of all of the rows' columns from the site of the lowest of `layers`."""

        def prepare() -> Callable[[], object]:
            cached = cached_forward(self.model, _rows(rows, columns), layers)
            row = torch.arange(rows)
            suffix = suffix_of(cached.batch, cached.reads, row, torch.zeros_like(row))
            stream = suffix.on(self.model.device).of(cached.held[min(layers)])
            return lambda: self.model.replay(cached, suffix, min(layers), stream)

        return self._taken(("replay", rows, columns, tuple(layers)), prepare)

    def _taken(self, what: Hashable, prepare: Callable[[], Callable[[], object]]) -> Taken:
        """What is taken by what `prepare` returns, which is done once."""
        if what not in self._known:
            self._known[what] = _watched(prepare())
        return self._known[what]


def _rows(rows: int, columns: int) -> list[Tokens]:
    """Rows of so many columns, with an answer of one token after the last and another beside it."""
    prompt = max(1, columns - ANSWERS)
    return [Tokens((0,) * prompt, tuple((answer,) for answer in range(ANSWERS)))] * rows


def _watched(work: Callable[[], object]) -> Taken:
    with _Watch() as watch:
        work()
    return Taken(watch.most, watch.operations)


class _Watch(TorchDispatchMode):
    """Counts the operations of the meta device, and the bytes of what came into being and still is."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.most = self._now = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = {_key(tensor) for tensor in _there((args, kwargs))}
        found = operation(*args, **(kwargs or {}))
        made = list(_there(found))
        self.operations += bool(given or made)
        for tensor in made:
            self._hold(tensor, given)
        return found

    def _hold(self, tensor: Tensor, given: set[int]) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        # What shares the storage of something older, as a view does, takes nothing.
        if key not in given and key not in self._alive:
            self._alive.add(key)
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
            finalize(storage, self._free, key, storage.nbytes())

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._now -= size


def _there(value: Any) -> list[Tensor]:
    leaves = tree_leaves(value)
    return [one for one in leaves if isinstance(one, Tensor) and one.device.type == META]


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
