"""Language models of transformers: their files and devices, batches, forwards with taps, cached replays.

Not here: what an SAE is, what is edited, and what is made of the numbers.
"""

import os

from harness.urls import NO_ADDRESS, is_web_address

# The hub's library cannot be imported where it cannot read this: who asks the hub is told.
if not is_web_address(os.environ.get("HF_ENDPOINT", NO_ADDRESS)):
    os.environ["HF_ENDPOINT"] = NO_ADDRESS
