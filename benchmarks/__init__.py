"""Speed, as ratios against a named alternative in the same run: `nox -s run_context`."""
