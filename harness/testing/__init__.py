"""Property tests of one's own SAEs: random streams, feature sets, SAEs and small random models.

Needs hypothesis, which comes with `pip install misconception-harness[test]`. An SAE of one's own is
held against the properties that an edit relies on like this:

    from hypothesis import given
    from harness.interventions import Edit, apply, gain_and_shift
    from harness.sae import encode, load_sae
    from harness.testing import feature_sets, residuals

    SAE = load_sae(Path("params.npz"), width=2304)

    @given(residuals(SAE.width), feature_sets(SAE.features))
    def test_a_no_op_leaves_the_stream_as_it_is(x, features):
        part = SAE.only(features)
        everywhere = torch.ones(x.shape[:2], dtype=torch.bool)
        assert torch.equal(apply(Edit(part, *gain_and_shift("no-op", None)), x, everywhere), x)

    @given(residuals(SAE.width), feature_sets(SAE.features))
    def test_a_subset_encodes_like_the_whole(x, features):
        whole = encode(SAE, x)[..., features]
        assert torch.allclose(encode(SAE.only(features), x), whole, atol=1e-3)

Everything is random: it tests code, and nothing that it shows is evidence of anything. Not here: what
only the tests of this package need, which is in its `tests/helpers`.
"""

from harness.testing.models import ARCHITECTURES, Architecture, random_model, random_sae, tokenizer
from harness.testing.strategies import (
    Case,
    cases,
    dtypes,
    feature_sets,
    masks,
    mock_saes,
    padding_sides,
    positions,
    residuals,
    rows,
    saes,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Case",
    "cases",
    "dtypes",
    "feature_sets",
    "masks",
    "mock_saes",
    "padding_sides",
    "positions",
    "random_model",
    "random_sae",
    "residuals",
    "rows",
    "saes",
    "tokenizer",
]
