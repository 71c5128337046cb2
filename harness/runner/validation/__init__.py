"""Whether a model, and its SAEs, are read, edited and scored here as they are by themselves.

Each module measures one kind of thing on the loaded model, against transformers' own plain forward or against
itself. Not here: what a run does with a model, which these checks are about.
"""
