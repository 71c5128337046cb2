"""The evals that others take features from: what `check` says of them, and the order that they run in."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from harness.errors import Fault, HarnessError, InputError, nearest
from harness.names import command
from harness.specs.ablations import Ablation
from harness.specs.spec_file import SpecFile, load
from harness.specs.transfer_checks import reaches, transfer_faults


def sources_of(file: SpecFile) -> list[str]:
    """The names of the evals that have to be run before, in the order of the ablations."""
    sources = (one.select.source for one in file.spec.ablations)
    return [*dict.fromkeys(source[0] for source in sources if source)]


def source_lines(file: SpecFile) -> list[str]:
    """A line for each ablation whose features are another eval's: what has to be run first."""
    lines = []
    for one in file.spec.ablations:
        if one.select.source:
            eval_there, ablation = one.select.source
            on = f"target {one.select.target}" if one.select.target else "the same target"
            run = command("run", eval_there)
            lines.append(
                f"{one.name}: the features of {ablation} of {eval_there}; first `{run}` on {on}"
            )
            lines += _reach_lines(file, one)
    return lines


def _reach_lines(file: SpecFile, ablation: Ablation) -> Iterator[str]:
    """What claims that a set transfers can show, where the other eval's file and its prompts are here."""
    assert ablation.select.source
    if other := _beside(file, ablation.select.source[0]):
        for target in ablation.only or file.spec.targets:
            try:
                for reach in reaches(file, other, ablation, target):
                    yield f"{reach.claim.name} on {target}: {reach.words}"
            except (HarnessError, KeyError):
                return  # what is wrong with either eval is said elsewhere


def source_faults(file: SpecFile) -> Iterator[Fault]:
    """What other evals do not freeze, as far as they lie beside the spec or come with the package.

    Of one that is not there nothing is said: its run may be in the results file.
    """
    for i, ablation in enumerate(file.spec.ablations):
        if not ablation.select.source:
            continue
        name, wanted = ablation.select.source
        other = _beside(file, name)
        if other is None:
            continue
        here = file.where("ablations", i, "select", "from")
        named = {one.name: one for one in other.spec.ablations}
        if wanted not in named:
            yield Fault(here, f"{name} has no ablation '{wanted}'", nearest(wanted, named))
            continue
        yield from _not_frozen(file, other, ablation, here)
        for target in ablation.only or file.spec.targets:
            with suppress(HarnessError, KeyError):  # which is said elsewhere
                yield from transfer_faults(file, other, ablation, target)
        there = named[wanted].select
        if there.source:
            what = f"{wanted} of {name} has its features from {there.source[0]} itself"
            yield Fault(here, what, f"write `from: {there.taken_from}`")
        elif there.toward != ablation.select.toward:
            what = f"{name} selects {wanted} toward the {other.spec.variants.name(there.toward)} answer"
            toward = file.spec.variants.name(there.toward)
            yield Fault(here, what, f"write `toward: {toward}` beside it")


def _not_frozen(file: SpecFile, other: SpecFile, ablation: Ablation, here: str) -> Iterator[Fault]:
    """Targets on which the other eval does not make the ablation; a matched set may be of any of a model."""
    select = ablation.select
    assert select.source
    name, wanted = select.source
    frozen = {
        target
        for target in other.spec.targets
        if wanted in {one.name for one in other.spec.ablations_on(target)}
    }
    if select.target:
        needed = [select.target]
    else:
        needed = [] if select.match else [*(ablation.only or file.spec.targets)]
    remedy = f"name one of {', '.join(sorted(frozen))}" if select.target else ""
    for target in needed:
        if target not in frozen:
            how = remedy or "name targets that it is frozen on with `only`"
            yield Fault(here, f"{name} freezes no {wanted} on {target}", how)


def in_order(files: Sequence[SpecFile]) -> list[SpecFile]:
    """Each after those of the others that it takes features from, else as they are given.

    Raises `InputError` where they take them from each other in a circle.
    """
    left, done = list(files), []
    while left:
        waiting = {one.spec.name for one in left}
        ready = next((one for one in left if waiting.isdisjoint(sources_of(one))), None)
        if ready is None:
            names = ", ".join(sorted(waiting))
            what = f"{names} take features from each other in a circle"
            raise InputError(Fault(str(left[0].path), what, "let one of them select its own"))
        left.remove(ready)
        done.append(ready)
    return done


def _beside(file: SpecFile, name: str) -> SpecFile | None:
    """The eval of a name whose file is beside a spec, or is found by its name; None where there is none."""
    for place in (file.path.parent / f"{name}.yaml", name):
        try:
            found = load(place)
        except HarnessError:
            continue
        if found.spec.name == name:
            return found
    return None
