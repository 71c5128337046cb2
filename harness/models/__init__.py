"""Language models of transformers: their files and devices, batches, forwards with taps, cached replays.

Not here: what an SAE is, what is edited, and what is made of the numbers.
"""
