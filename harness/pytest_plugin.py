"""Collect every claim of a spec as a pytest item: `evals/voices.yaml::features-exist`.

A YAML file is taken for a spec where the ini option `harness_evals` names its folder, where its
first lines point an editor at `eval.schema.json`, or where it is given on the command line and has
`claims:`. Every other file is left alone, and nothing heavy is imported before an item runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.conclude import Outcome
    from harness.spec import Claim
    from harness.verdicts import Verdict

OUTCOMES = pytest.StashKey[dict[Path, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for the target and the results file; the folders of evals in the ini file."""
    group = parser.getgroup("harness", "claims about a model's features")
    group.addoption(
        "--harness-target",
        default="auto",
        help="the target that claims are tested on (default: the best one present)",
    )
    group.addoption(
        "--harness-db",
        default=None,
        help="the results file (default: db/results.duckdb below the root directory)",
    )
    parser.addini("harness_evals", "folders whose YAML files are evals", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Begin without any outcome."""
    config.stash[OUTCOMES] = {}


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> EvalFile | None:
    """A spec for a YAML file that is one."""
    if file_path.suffix in (".yaml", ".yml") and _is_spec(file_path, parent.config):
        return EvalFile.from_parent(parent, path=file_path)
    return None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdicts, after everything else."""
    outcomes = [found for found in config.stash[OUTCOMES].values() if _is_outcome(found)]
    if not outcomes:
        return
    from harness.show import console, print_verdicts

    terminalreporter.section("verdicts")
    print_verdicts(console(terminalreporter._tw._file), outcomes)


class EvalFile(pytest.File):
    """A spec: its claims are the items."""

    def collect(self) -> Iterable[pytest.Item]:
        """The claims made on the chosen target, without loading a weight."""
        from harness.faults import HarnessError
        from harness.read import load_spec

        try:
            spec = load_spec(self.path)
        except HarnessError as error:
            raise self.CollectError(str(error)) from None
        target = self.config.getoption("--harness-target")
        claims = spec.claims if target == "auto" else spec.claims_on(target)
        for claim in claims:
            yield ClaimItem.from_parent(self, name=claim.name, claim=claim)


class ClaimItem(pytest.Item):
    """One claim: it passes where its verdict is `supported`."""

    def __init__(self, *, claim: Claim, **options: Any) -> None:
        super().__init__(**options)
        self.claim = claim

    def runtest(self) -> None:
        """Run the eval, once for all of its claims, and hold the verdict against the claim."""
        outcome = self._outcome()
        for verdict in outcome.verdicts:
            if verdict.claim == self.name:
                self.user_properties.append(("verdict", verdict.verdict))
                self.user_properties.append(("run_id", outcome.run_id))
                if not outcome.is_evidence:
                    pytest.skip(f"{verdict.verdict} with random SAEs, which is no evidence")
                if verdict.verdict != "supported":
                    raise ClaimFailed(self.claim, verdict, outcome)
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
        return self.path, None, f"claim {self.name}"

    def _outcome(self) -> Outcome:
        outcomes = self.config.stash[OUTCOMES]
        if self.path not in outcomes:
            try:
                outcomes[self.path] = self._run()
            except Exception as error:
                # The other claims of the file fail with the same words, without running again.
                outcomes[self.path] = error
        found = outcomes[self.path]
        if isinstance(found, Exception):
            raise found
        return found

    def _run(self) -> Outcome:
        from harness.places import DEFAULT_DB
        from harness.show import console, progress_on
        from harness.wire import run_eval

        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = self.config.pluginmanager.get_plugin("capturemanager")
        out = console(reporter._tw._file)
        with capture.global_and_fixture_disabled():
            out.line()
            with progress_on(out) as progress:
                return run_eval(
                    self.path,
                    self.config.getoption("--harness-target"),
                    db=self.config.getoption("--harness-db") or self.config.rootpath / DEFAULT_DB,
                    progress=progress,
                    say=partial(out.print, soft_wrap=True, markup=False),
                )


class ClaimFailed(AssertionError):
    """A claim whose verdict is not `supported`, in a few lines."""

    def __init__(self, claim: Claim, verdict: Verdict, outcome: Outcome) -> None:
        from harness.show import numbers, sql_command

        estimate, interval, p = numbers(verdict)
        said = claim.model_dump(exclude_defaults=True, exclude={"name"})
        lines = [
            f"{verdict.verdict}: {verdict.claim}, on {outcome.target.name}",
            f"  claimed   {', '.join(f'{key}: {value}' for key, value in said.items())}",
            f"  observed  {estimate} {interval}, p {p}, {verdict.because}",
            f"  rows      {sql_command(outcome.db, verdict.query)}",
        ]
        super().__init__("\n".join(lines))


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


def _is_outcome(found: object) -> bool:
    return not isinstance(found, Exception)
