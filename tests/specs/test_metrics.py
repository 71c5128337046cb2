"""The metrics of a prompt, from what its two answers are given."""

import math

import numpy as np
import pytest

from harness.specs.metrics import metrics_of


def test_every_metric_is_in_nats():
    found = metrics_of({"correct": math.log(0.5), "misconception": math.log(0.125)})
    assert found["logit_difference"] == pytest.approx(math.log(4))
    assert found["log_mass"] == pytest.approx(math.log(0.625))
    assert found["log_p_correct"] == math.log(0.5)


def test_no_probability_at_all_is_no_warning():
    found = metrics_of({"correct": np.array([-np.inf]), "misconception": np.array([-np.inf])})
    assert found["log_mass"] == [-np.inf]
