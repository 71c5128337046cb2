"""What is set of a device's arithmetic while a run computes, and that it is as before afterwards."""

import pytest
import torch

from harness.models.arithmetic import accelerator, arithmetic, exact_arithmetic

CPU, OTHER = torch.device("cpu"), torch.device("meta")  # a device that is no processor, everywhere


def flags():
    matmul = torch.backends.cuda.matmul
    return (
        matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        matmul.allow_bf16_reduced_precision_reduction,
        matmul.allow_fp16_reduced_precision_reduction,
    )


def fail_within(device):
    with exact_arithmetic(device):
        assert flags() == (False,) * 4
        assert torch.are_deterministic_algorithms_enabled() == (device == OTHER)
        raise ZeroDivisionError


@pytest.mark.parametrize("device", [CPU, OTHER])
def test_products_are_in_full_precision_while_it_lasts_and_as_before_afterwards(device):
    before = flags(), torch.are_deterministic_algorithms_enabled()
    assert any(before[0])  # torch's own choice is not exact
    with pytest.raises(ZeroDivisionError):
        fail_within(device)
    assert before == (flags(), torch.are_deterministic_algorithms_enabled())


def test_a_run_says_how_sums_were_made_and_on_what():
    assert "in their order" in arithmetic(CPU)
    assert "deterministic" in arithmetic(OTHER)
    assert accelerator(CPU) is None
