"""Collect every claim of a spec as a pytest item: `evals/voices.yaml::features-exist`.

A YAML file is taken for a spec where the ini option `harness_evals` names its folder, where its
first lines point an editor at `eval.schema.json`, or where it is given on the command line and has
`claims:`. Every other file is left alone, and nothing heavy is imported before an item runs.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.places import DEFAULT_DB
from harness.sharing import Desk, Outcomes, served_store

if TYPE_CHECKING:
    from harness.conclude import Outcome
    from harness.spec import Claim, Spec
    from harness.verdicts import Verdict

OUTCOMES = pytest.StashKey[Outcomes]()
DESK = pytest.StashKey[Desk]()
FOLDER = "harness_folder"  # of a worker's input: where it meets the others
WAIT = 10.0  # as harness.store has it, which is not imported before it is needed


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run can be told; the folders of evals in the ini file."""
    group = parser.getgroup("harness", "claims about a model's features")
    group.addoption(
        "--harness-target",
        metavar="NAME",
        default="auto",
        help="The target that claims are tested on (default: the best one present).",
    )
    group.addoption(
        "--harness-db",
        metavar="FILE",
        help="The results file (default: db/results.duckdb below the root directory).",
    )
    group.addoption(
        "--harness-limit",
        metavar="N",
        type=int,
        help="A trial on the first N families of each side, 2 or more: it is evidence of nothing, "
        "so its claims are skipped.",
    )
    group.addoption(
        "--harness-mock",
        action="store_true",
        help="Random SAEs: a trial of the pipeline, evidence of nothing, so its claims are skipped.",
    )
    group.addoption(
        "--harness-device",
        metavar="NAME",
        default="auto",
        help="cuda, cuda:1, cpu or mps; `split` spreads the model over all of them (default: the "
        "best one). With pytest-xdist, cuda:0,cuda:1 gives each worker one.",
    )
    group.addoption(
        "--harness-wait",
        metavar="SECONDS",
        type=float,
        default=WAIT,
        help=f"How long to wait where another process writes to the results file (default: {WAIT:g}).",
    )
    parser.addini("harness_evals", "Folders whose YAML files are evals.", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Begin without any outcome; a worker shares those of the others."""
    folder = getattr(config, "workerinput", {}).get(FOLDER)
    config.stash[OUTCOMES] = Outcomes(folder and Path(folder))
    limit = config.getoption("--harness-limit")
    if limit is not None and limit < 2:
        raise pytest.UsageError(f"--harness-limit: {limit} is too few; take 2 families or more")


def pytest_unconfigure(config: pytest.Config) -> None:
    """What was served to workers is closed, and nothing that was loaded is held until the end."""
    if DESK in config.stash:
        config.stash[DESK].close()
    config.stash[OUTCOMES].forget()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where it meets the others."""
    config: pytest.Config = node.config
    if DESK not in config.stash:
        config.stash[DESK] = Desk()
        config.stash[OUTCOMES] = Outcomes(config.stash[DESK].folder)
    node.workerinput[FOLDER] = str(config.stash[DESK].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Iterable[str]) -> None:
    """Serve the results file to the workers, where there is a claim among the tests."""
    if any(name.split("::")[0].endswith((".yaml", ".yml")) for name in ids):
        config: pytest.Config = node.config
        reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        config.stash[DESK].serve(
            _results(config),
            wait=config.getoption("--harness-wait"),
            say=reporter.write_line if reporter else lambda _: None,
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole specs to a worker, where nothing but evals is asked for: the claims of one are one run."""
    if config.getoption("dist") != "load" or not all(
        map(partial(_asks_for_evals, config), config.args)
    ):
        return None
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> EvalFile | None:
    """A spec for a YAML file that is one."""
    if file_path.suffix in (".yaml", ".yml") and _is_spec(file_path, parent.config):
        return EvalFile.from_parent(parent, path=file_path)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    """A claim is skipped where it stands, and not where this file says so."""
    report = yield
    if isinstance(item, ClaimItem) and isinstance(report.longrepr, tuple):
        report.longrepr = str(item.path), item.line, report.longrepr[2]
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdicts, after everything else."""
    outcomes = config.stash[OUTCOMES].all()
    if not outcomes:
        return
    from harness.show import append_summary, console, print_verdicts

    terminalreporter.section("verdicts")
    print_verdicts(console(terminalreporter._tw._file), outcomes)
    append_summary(outcomes, partial(terminalreporter.write_line, yellow=True))


class EvalFile(pytest.File):
    """A spec: its claims are the items."""

    def collect(self) -> Iterable[pytest.Item]:
        """The claims made on the chosen target, without loading a weight."""
        from harness.faults import HarnessError
        from harness.read import load_spec, locator

        try:
            spec = load_spec(self.path)
        except HarnessError as error:
            from harness.show.excerpt import excerpt

            lines = [line for fault in error.faults for line in (str(fault), *excerpt(fault))]
            raise self.CollectError("\n".join(lines)) from None
        target = self.config.getoption("--harness-target")
        claims = spec.claims if target == "auto" else spec.claims_on(target)
        where = locator(self.path)
        for claim in claims:
            line = int(where("claims", spec.claims.index(claim)).split(":")[-2])
            yield ClaimItem.from_parent(self, name=claim.name, claim=claim, spec=spec, line=line)


class ClaimItem(pytest.Item):
    """One claim: it passes where its verdict is `supported`."""

    def __init__(self, *, claim: Claim, spec: Spec, line: int, **options: Any) -> None:
        super().__init__(**options)
        self.claim = claim
        self.spec = spec
        self.line = line

    def runtest(self) -> None:
        """Run the eval, once for all of its claims, and hold the verdict against the claim."""
        outcome = self.config.stash[OUTCOMES].of(self.path, self._run)
        for verdict in outcome.verdicts:
            if verdict.claim == self.name:
                self.user_properties += _properties(verdict, outcome)
                if outcome.limited:
                    pytest.skip(f"{verdict.verdict}, {outcome.exploratory}, which is no evidence")
                if not outcome.is_evidence:
                    pytest.skip(f"{verdict.verdict} with random SAEs, which is no evidence")
                if verdict.verdict != "supported":
                    from harness.show import failure

                    raise ClaimFailed(failure(self.spec, self.claim, verdict, outcome))
                return
        pytest.skip(f"not claimed on {outcome.target.name}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A few lines instead of a traceback, where the failure is the claim's or the input's."""
        from harness.faults import HarnessError

        if isinstance(excinfo.value, ClaimFailed | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the claim stands."""
        return self.path, self.line - 1, f"claim {self.name}"

    def _run(self) -> Outcome:
        from harness.target import MOCKS
        from harness.wire import How, run_eval, run_into

        config = self.config
        how = partial(
            How,
            mock=MOCKS[0] if config.getoption("--harness-mock") else "",
            limit=config.getoption("--harness-limit") or 0,
        )
        target = config.getoption("--harness-target")
        device = config.getoption("--harness-device")
        folder = config.stash[OUTCOMES].folder
        if folder is not None:
            with _telling_from_a_worker(config, self.spec.name) as (progress, say):
                return run_into(
                    partial(served_store, folder),
                    self.path,
                    target,
                    probe=lambda: served_store(folder).__exit__(),
                    how=how(**_share(config, device)),
                    progress=progress,
                    say=say,
                )
        with _telling(config) as (progress, say):
            return run_eval(
                self.path,
                target,
                db=_results(config),
                wait=config.getoption("--harness-wait"),
                how=how(device=device),
                progress=progress,
                say=say,
            )


class ClaimFailed(AssertionError):
    """A claim whose verdict is not `supported`, in a few lines."""


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
    }
    return [(name, value) for name, value in said.items() if value is not None]


def _results(config: pytest.Config) -> Path:
    given = config.getoption("--harness-db")
    return config.invocation_params.dir / given if given else config.rootpath / DEFAULT_DB


@contextmanager
def _telling(config: pytest.Config) -> Iterator[tuple[Any, Any]]:
    """How far a run is and what it says, past the capture of output."""
    from harness.show import console, progress_on

    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or capture is None:
        yield _silent, _silent
        return
    out = console(reporter._tw._file)
    with capture.global_and_fixture_disabled():
        out.line()
        with progress_on(out) as progress:
            yield progress, partial(out.print, soft_wrap=True, markup=False)


def _silent(*_: object) -> None:
    pass


@contextmanager
def _telling_from_a_worker(config: pytest.Config, name: str) -> Iterator[tuple[Any, Any]]:
    """The same in plain lines: several workers share a terminal, and none of them draws on it."""
    from harness.show import PlainProgress

    capture: Any = config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"[{name}] {line}", file=sys.__stderr__, flush=True)

    yield PlainProgress(say), say


def _share(config: pytest.Config, device: str) -> dict[str, Any]:
    """A worker's share of the machine: one of the devices, and some of the processor."""
    import torch

    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    devices = device.split(",")
    threads = max(1, torch.get_num_threads() // worker["workercount"])
    number = int(worker["workerid"].removeprefix("gw"))
    return {"device": devices[number % len(devices)], "threads": threads}


def _asks_for_evals(config: pytest.Config, argument: str) -> bool:
    path = (config.invocation_params.dir / str(argument).split("::")[0]).resolve()
    folders: list[Path] = config.getini("harness_evals")
    known = any(folder == path or folder in path.parents for folder in folders)
    return known or path.suffix in (".yaml", ".yml")


def _is_spec(path: Path, config: pytest.Config) -> bool:
    folders: list[Path] = config.getini("harness_evals")
    if any(folder in path.parents for folder in folders):
        return True
    text = path.read_text(encoding="utf-8", errors="replace")
    head = text.split("\n", 5)[:5]
    if any("$schema=" in line and "eval.schema.json" in line for line in head):
        return True
    given = {
        (config.invocation_params.dir / str(arg).split("::")[0]).resolve() for arg in config.args
    }
    return path.resolve() in given and "\nclaims:" in text
