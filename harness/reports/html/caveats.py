"""What a page may not be taken for, said on every screen of it."""

from dataclasses import dataclass

from harness.specs.prompt import LIMITED
from harness.store.find_run import Run, trial_word
from harness.store.stored_spec import spec_mapping


@dataclass(frozen=True)
class Caveat:
    """A word that cannot be overlooked, and a sentence; `kind` decides how it looks."""

    kind: str
    word: str
    words: str


def caveats_of(run: Run, of: str = "") -> list[Caveat]:
    """Those of a run; none where it is evidence. `of` begins the sentence where there are two runs."""
    caveats = []
    if run["origin"] == "mock":
        words = "Random SAEs: a trial of the pipeline. Nothing here is evidence of anything."
        caveats.append(Caveat("mock", "Mock", of + words))
    if run["status"] != "finished":
        words = "The run has not finished: what is here is a part, and no verdict is drawn from it."
        caveats.append(Caveat("unfinished", "Unfinished", of + words))
    if str(run["exploratory"] or "").startswith(LIMITED):
        words = f"{_sentence(run['exploratory'])}. A trial: nothing here is evidence of anything."
        caveats.append(Caveat("limited", "Limited", of + words))
    elif run["exploratory"]:
        words = f"{_sentence(run['exploratory'])}. Nothing here confirms."
        caveats.append(Caveat("exploratory", "Exploratory", of + words))
    if run["origin"] == "stand-in":
        words = f"{run['target']} shows that the method works, and says nothing about Gemma."
        caveats.append(Caveat("stand-in", "Stand-in", of + words))
    shortcuts = spec_mapping(run).get("shortcuts")
    if isinstance(shortcuts, dict) and shortcuts.get("allow"):
        words = "Words, answers or lengths alone tell the variants apart, which is allowed: "
        caveats.append(Caveat("shortcuts", "Shortcuts", f"{of}{words}{shortcuts['allow']}"))
    return caveats


def verdict_with_caveat(verdict: str, run: Run) -> str:
    """A verdict with what it may not be taken for."""
    mark = trial_word(run) or ("exploratory" if run["exploratory"] else "")
    return f"{mark}: {verdict}" if mark else verdict


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
