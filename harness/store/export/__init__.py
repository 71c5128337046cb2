"""A stored run as files for other programs, and back from them.

Not here: pages and tables for people, which are `reports`.
"""
