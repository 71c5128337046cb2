"""Claims about what a model's features do to its answers, written down, tested and stored."""
