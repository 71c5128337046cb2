"""What a process is asked for that knows no hub but the tests' own.

    python -m tests.helpers.hub_child "hub.fetch('lab/model', 'config.json', 'main')"

prints what the expression gives; a refusal is reported as the command line reports it. The library reads
its settings from the environment at import, so each question has a process of its own.
"""

import sys
import time

import harness.models  # before the library, as the command line does

# isort: split
from huggingface_hub import constants, file_download

from harness.cli.exit_status import exit_with_status
from harness.models import hub_download as hub
from harness.models import model_files as sources
from harness.models import waiting
from harness.models.model_files import model_files
from harness.models.sae_files import sae_file
from harness.specs.target_choice import TargetChoice
from harness.specs.targets import resolve

__all__ = ["harness", "hub", "sources"]  # for the expression


def impatient():
    """Wait for a hub that is slow a fifth of a second, and not a minute at each try."""
    file_download._ETAG_RETRY_TIMEOUT = 0.2
    constants.HF_HUB_ETAG_TIMEOUT = constants.HF_HUB_DOWNLOAD_TIMEOUT = 0.2


def eager():
    """Tell at once what is waited for, and do not wait for long."""
    impatient()
    waiting.PATIENCE = waiting.EVERY = 0.05


def model(**choice):
    found = model_files(resolve("t", TargetChoice(layers="none", **choice)))
    return found.folder, found.name, found.revision, [path.name for path in found.weights]


def sae(layer, name="t", **choice):
    path = sae_file(resolve(name, TargetChoice(**choice)), layer)
    return str(path).partition("/snapshots/")[2]


@exit_with_status
def answer(expression):
    print(eval(expression))


if __name__ == "__main__":
    time.sleep = lambda seconds: None  # the library waits seconds between its tries
    answer(sys.argv[1])
