"""A spec as pytest collects it: each claim is an item, and all claims of a spec are one run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.characters import disarm, one_line
from harness.paths import DEFAULT_DB
from harness.pytest_plugin.shared_runs import Outcomes, probe_in_turn, store_in_turn

if TYPE_CHECKING:
    from harness.analysis.verdict import Verdict
    from harness.runner.outcome import Outcome
    from harness.specs.claims import Claim
    from harness.specs.spec_file import SpecFile


OUTCOMES = pytest.StashKey[Outcomes]()
REGISTERED = pytest.StashKey[bool]()


class EvalFile(pytest.File):
    """A spec: its claims are the items."""

    @classmethod
    def of(cls, path: Path, parent: pytest.Collector) -> EvalFile:
        """The spec of a file. pytest prints names as they are: those that would be obeyed are shown."""
        root = parent.config.rootpath
        name = str(path.relative_to(root) if path.is_relative_to(root) else path)
        shown = disarm(one_line(name))
        named: dict[str, Any] = {} if shown == name else {"nodeid": shown}
        made: EvalFile = cls.from_parent(parent, path=path, **named)
        return made

    def collect(self) -> Iterable[pytest.Item]:
        """The claims made on the chosen target, without loading a weight."""
        from harness.errors import HarnessError, nearest
        from harness.models.waiting_threads import let_threads_sleep
        from harness.specs.spec_file import load

        let_threads_sleep()  # before torch is imported, which the first item does
        try:
            file = load(self.path)
        except HarnessError as error:
            from harness.reports.terminal.excerpt import with_excerpts

            raise self.CollectError("\n".join(with_excerpts(error.faults))) from None
        spec = file.spec
        target = self.config.getoption("--harness-target")
        if target not in ("auto", *spec.targets):
            advice = nearest(target, spec.targets)
            raise self.CollectError(
                one_line(
                    f"--harness-target: '{target}' is not among the targets of {spec.name}; {advice}"
                )
            )
        claims = spec.claims if target == "auto" else spec.claims_on(target)
        for claim in claims:
            line = int(file.where("claims", spec.claims.index(claim)).split(":")[-2])
            yield ClaimItem.from_parent(self, name=claim.name, claim=claim, file=file, line=line)


class ClaimItem(pytest.Item):
    """One claim: it passes where its verdict is `supported`, or as a guard `held`."""

    def __init__(self, *, claim: Claim, file: SpecFile, line: int, **options: Any) -> None:
        super().__init__(**options)
        self.claim = claim
        self.file = file
        self.line = line

    def runtest(self) -> None:
        """Run the eval, once for all of its claims, and hold the verdict against the claim."""
        from harness.errors import NothingToRunOn

        try:
            outcome = self.config.stash[OUTCOMES].of(self.path, self._run)
        except NothingToRunOn as missing:
            pytest.skip(one_line(str(missing)))
        for verdict in outcome.verdicts:
            if verdict.claim == self.name:
                self.user_properties += _properties(verdict, outcome)
                if verdict.cautions and verdict.stands:  # a failure's text has it
                    self.add_report_section("call", "caution", _caution(verdict))
                if outcome.limited:
                    pytest.skip(f"{verdict.verdict}, {outcome.exploratory}, which is no evidence")
                if not outcome.is_evidence:
                    pytest.skip(f"{verdict.verdict} with random SAEs, which is no evidence")
                if not verdict.stands:
                    from harness.reports.terminal.failure import failure_text

                    raise ClaimFailed(failure_text(self.file.spec, self.claim, verdict, outcome))
                return
        pytest.skip(f"not claimed on {outcome.target.name}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A few lines instead of a traceback, where the failure is the claim's or the input's."""
        from harness.errors import HarnessError

        if isinstance(excinfo.value, HarnessError):
            from harness.reports.terminal.excerpt import with_excerpts

            return "\n".join(with_excerpts(excinfo.value.faults))
        if isinstance(excinfo.value, ClaimFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, int | None, str]:
        """Where the claim stands."""
        return one_line(str(self.path)), self.line - 1, f"claim {self.name}"

    def _run(self) -> Outcome:
        from harness.runner.context import How
        from harness.runner.run import run_eval, run_into
        from harness.specs.targets import MOCKS

        config = self.config
        how = partial(
            How,
            mock=MOCKS[0] if config.getoption("--harness-mock") else "",
            limit=config.getoption("--harness-limit") or 0,
        )
        target = config.getoption("--harness-target")
        device = config.getoption("--harness-device")
        folder = config.stash[OUTCOMES].folder
        self._register(target, how())
        self._run_sources()
        if folder is not None:
            with _telling_from_a_worker(config, self.file.spec.name) as (progress, say):
                db, wait = results_file(config), config.getoption("--harness-wait")
                return run_into(
                    partial(store_in_turn, folder, db, wait=wait, say=say),
                    self.file,
                    target,
                    probe=partial(probe_in_turn, folder, db, wait=wait, say=say),
                    reuse=self._failed_last(),
                    how=how(device=_share(config, device)),
                    progress=progress,
                    say=say,
                )
        with _telling(config) as (progress, say):
            return run_eval(
                self.file,
                target,
                db=results_file(config),
                wait=config.getoption("--harness-wait"),
                reuse=self._failed_last(),
                how=how(device=device),
                progress=progress,
                say=say,
            )

    def _register(self, target: str, how: Any) -> None:
        """Put every spec of the session into the results file before the first of them runs."""
        from harness.runner.registration import register_all, register_specs

        config = self.config
        items = [item for item in self.session.items if isinstance(item, ClaimItem)]
        files = list({item.path: item.file for item in items}.values())
        if len(files) < 2 or config.stash.get(REGISTERED, False):
            return
        config.stash[REGISTERED] = True
        db, wait = results_file(config), config.getoption("--harness-wait")
        if (folder := config.stash[OUTCOMES].folder) is not None:
            with store_in_turn(folder, db, wait=wait, say=_silent) as store:
                register_all(store, files, target, how=how, lenient=True)
            return
        register_specs(files, target, db=db, wait=wait, how=how, lenient=True)

    def _run_sources(self) -> None:
        """Run the evals of the session that this one takes features from, whichever claim comes first.

        What stops one of them its own claims say. Raises `InputError` where evals take from each other.
        """
        from harness.specs.sources import in_order, sources_of

        items = [item for item in self.session.items if isinstance(item, ClaimItem)]
        first = {item.file.spec.name: item for item in reversed(items)}
        in_order([item.file for item in first.values()])
        for name in sources_of(self.file):
            if name in first:
                source = first[name]
                with suppress(Exception):
                    self.config.stash[OUTCOMES].of(source.path, source._run)

    def _failed_last(self) -> bool:
        """Whether it runs again because it failed: where nothing changed since, its run says so again."""
        cache: Any = getattr(self.config, "cache", None)
        if cache is None or not self.config.getoption("lf", default=False):
            return False
        return self.nodeid in cache.get("cache/lastfailed", {})


class ClaimFailed(AssertionError):
    """A claim whose verdict is not `supported`, in a few lines."""


def results_file(config: pytest.Config) -> Path:
    """Where results go: what is named counts from where pytest is called, the default from its root."""
    given = config.getoption("--harness-db")
    return config.invocation_params.dir / given if given else config.rootpath / DEFAULT_DB


def _properties(verdict: Verdict, outcome: Outcome) -> list[tuple[str, object]]:
    """What a JUnit file says of a claim; what has no value is left out."""
    said = {
        "verdict": verdict.verdict,
        "trial": outcome.trial or None,
        "origin": outcome.target.origin,
        "exploratory": outcome.exploratory,
        "run_id": outcome.run_id,
        "target": outcome.target.name,
        "question": outcome.question,
        "estimate": verdict.estimate,
        "ci_low": verdict.ci_low,
        "ci_high": verdict.ci_high,
        "unit": verdict.unit,
        "p": verdict.p,
        "caution": _caution(verdict) or None,
    }
    return [(name, value) for name, value in said.items() if value is not None]


def _caution(verdict: Verdict) -> str:
    """What speaks against the features that the verdict rests on, a line a layer."""
    from harness.reports.text import caution_text

    return "\n".join(one_line(caution_text(one)) for one in verdict.cautions)


@contextmanager
def _telling(config: pytest.Config) -> Iterator[tuple[Any, Any]]:
    """How far a run is and what it says, past the capture of output."""
    from harness.reports.terminal.progress import console, progress_on

    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or capture is None:
        yield _silent, _silent
        return
    out = console(reporter._tw._file)
    with capture.global_and_fixture_disabled():
        out.line()
        with progress_on(out) as progress:
            yield progress, out.note


def _silent(*_: object) -> None:
    pass


@contextmanager
def _telling_from_a_worker(config: pytest.Config, name: str) -> Iterator[tuple[Any, Any]]:
    """The same in plain lines: several workers share a terminal, and none of them draws on it."""
    from harness.reports.terminal.progress import PlainProgress
    from harness.streams import shown

    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    stream = shown(sys.__stderr__) if sys.__stderr__ else None

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(one_line(f"[{name}] {line}"), file=stream, flush=True)

    yield PlainProgress(say), say


def _share(config: pytest.Config, device: str) -> str:
    """A worker's own of several devices."""
    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    devices = device.split(",")
    return devices[int(worker["workerid"].removeprefix("gw")) % len(devices)]
