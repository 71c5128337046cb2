"""What a process does that knows no hub but the tests' own, and what lies on that hub."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.helpers import ROOT
from tests.helpers.hub_server import Hub

BIG = 12_000_000  # more than the library reads at once: it writes only whole blocks
NOBODY = "http://127.0.0.1:9"
# Expressions of `hub_child`.
PLAIN = "hub.fetch('lab/model', 'config.json', 'main')"
LARGE = "hub.fetch('lab/large', 'big.bin', 'main')"
LIST = "list(hub.files_of('lab/model', 'main'))"
MODEL = "model(model='lab/model')"
SHARDS = {
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}
    ),
    "one.safetensors": "1",
    "two.safetensors": "2",
}
SAES = (
    "layer_3/width_16k/average_l0_20/params.npz",
    "layer_3/width_16k/average_l0_90/params.npz",
    "layer_3/width_65k/average_l0_80/params.npz",
    "layer_4/width_16k/average_l0_50/params.npz",
    "mlp/layer_5/width_16k/average_l0_50/params.npz",
    "resid_post/layer_6_width_16k_l0_medium/params.safetensors",
    "resid_post/layer_6_width_16k_l0_medium/config.json",
    "blocks.7.hook_resid_post/sae_weights.safetensors",
    "blocks.7.hook_resid_post/cfg.json",
    "resid_post_layer_8/trainer_0/ae.pt",
    "resid_post_layer_8/trainer_0/config.json",
    "Base-L10R-8x/checkpoints/final.safetensors",
    "Base-L10R-8x/hyperparams.json",
    "L11R/sae_weights.safetensors",
    "L11R/config.json",
    "Base-L12M-8x/checkpoints/final.safetensors",
)


def environment(home: Path, hub: Hub | str, **more: str) -> dict[str, str]:
    """Of a process that knows no hub but this one, or this address, and no token."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    kept = {k: v for k, v in kept.items() if not k.lower().endswith("_proxy")}
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    own = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "OMP_NUM_THREADS": "1"}
    return kept | own | more


def child(
    expression: str, home: Path, hub: Hub | str, **more: str
) -> subprocess.CompletedProcess[str]:
    """What a fresh process says of an expression."""
    return subprocess.run(
        [sys.executable, "-m", "tests.helpers.hub_child", expression],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(home, hub, **more),
        timeout=60,
    )


def without_waits(errors: str) -> str:
    """Standard error without the lines that tell what is waited for: a busy machine waits long."""
    lines = errors.splitlines(keepends=True)
    return "".join(line for line in lines if not re.fullmatch(r"  .*\(\d+ s\)\n", line))


def assert_refused(done: subprocess.CompletedProcess[str], *words: str, status: int = 3) -> None:
    """It is refused in one sentence, and the library adds none."""
    assert done.returncode == status, done.stderr
    lines = without_waits(done.stderr).splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for part in words:
        assert part in lines[0]


def answer_of(done: subprocess.CompletedProcess[str]) -> str:
    """What it printed, once it worked."""
    assert (done.returncode, without_waits(done.stderr)) == (0, "")
    return done.stdout.strip()
