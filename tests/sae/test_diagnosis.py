"""A poor fit is explained where it can be, and left alone where it need not be."""

import dataclasses

import pytest
import torch

from harness.sae.diagnosis import median_fvu, misfit
from harness.sae.jumprelu import Sae, decode, encode
from harness.testing.models import random_sae


def test_a_dimension_that_never_varies_is_left_out():
    stream = torch.randn(50, 4)
    stream[:, 0] = 3.0
    assert median_fvu(stream, stream) == 0
    assert median_fvu(stream, stream.mean(0).expand(50, 4)) == pytest.approx(1)
    assert median_fvu(torch.ones(5, 2), torch.zeros(5, 2)) == 0


def test_an_sae_that_was_trained_without_thresholds_is_left_alone():
    """Its small values carry their share: the stream is made of them."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
    stream = torch.rand(400, 16, generator=generator) @ basis
    relu = Sae(basis.T, torch.zeros(16), basis, torch.zeros(16), torch.zeros(16))
    assert misfit(relu, {0: stream}, 0) is None


def test_a_poor_fit_that_no_reading_explains_is_left_alone_while_it_is_of_use():
    """Half of the variance explained is a weak SAE, not a mistake."""
    stream = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    both = torch.cat([torch.eye(16), -torch.eye(16)])
    weak = Sae(both.T, torch.zeros(32), 0.3 * both, torch.zeros(16), torch.full((32,), 1e-3))
    assert 0.4 < median_fvu(stream, decode(weak, encode(weak, stream))) < 0.6
    assert misfit(weak, {0: stream}, 0) is None


def test_where_nothing_fits_no_layer_is_said_to():
    """A random dictionary may be less hopeless on another block: that is no fit."""
    generator = torch.Generator().manual_seed(0)
    streams = {0: 0.01 * torch.randn(200, 16, generator=generator)}
    streams[1] = 1_000 * streams[0]
    far = random_sae(1, 16, 64)
    own, other = (
        median_fvu(stream, decode(far, encode(far, stream))) for stream in streams.values()
    )
    assert 1 < other < own / 2
    assert "does not reconstruct this stream" in misfit(far, streams, 0)


def test_a_relu_by_design_is_not_told_to_have_thresholds():
    noisy = random_sae(2, 16, 64)
    open_ = dataclasses.replace(noisy, threshold=torch.zeros(64))
    stream = torch.randn(400, 16, generator=torch.Generator().manual_seed(3))
    assert "ReLU instead of JumpReLU" in misfit(open_, {0: stream}, 0)
    told = misfit(dataclasses.replace(open_, relu=True), {0: stream}, 0)
    assert "ReLU instead" not in (told or "")
