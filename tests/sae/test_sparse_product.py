"""Products with few values are those with all of them, and leave out what is 0."""

import pytest
import torch

from harness.sae import sparse_product as module
from harness.sae.health import Health
from harness.sae.sparse_product import sparse_product
from harness.testing.models import random_sae


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    monkeypatch.setattr(module, "LARGE", 0)


def drawn(share, n=40, features=96, width=16):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(n, features, generator=generator)
    values *= torch.rand(n, features, generator=generator) < share
    return values, torch.randn(features, width, generator=generator)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5])
def test_it_is_the_whole_product(share):
    values, rows = drawn(share)
    assert torch.allclose(sparse_product(values, rows), values @ rows, atol=1e-5)
    values[7] = 0  # a position without any
    assert torch.allclose(sparse_product(values, rows), values @ rows, atol=1e-5)


def test_what_is_0_is_not_multiplied():
    values, rows = drawn(0.01)
    silent = ~values.any(0)
    assert silent.any()
    rows[silent] = torch.nan
    assert sparse_product(values, rows).isfinite().all()


def test_health_is_the_same_by_either(monkeypatch):
    sae, found = random_sae(1, 32, 256), []
    held = 3 * torch.randn(50, 32, generator=torch.Generator().manual_seed(1))
    for share in (1.0, 0.0):  # always, never
        monkeypatch.setattr(module, "FEW", share)
        health = Health(sae)
        health.add(sae, held)
        found.append((health.l0, health.fvu, health.fvu_median, health.dead))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
