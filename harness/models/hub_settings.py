"""What the hub's client is set to: token, cache, endpoint, offline or not."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL
from pathlib import Path

from huggingface_hub import constants, get_token, logging

from harness.urls import shown_url

LIST = "its list of files"
COMMIT = r"[0-9a-f]{40}"
LOGIN = "accept its terms on the hub, then `hf auth login` (or set HF_TOKEN)"


def has_token() -> bool:
    """Whether a token of the hub is set on this machine."""
    return get_token() is not None


def cache_folder() -> Path:
    """Where downloads go."""
    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids any call."""
    return bool(constants.is_offline_mode())


def endpoint() -> str:
    """Which hub is asked, as it may be shown."""
    return shown_url(constants.ENDPOINT)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's own words about each try: ours come at the end."""
    level = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.set_verbosity(level)


def free_bytes(folder: Path) -> int:
    """How much can be written where a folder is, or is going to be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
