"""SAELens' `pretrained_saes.yaml` as the table of its registry, from that file or a wheel of sae-lens."""

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.errors import CannotRun, Fault, InputError
from harness.paths import whole_file
from harness.specs.saelens import COLUMNS, MOST, dictionary_of
from harness.specs.text_file import read_text

LARGEST = 20_000_000  # bytes of the registry
IN_WHEEL = "sae_lens/pretrained_saes.yaml"
_OPENMOSS = re.compile(r"L(\d+)([RAM])(?:-|$)")
_OPENMOSS_HOOKS = {"R": "hook_resid_post", "A": "hook_attn_out", "M": "hook_mlp_out"}
# Where a loader of SAELens says that the dictionaries of its collections read, by a word of their path.
_GEMMA = (
    (r"transcoder|clt", "hook_mlp_in"),
    (r"resid_post|res", "hook_resid_post"),
    (r"att", "attn.hook_z"),
    (r"mlp", "hook_mlp_out"),
)
_ONE_PLACE = {
    "gemma_2_transcoder": "ln2.hook_normalized",
    "mwhanna_transcoder": "mlp.hook_in",
    "mntss_clt_layer_transcoder": "hook_mlp_in",
    "qwen_scope": "hook_resid_post",
    "dictionary_learning_1": "hook_resid_post",
    "sparsify": "hook_resid_post",
    "temporal": "hook_resid_post",
    "goodfire": "hook_resid_post",
    "deepseek_r1": "hook_resid_post",
}


def refresh(source: Path, table: Path) -> int:
    """Write the table of a registry; how many dictionaries it has.

    `source` is a `pretrained_saes.yaml` or a wheel of sae-lens. Raises `InputError` where it is neither,
    and `CannotRun` where the table cannot be written.
    """
    rows = list(rows_of(_parsed(source), str(source)))
    text = io.StringIO()
    lines = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    try:
        with whole_file(table) as part:
            part.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise CannotRun(
            Fault(str(table), what, "make room, or change whose folder it is")
        ) from None
    return len(rows)


def rows_of(registry: Any, where: str) -> Iterator[dict[str, str]]:
    """A row for each dictionary of a registry. Raises `InputError` where it is none."""
    seen = 0
    try:
        for release, facts in registry.items():
            for one in facts["saes"]:
                seen += 1
                if seen > MOST:
                    raise ValueError(f"it has more than {MOST:,} dictionaries")
                row = _row(str(release), facts, one)
                dictionary_of([*row.values()])
                yield row
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        why = str(error) if type(error) is ValueError else "it has no releases with their `saes`"
        raise InputError(_no_registry(where, why)) from None


def _row(release: str, facts: dict[str, Any], one: dict[str, Any]) -> dict[str, str]:
    loader = facts.get("conversion_func") or "sae_lens"
    path, changes = str(one["path"]), facts.get("config_overrides") or {}
    of_model = changes.get("model_from_pretrained_kwargs") or {}
    l0, factor = one.get("l0"), one.get("norm_scaling_factor")
    return {
        "release": release,
        "model": facts["model"],
        "repository": facts["repo_id"],
        "loader": loader,
        "id": one["id"],
        "path": path,
        "hook_point": _hook_point(loader, facts["repo_id"], one["id"], path),
        "l0": str(round(l0)) if l0 else "",
        "factor": str(factor) if factor is not None else "",
        "centred": "1" if of_model.get("center_writing_weights") else "",
        "norm": changes.get("normalize_activations") or "",
        "neuronpedia": one.get("neuronpedia") or "",
    }


def _hook_point(loader: str, repository: str, name: str, path: str) -> str:
    """Where a dictionary reads, as SAELens' loader says it; empty where that is not known."""
    if loader in ("sae_lens", "connor_rob_hook_z"):
        found = re.match(r"blocks\.\d+\.[a-z_]*[a-z]", name)
        return found[0] if found else ""
    if match := _OPENMOSS.search(path):
        return f"blocks.{match[1]}.{_OPENMOSS_HOOKS[match[2]]}"
    if "embedding" in path:
        return "hook_embed"
    layer = re.search(r"layer_?(\d+)|^(\d+)$|-l(\d+)\.pth?$", path)
    if layer is None:
        return ""
    hook = _ONE_PLACE.get(loader, "")
    if loader in ("gemma_2", "gemma_3"):
        place = path if loader == "gemma_3" else repository.rpartition("-")[2]
        hook = next((hook for words, hook in _GEMMA if re.match(words, place)), "")
    return f"blocks.{next(filter(None, layer.groups()))}.{hook}" if hook else ""


def _parsed(source: Path) -> Any:
    """What a registry's YAML holds, of bounded size and depth."""
    try:
        # The same in C, where it was built: five times as fast.
        safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load(_text(source), safe)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(_no_registry(str(source), " ".join(str(error).split())[:200])) from None


def _text(source: Path) -> str:
    if not zipfile.is_zipfile(source):
        return read_text(source, LARGEST)
    try:
        with zipfile.ZipFile(source) as wheel, wheel.open(IN_WHEEL) as file:
            data = file.read(LARGEST + 1)
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(_no_registry(str(source), str(error))) from None
    if len(data) > LARGEST:
        raise InputError(_no_registry(str(source), f"{IN_WHEEL} is too large"))
    return data.decode("utf-8", "replace")


def _no_registry(where: str, why: str) -> Fault:
    remedy = (
        "name a wheel of sae-lens (pip download --no-deps sae-lens), or its pretrained_saes.yaml"
    )
    return Fault(where, f"it is no registry of SAELens: {why}", remedy)
