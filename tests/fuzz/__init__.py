"""Random bytes, and good files with something wrong in them, given to everything that reads a file.

`python -m tests.fuzz [--inputs 100000] [--only spec npz ...] [--seed 0]` tries so many; a slice of them is
a test. Each input follows from the seed, the reader and its number alone.
"""
