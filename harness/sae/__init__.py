"""Sparse autoencoders: their mathematics on tensors, weight files, and whether one fits a stream.

Not here: language models, and where files come from: a path is given, or a tensor.
"""

from harness.sae.encoding import Sae, decode, encode
from harness.sae.weights import load_sae

__all__ = ["Sae", "decode", "encode", "load_sae"]
