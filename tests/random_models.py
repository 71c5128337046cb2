"""Where these were before: `harness.testing` has them."""

from harness.testing import ARCHITECTURES, random_model, random_sae, tokenizer

__all__ = ["ARCHITECTURES", "random_model", "random_sae", "tokenizer"]
