"""The name that `harness.sae.encoding` had while JumpReLU was all that was read: it stays for importers."""

from harness.sae.encoding import Sae, decode, encode

__all__ = ["Sae", "decode", "encode"]
