"""Metrics as functions of arrays: the harness's own, and those that others register.

A registered metric is an entry point of the group `harness.metrics`: a function `(positive, negative)` of the
two answers' log-probabilities, each (n,) float64 in nats, that returns one finite number a prompt, (n,). It
is pure: each number depends on its own prompt alone, and is the same whenever it is asked for. The first line
of its docstring is shown, and its attribute `unit`, a text, names its unit. It is taken to grow as the
answers move toward the positive one.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import Fault, InputError, nearest
from harness.specs.metrics import KINDS, RESERVED, registered

Floats = NDArray[np.float64]
# What each is tried on before a run: likely, unlikely and equal answers.
PROBE = np.array([[-0.1, -3.0, -7.5, -1.25, -40.0], [-3.0, -0.1, -9.0, -1.25, -2.5]])


@dataclass(frozen=True)
class OwnMetric:
    """A registered metric: what it says of itself, and whose it is."""

    name: str
    function: Callable[[Floats, Floats], ArrayLike]
    says: str
    unit: str
    distribution: str
    version: str

    @property
    def facts(self) -> dict[str, str]:
        """What a run records of it."""
        return {name: getattr(self, name) for name in ("says", "unit", "distribution", "version")}

    def __call__(self, positive: Floats, negative: Floats) -> Floats:
        """Its values, (n,). Raises `InputError` where what it returns is no metric."""
        values = self._once(positive, negative)
        if not np.array_equal(values, self._once(positive, negative)):
            what = "gives other values when it is called again"
            raise self._fault(what, "let it depend on its arguments alone")
        return values

    def tried(self) -> "OwnMetric":
        """Itself, where it is a metric of `PROBE`. Raises `InputError` where it is none."""
        values, one_by_one = self(*PROBE), [self(*PROBE[:, [i]])[0] for i in range(PROBE.shape[1])]
        if not np.allclose(values, one_by_one, rtol=1e-12, atol=0):
            what = "gives a prompt another value when it is asked for beside others"
            raise self._fault(what, "let each value depend on its own prompt alone")
        return self

    def _once(self, positive: Floats, negative: Floats) -> Floats:
        try:
            # Copies: what it does to its arguments is nobody else's. What is not finite is said below.
            with np.errstate(all="ignore"):
                returned = self.function(positive.copy(), negative.copy())
            values = np.asarray(returned, dtype=np.float64)
        except Exception as error:
            what = f"raises {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise self._fault(what, "mend it, or name another metric") from None
        if values.shape != positive.shape:
            what = f"returns an array of shape {values.shape} for {len(positive)} prompts"
            raise self._fault(what, f"return one number a prompt, {positive.shape}")
        if not np.isfinite(values).all():
            at = int(np.argmin(np.isfinite(values)))
            what = (
                f"is {values[at]} where the answers have log-probabilities {positive[at]:.4g} and"
            )
            what += f" {negative[at]:.4g}"
            raise self._fault(what, "return a finite number for every prompt")
        return values

    def _fault(self, what: str, remedy: str) -> InputError:
        return InputError(
            Fault(f"metric {self.name} ({self.distribution} {self.version})", what, remedy)
        )


Metrics = Mapping[str, OwnMetric]


def own_metrics(
    names: Collection[str], where: Callable[[str], str] = "metric {}".format
) -> Metrics:
    """Those of the names that are registered ones, loaded and tried; `where` places a name in a spec.

    Raises `InputError` with every fault: not registered, taken, not importable, without a docstring, or no
    metric when it is tried.
    """
    found, made = registered(), dict[str, OwnMetric]()
    faults: list[Fault] = []
    for name in sorted({*names} - {*KINDS}):
        try:
            made[name] = _load(name, found.get(name, []), where(name), {*KINDS, *found}).tried()
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(*faults)
    return made


def all_metrics(positive: Floats, negative: Floats, own: Metrics) -> dict[str, Floats]:
    """Every metric of prompts whose answers have these log-probabilities, (n,) each, in the metric's unit."""
    # Two that are -inf or NaN make NaN, and that is said of each of them.
    with np.errstate(invalid="ignore"):
        log_mass = np.asarray(np.logaddexp(positive, negative), dtype=np.float64)
        values = {
            "log_p_correct": positive,
            "log_p_misconception": negative,
            "logit_difference": positive - negative,
            "log_mass": log_mass,
            "mass": np.exp(np.minimum(log_mass, 0.0)),
            "accuracy": (positive > negative).astype(np.float64),
        }
    return values | {name: metric(positive, negative) for name, metric in own.items()}


def _load(name: str, points: list[EntryPoint], where: str, valid: Collection[str]) -> OwnMetric:
    def fault(what: str, remedy: str) -> InputError:
        return InputError(Fault(where, what, remedy))

    if not points:
        raise fault(f"no metric '{name}' is registered", nearest(name, valid))
    if len(points) > 1 or name in RESERVED:
        whose = " and ".join(sorted(_whose(point)[0] for point in points))
        remedy = "uninstall one, or let it choose another name"
        raise fault(f"the metric's name '{name}' is taken: {whose} register it", remedy)
    (point,) = points
    distribution, version = _whose(point)
    try:
        function: Any = point.load()
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        what = f"metric '{name}' of {distribution} cannot be imported from {point.value}: {why}"
        raise fault(what, f"mend or reinstall {distribution}") from None
    if not callable(function):
        raise fault(f"metric '{name}' of {distribution} is no function", "register a function")
    says = (function.__doc__ or "").strip().split("\n")[0].strip()
    if not says:
        what = f"metric '{name}' of {distribution} has no docstring"
        raise fault(what, "say in its first line what it measures")
    unit = getattr(function, "unit", name)
    if not isinstance(unit, str) or not unit.strip():
        raise fault(f"the unit of metric '{name}' is no text", 'write it like `f.unit = "nats"`')
    return OwnMetric(name, function, says, unit, distribution, version)


def _whose(point: EntryPoint) -> tuple[str, str]:
    found = point.dist
    return (found.name, found.version) if found else ("an unknown distribution", "")
