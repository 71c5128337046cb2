"""The stages of a run, one file each, under the names that the table `units` gives them.

Each takes a run's context and some prompts and returns rows; none commits them, and none knows another.
"""
