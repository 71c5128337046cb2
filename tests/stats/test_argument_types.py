"""Every argument of every public function: a wrong type is said in one sentence that begins with its name."""

import inspect
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from harness import stats

D, UNITS = [1.0, 2.0, 4.0, 3.0], ["a", "b", "c", "d"]
CALLS = {
    "arranged_means": {
        "own": D,
        "others": [D, D],
        "families": UNITS,
        "sources": [["b", "c", "d", "a"], ["c", "d", "a", "b"]],
        "most": 9,
        "seed": 0,
    },
    "bounded_mean_interval": {"values": D, "low": 0.0, "high": 9.0, "units": UNITS, "level": 0.9},
    "control_rank_p": {"target": 1.0, "controls": D},
    "count_sets": {"targets": [0], "leaf": [0, 0, 1, 1]},
    "effective_pairs": {"pairs": 10, "pairs_per_unit": 2.0, "correlation": 0.5},
    "effects": {"x": D, "y": D[::-1], "units": UNITS, "level": 0.9},
    "equivalence": {"differences": D, "units": UNITS, "margin": 1.0, "alpha": 0.05},
    "fdr": {"p": [0.1, 0.2], "method": "bh"},
    "hierarchical_fdr": {"p": [0.1, 0.2], "layers": [0, 1], "q": 0.05},
    "holm": {"p": [0.1, 0.2]},
    "leaf_size": {"targets": 2, "alpha": 0.05},
    "leaves": {"layers": [0] * 4, "standard": [[one] for one in D], "least": 2},
    "matched_sets": {
        "targets": [0],
        "layers": [0] * 4,
        "profile": [[one] for one in D],
        "sets": 2,
        "seed": 0,
        "excluded": [1],
        "pool": 2,
    },
    "mean_interval": {"differences": D, "units": UNITS, "level": 0.9},
    "minimum_detectable": {"units": 9, "alpha": 0.05, "power_wanted": 0.8, "two_sided": True},
    "paired_max_t": {
        "x": D,
        "y": D[::-1],
        "units": UNITS,
        "statistic": "mean",
        "alternative": "less",
        "step_down": True,
        "flips": 9,
        "seed": 0,
    },
    "power": {"d_z": 1.0, "units": 9, "alpha": 0.05, "two_sided": True},
    "relabelled_sets": {"targets": [0], "leaf": [0, 0, 1, 1], "sets": 2, "seed": 0},
    "residual_rank_p": {"target": 1.0, "controls": D, "profiles": [[one] for one in (0.0, *D)]},
    "simultaneous_equivalence": {"x": D, "y": D[::-1], "units": UNITS, "margin": 1.0},
    "standard_profiles": {"layers": [0] * 4, "profile": [[one] for one in D]},
    "synergy": {"joint": D, "singles": [D, D], "units": UNITS, "level": 0.9},
    "units_needed": {"d_z": 1.0, "alpha": 0.05, "power_wanted": 0.8, "two_sided": True},
}
NOTHING = object()
ARRAYS = {
    "none": None,
    "a number": 3.0,
    "a text": "text",
    "texts": list("abcd"),
    "an object": NOTHING,
    "objects": [NOTHING] * 4,
    "holes": [1.0, None, 2.0, 3.0],
    "complex": np.ones(4, complex),
    "dates": np.array(["2026-01-01"] * 4, "M8[D]"),
    "ragged": [[1.0], [1.0, 2.0]],
    "masked": np.ma.masked_equal(D, 4.0),
    "four dimensions": np.ones((2, 2, 2, 2)),
    "a mapping": {"a": 1.0},
    "a set": {1.0, 2.0},
    "a generator": (one for one in D),
    "a number beyond float64": [10**400] * 4,
    "a complex tensor": torch.ones(4, dtype=torch.complex64),
    "a tensor without data": torch.ones(4, device="meta"),
    "missing values of pandas": pd.Series([1, None, 2, 3], dtype="Int64"),
    "a type": float,
}
NAMES = {
    "a text": "text",
    "a number": 3,
    "too few": ["a"],
    "too many dimensions": [UNITS],
    "several types": ["a", 1, 2, 3],
    "a hole": ["a", None, "b", "c"],
    "a hole of pandas": pd.Series(["a", None, "b", "c"], dtype="string"),
    "a NaN": [1.0, float("nan"), 2.0, 3.0],
    "objects": [NOTHING] * 4,
    "complex": np.arange(4) * 1j,
    "masked": np.ma.masked_equal([1, 2, 3, 4], 4),
    "a mapping": dict.fromkeys(UNITS, 1),
    "sparse": sparse.csr_array([[1, 2, 3, 4]]),
    "ragged": [["a"], ["a", "b"], ["c"], ["d"]],
}
NUMBERS = {
    "none": None,
    "a text": "1",
    "a complex": 1j,
    "NaN": float("nan"),
    "a list": [0.5],
    "an array": np.array([0.5, 0.5]),
    "a truth": True,
    "an object": NOTHING,
    "too large": 10**400,
    "infinite": float("inf"),
}
WHOLE = {**NUMBERS, "a part": 2.5, "negative": -1}
WORDS = {
    "a number": 1,
    "another": "other",
    "nothing": "",
    "a list": ["mean"],
    "an array": np.array(["mean", "mean"]),
    "an object": NOTHING,
}
FLAGS = {"none": None, "a text": "no", "a number": 1, "a list": [], "an object": NOTHING}
# What each argument may not be, by its name, and where that means another thing, by function and name.
WRONG = {
    **dict.fromkeys(("x", "differences", "joint", "singles", "p", "profile", "controls"), ARRAYS),
    **dict.fromkeys(("standard", "profiles", "leaf", "values"), ARRAYS),
    **{key: {**ARRAYS, "out of range": [9], "a part": [0.5]} for key in ("targets", "excluded")},
    "y": {name: value for name, value in ARRAYS.items() if name != "none"},
    # NaN is what was not measured.
    **{
        key: {name: value for name, value in ARRAYS.items() if name != "missing values of pandas"}
        for key in ("own", "others")
    },
    "layers": {**NAMES, "none": None},
    **dict.fromkeys(("units", "families"), NAMES),
    "sources": {**NAMES, "none": None},
    **dict.fromkeys(("sets", "seed", "pool", "pairs", "least", "most"), WHOLE),
    "leaf_size.targets": WHOLE,
    "power.units": WHOLE,
    "minimum_detectable.units": WHOLE,
    **dict.fromkeys(
        (
            "low",
            "high",
            "target",
            "level",
            "alpha",
            "q",
            "margin",
            "d_z",
            "power_wanted",
            "correlation",
        ),
        NUMBERS,
    ),
    "pairs_per_unit": NUMBERS,
    "paired_max_t.seed": {name: value for name, value in WHOLE.items() if name != "too large"},
    **{key: {**WORDS, "none": None} for key in ("alternative", "method")},
    "statistic": WORDS,
    "flips": {**WORDS, "a number": 1.5, "none": None, "negative": -1},
    **dict.fromkeys(("step_down", "two_sided"), FLAGS),
}


def test_every_public_function_and_argument_is_in_the_table():
    functions = {name: getattr(stats, name) for name in stats.__all__}
    functions = {name: one for name, one in functions.items() if inspect.isfunction(one)}
    assert set(CALLS) == set(functions)
    for name, function in functions.items():
        assert list(CALLS[name]) == list(inspect.signature(function).parameters)
        getattr(stats, name)(**CALLS[name])


@pytest.mark.parametrize(
    "function, argument", [(name, argument) for name, call in CALLS.items() for argument in call]
)
def test_a_wrong_type_is_said_with_the_arguments_name(function, argument):
    wrong = WRONG.get(f"{function}.{argument}", WRONG.get(argument))
    for kind, value in wrong.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError, match=f"^{argument}: ") as raised:
                getattr(stats, function)(**{**CALLS[function], argument: value})
        said = str(raised.value)
        assert "\n" not in said, (kind, said)
        assert len(said) < 200, (kind, said)


@pytest.mark.parametrize(
    "values",
    [
        tuple(D),
        np.array(D, np.float16),
        np.array(D, np.longdouble),
        np.array(D).astype(np.uint8),
        pd.Series(D),
        pd.Series(D, dtype="Float64"),
        pd.DataFrame({"a": D}),
        sparse.csr_array(np.array(D)[:, None]),
        np.ma.array(D),
        torch.tensor(D),
        torch.tensor(D, dtype=torch.bfloat16),
        torch.tensor(D, requires_grad=True),
        torch.tensor(D, dtype=torch.int64)[:, None].to_sparse(),
        torch.nn.Parameter(torch.tensor(D, dtype=torch.bfloat16)),
    ],
)
@pytest.mark.parametrize(
    "units", [None, range(4), torch.arange(4), pd.Series(UNITS), pd.Categorical(UNITS)]
)
def test_what_holds_numbers_is_taken(values, units):
    assert stats.mean_interval(values, units).mean == [2.5]
    assert stats.effects(values, None, units).d_z == stats.effects(D, None, None).d_z
    assert stats.paired_max_t(values, units=units).p_marginal == [0.125]


@pytest.mark.parametrize("one", [np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
def test_what_is_a_number_is_taken(one):
    assert stats.power(one, np.int64(9), alpha=one) == stats.power(0.5, 9, alpha=0.5)
    assert (
        stats.mean_interval(D, None, level=one).low == stats.mean_interval(D, None, level=0.5).low
    )


def test_no_pair_or_no_feature_is_no_traceback():
    with pytest.raises(ValueError, match="units: 0 units"):
        stats.mean_interval([], None)
    with pytest.raises(ValueError, match="units: 0 units"):
        stats.paired_max_t(np.zeros((0, 3)))
    none = np.zeros((4, 0))
    assert stats.mean_interval(none, None).mean.shape == (0,)
    assert stats.effects(none, None, None).d_z.shape == (0,)
    assert stats.paired_max_t(none).p_adjusted.shape == (0,)
