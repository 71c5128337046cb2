"""Whether the name of a collection says that its dictionaries are of another hook than is asked for."""

from harness.errors import Fault, InputError
from harness.specs.local_paths import local_path
from harness.specs.sae_catalogue import collection_of
from harness.specs.sae_places import word_of
from harness.specs.saelens import SAELENS
from harness.specs.sites import Hook

EARLIER = (
    "resid_pre",
    "resid_post",
)  # what reads a block's input reads the stream after the one below


def check_hook(sae: str, catalogue: str | None, hook: Hook) -> None:
    """Raises `InputError` where a collection's name tells another hook; a release's is in the registry."""
    collection = collection_of(sae, local=local_path(sae) is not None)
    told = None if (catalogue or "").startswith(SAELENS) else word_of(collection)
    if told is None or told[0] == hook or (told[0], hook) == EARLIER:
        return
    other, word = told
    what = f"its SAEs are of another site ({word}) than {hook}"
    several = "name SAEs of one block: what writes at several, or reads the embedding, is not read"
    raise InputError(Fault(sae, what, f"write `hook: {other}`" if other else several))
