"""The prompts, and the table that they are rendered from."""
