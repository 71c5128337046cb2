"""Hypothesis strategies: SAEs, streams that they read, features, positions and rows of tokens."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from harness.models.padded_batch import PaddingSide, Tokens
from harness.sae.jumprelu import Sae
from harness.sae.mock import jumprelu, orthogonal
from harness.specs.intervention import At
from harness.specs.targets import MOCK_FEATURES, MOCKS
from harness.testing.models import WIDTH, random_sae

BOS = 2  # as in Gemma's vocabularies
Case = tuple[Sae, Tensor, Tensor]
_seeds = st.integers(0, 10**6)


def saes(width: int = WIDTH, features: int = 64) -> st.SearchStrategy[Sae]:
    """Random JumpReLU SAEs: no two directions orthogonal, thresholds from 0 on, an error term."""
    return _seeds.map(lambda seed: random_sae(seed, width, features))


def mock_saes(
    kinds: Sequence[str] = MOCKS, widths: Sequence[int] = (8, 20, WIDTH)
) -> st.SearchStrategy[Sae]:
    """The SAEs that a run takes for a mock, of every kind: see `harness.sae.mock`.

    The orthogonal one has as many features as the stream is wide, the other four times
    as many.
    """

    def made(kind: str, width: int, seed: int) -> Sae:
        if kind == "orthogonal":
            return orthogonal(width, seed)
        return jumprelu(width, MOCK_FEATURES[kind] * width, seed)

    return st.builds(made, st.sampled_from(kinds), st.sampled_from(widths), _seeds)


def residuals(width: int = WIDTH, scale: float = 3.0) -> st.SearchStrategy[Tensor]:
    """Residual streams (rows, tokens, width) in float32, normal with standard deviation `scale`.

    One to four rows of one to six tokens.
    """

    def made(seed: int, rows: int, tokens: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return scale * torch.randn(rows, tokens, width, generator=generator)

    return st.builds(made, _seeds, st.integers(1, 4), st.integers(1, 6))


def feature_sets(features: int, most: int = 8) -> st.SearchStrategy[Tensor]:
    """Distinct indices (k,) below `features` in any order, 1 <= k <= `most`."""
    one = st.integers(0, features - 1)
    return st.lists(one, min_size=1, max_size=min(most, features), unique=True).map(torch.tensor)


@st.composite
def cases(draw: st.DrawFn, of: st.SearchStrategy[Sae] | None = None) -> Case:
    """An SAE, a stream (rows, tokens, width) for it and some of its features (k,).

    `of` draws the SAE: any of `saes` and `mock_saes` by default, `st.just(own)` for one's own.
    """
    sae = draw(saes() | mock_saes() if of is None else of)
    return sae, draw(residuals(sae.width)), draw(feature_sets(sae.features))


def dtypes() -> st.SearchStrategy[torch.dtype]:
    """What a model may compute in."""
    return st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


def padding_sides() -> st.SearchStrategy[PaddingSide]:
    """Where the shorter rows of a batch are filled up."""
    sides: list[PaddingSide] = ["left", "right"]
    return st.sampled_from(sides)


def positions() -> st.SearchStrategy[At]:
    """Positions as a spec names them: by name, or one to three places of the prompt's tokens."""
    named: list[At] = ["last_prompt_token", "prompt", "answer", "all"]
    place = st.integers(-6, 6).filter(bool)
    return st.sampled_from(named) | st.lists(place, min_size=1, max_size=3, unique=True).map(tuple)


def masks(rows: int, tokens: int) -> st.SearchStrategy[Tensor]:
    """Positions as an edit takes them, (rows, tokens) bool, any of them."""
    size = rows * tokens
    flags = st.lists(st.booleans(), min_size=size, max_size=size)
    return flags.map(lambda drawn: torch.tensor(drawn, dtype=torch.bool).view(rows, tokens))


def rows(
    vocabulary: int, prompt: int = 24, answers: int = 3, most: int = 4
) -> st.SearchStrategy[list[Tokens]]:
    """One to `most` rows of token ids from 3 to below `vocabulary`, short and long ones together.

    A prompt is BOS (2) and one to `prompt` tokens, followed by one to `answers` answers of one to
    four tokens.
    """

    def ids(longest: int) -> st.SearchStrategy[tuple[int, ...]]:
        token = st.integers(3, vocabulary - 1)
        return st.lists(token, min_size=1, max_size=longest).map(tuple)

    said = st.lists(ids(4), min_size=1, max_size=answers).map(tuple)
    row = st.builds(lambda own, spoken: Tokens((BOS, *own), spoken), ids(prompt), said)
    return st.lists(row, min_size=1, max_size=most)
