"""A target's tokenizer where its file is on this machine, without torch: for what precedes a run."""

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

from harness.models import hub_download as hub
from harness.specs.local_paths import local_path
from harness.specs.targets import Target

FILE = "tokenizer.json"


def local_tokens(target: Target) -> Callable[[str], list[int]] | None:
    """What makes token ids of a text, without special tokens; None where no such file is here."""
    file = _file(target)
    if file is None:
        return None
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # it raises nothing else; a run says what is wrong with the file
        return None
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _file(target: Target) -> Path | None:
    if found := local_path(target.model):
        return found / FILE if (found / FILE).is_file() else None
    return hub.cached(target.model, FILE, target.revision)
