"""The folder of a user's own settings."""

from pathlib import Path

from platformdirs import user_config_path


def settings_folder() -> Path:
    """Where a user's own targets lie, and what commands keep for that user."""
    return user_config_path("misconception-harness", appauthor=False)
