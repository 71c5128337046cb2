"""A stored run as files for other programs, and back from them.

Not here: pages and tables for people, which are `reports`.
"""

# The files that single steps write, by name; `formats` says what a line of each holds.
FORMAT_NAMES = ("results", "features", "diff_report", "ablation_report")
