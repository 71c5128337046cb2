"""A stored run, or two of them side by side, as one HTML file that loads nothing.

Not here: SQL, which is the saved queries', and styles or scripts, which are in `templates`.
"""
