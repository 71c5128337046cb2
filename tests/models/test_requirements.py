"""What a run needs is known before anything is fetched or loaded."""

from safetensors.torch import load_file

from harness.models.requirements import model_bytes, needs, parameters
from harness.models.sae_files import sae_bytes
from harness.paths import bundled
from harness.specs.target_choice import TargetChoice
from harness.specs.targets import load_targets, resolve


def test_a_size_is_known_before_anything_is_fetched():
    """The published file of this shape has 1,208,494,296 bytes: the arrays and their headers."""
    target = resolve("gemma-2-2b", TargetChoice(width="65k"))
    assert 0 < 1_208_494_296 - sae_bytes(target) < 3_000
    assert {need.here for need in needs(target, (0, 6))} == {False}


def test_a_local_models_size_is_known_by_its_headers(tmp_path):
    """Whether it fits on a device is asked before it is loaded."""
    organism = load_targets()["organism"]
    assert parameters(organism) == sum(
        tensor.numel()
        for tensor in load_file(bundled("fixtures", "organism", "model.safetensors")).values()
    )
    assert model_bytes(organism) == 4 * parameters(organism)
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    assert parameters(resolve("organism", TargetChoice(model=str(tmp_path)), tmp_path)) is None
