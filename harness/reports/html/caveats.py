"""What a page may not be taken for, said on every screen of it."""

from dataclasses import dataclass

from harness.reports.html.run_data import Run
from harness.specs.prompt import LIMITED
from harness.store.find_run import trial


@dataclass(frozen=True)
class Stamp:
    """A word that cannot be overlooked, and a sentence; `kind` decides how it looks."""

    kind: str
    word: str
    words: str


def stamps_of(run: Run, of: str = "") -> list[Stamp]:
    """Those of a run; none where it is evidence. `of` begins the sentence where there are two runs."""
    found = []
    if run["origin"] == "mock":
        words = "Random SAEs: a trial of the pipeline. Nothing here is evidence of anything."
        found.append(Stamp("mock", "Mock", of + words))
    if run["status"] != "finished":
        words = "The run has not finished: what is here is a part, and no verdict is drawn from it."
        found.append(Stamp("unfinished", "Unfinished", of + words))
    if str(run["exploratory"] or "").startswith(LIMITED):
        words = f"{_sentence(run['exploratory'])}. A trial: nothing here is evidence of anything."
        found.append(Stamp("limited", "Limited", of + words))
    elif run["exploratory"]:
        words = f"{_sentence(run['exploratory'])}. Nothing here confirms."
        found.append(Stamp("exploratory", "Exploratory", of + words))
    if run["origin"] == "stand-in":
        words = f"{run['target']} shows that the method works, and says nothing about Gemma."
        found.append(Stamp("stand-in", "Stand-in", of + words))
    return found


def told(verdict: str, run: Run) -> str:
    """A verdict with what it may not be taken for."""
    mark = trial(run) or ("exploratory" if run["exploratory"] else "")
    return f"{mark}: {verdict}" if mark else verdict


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
