"""Hypothesis strategies: SAEs, streams that they read, features, positions and rows of tokens."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from harness.argument_types import Count, checked
from harness.errors import Fault, InputError, nearest
from harness.models.padded_batch import PaddingSide, Tokens
from harness.sae import Sae
from harness.sae.mock import jumprelu, orthogonal
from harness.specs.intervention import At
from harness.specs.targets import MOCK_FEATURES, MOCKS
from harness.testing.models import WIDTH, random_sae

BOS = 2  # as in Gemma's vocabularies
Case = tuple[Sae, Tensor, Tensor]
_seeds = st.integers(0, 10**6)


@checked
def saes(width: Count = WIDTH, features: Count = 64) -> st.SearchStrategy[Sae]:
    """Random JumpReLU SAEs: no two directions orthogonal, thresholds from 0 on, an error term.

    Arguments:
        width: of the residual stream that they read.
        features: how many each has.

    Returns:
        A strategy of `random_sae`.
    """
    return _seeds.map(lambda seed: random_sae(seed, width, features))


@checked
def mock_saes(
    kinds: Sequence[str] = MOCKS, widths: Sequence[int] = (8, 20, WIDTH)
) -> st.SearchStrategy[Sae]:
    """The SAEs that a run takes for a mock, of every kind: see `harness.sae.mock`.

    Arguments:
        kinds: some of `orthogonal`, with as many features as the stream is wide, and `jumprelu`, with
            four times as many.
        widths: of the residual streams that they read.

    Returns:
        A strategy of SAEs.

    Raises:
        InputError: for another kind, or a width that is no integer of at least 1.
    """
    for kind in kinds:
        if kind not in MOCKS:
            raise InputError(Fault(f"kinds: {kind!r}", "there is none", nearest(str(kind), MOCKS)))
    for width in widths:
        if not isinstance(width, int) or width < 1:
            raise InputError(
                Fault(f"widths: {width!r}", "an integer of at least 1 is needed", "give others")
            )

    def build(kind: str, width: int, seed: int) -> Sae:
        if kind == "orthogonal":
            return orthogonal(width, seed)
        return jumprelu(width, MOCK_FEATURES[kind] * width, seed)

    return st.builds(build, st.sampled_from(kinds), st.sampled_from(widths), _seeds)


@checked
def residuals(width: Count = WIDTH, scale: float = 3.0) -> st.SearchStrategy[Tensor]:
    """Normal residual streams of one to four rows of one to six tokens.

    Arguments:
        width: of the stream.
        scale: its standard deviation.

    Returns:
        A strategy of tensors (rows, tokens, width) in float32.
    """

    def draw(seed: int, rows: int, tokens: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return scale * torch.randn(rows, tokens, width, generator=generator)

    return st.builds(draw, _seeds, st.integers(1, 4), st.integers(1, 6))


@checked
def feature_sets(features: Count, most: Count = 8) -> st.SearchStrategy[Tensor]:
    """Distinct features in any order.

    Arguments:
        features: how many the SAE has.
        most: how many are drawn at most, and one at least.

    Returns:
        A strategy of indices (k,) below `features`, 1 <= k <= `most`.
    """
    feature = st.integers(0, features - 1)
    return st.lists(feature, min_size=1, max_size=min(most, features), unique=True).map(
        torch.tensor
    )


@checked
@st.composite
def cases(draw: st.DrawFn, of: st.SearchStrategy[Sae] | None = None) -> Case:
    """An SAE, a stream for it and some of its features.

    Arguments:
        of: draws the SAE: any of `saes` and `mock_saes` by default, `st.just(sae)` for one's own.

    Returns:
        A strategy of the SAE, its stream (rows, tokens, width) and indices of its features (k,).
    """
    sae = draw(saes() | mock_saes() if of is None else of)
    return sae, draw(residuals(sae.width)), draw(feature_sets(sae.features))


def dtypes() -> st.SearchStrategy[torch.dtype]:
    """What a model may compute in: float32, bfloat16 or float16."""
    return st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


def padding_sides() -> st.SearchStrategy[PaddingSide]:
    """Where the shorter rows of a batch are filled up: `left` or `right`."""
    sides: list[PaddingSide] = ["left", "right"]
    return st.sampled_from(sides)


def positions() -> st.SearchStrategy[At]:
    """Positions as a spec names them: by name, or one to three places of the prompt's tokens.

    Returns:
        A strategy of names and of tuples: places count from 1 at the beginning and -1 at the end, up
        to 6.
    """
    named: list[At] = ["last_prompt_token", "prompt", "answer", "all"]
    place = st.integers(-6, 6).filter(bool)
    return st.sampled_from(named) | st.lists(place, min_size=1, max_size=3, unique=True).map(tuple)


@checked
def masks(rows: Count, tokens: Count) -> st.SearchStrategy[Tensor]:
    """Positions as an edit takes them, any of them or none.

    Arguments:
        rows: of the stream.
        tokens: of each row.

    Returns:
        A strategy of tensors (rows, tokens), bool.
    """
    size = rows * tokens
    flags = st.lists(st.booleans(), min_size=size, max_size=size)
    return flags.map(lambda drawn: torch.tensor(drawn, dtype=torch.bool).view(rows, tokens))


@checked
def rows(
    vocabulary: Count, prompt: Count = 24, answers: Count = 3, most: Count = 4
) -> st.SearchStrategy[list[Tokens]]:
    """Rows of token ids, short and long ones together, each a prompt with its candidate answers.

    Arguments:
        vocabulary: how many tokens there are; ids go from 3 to below it.
        prompt: how many tokens a prompt has at most, and one at least, after BOS (2).
        answers: how many answers of one to four tokens a row has at most, and one at least.
        most: how many rows, and one at least.

    Returns:
        A strategy of lists of `Tokens`.

    Raises:
        InputError: where the vocabulary has no token.
    """
    if vocabulary < 4:
        raise InputError(
            Fault(f"vocabulary {vocabulary}", "ids go from 3 to below it", "give more")
        )

    def ids(longest: int) -> st.SearchStrategy[tuple[int, ...]]:
        token = st.integers(3, vocabulary - 1)
        return st.lists(token, min_size=1, max_size=longest).map(tuple)

    spoken = st.lists(ids(4), min_size=1, max_size=answers).map(tuple)
    row = st.builds(lambda text, replies: Tokens((BOS, *text), replies), ids(prompt), spoken)
    return st.lists(row, min_size=1, max_size=most)
