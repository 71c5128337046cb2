"""Load a language model from files that are here, and see that it is whole before it is used."""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError

from harness.errors import CannotRun, Fault, HarnessError, InputError
from harness.models.hub_settings import is_offline
from harness.models.language_model import LanguageModel
from harness.models.model_files import INDEX, ModelFiles, shards_of
from harness.models.padded_batch import PaddingSide
from harness.models.tokenizer import opening
from harness.models.trial_forwards import try_family
from harness.models.waiting import waiting_for
from harness.specs.fields import WhereBos
from harness.specs.json_file import check_shape, read_mapping

Attention = Literal["eager", "sdpa"]
SPLIT = "split"  # the device that stands for all of them
# Any of these is a tokenizer, or a part of one.
TOKENIZERS = ("tokenizer.json", "*.model", "vocab.*", "merges.txt", "*.tiktoken", "tekken.json")
GGUF = ("gguf", "accelerate")  # what transformers needs to read a GGUF file


def load_model(
    files: ModelFiles,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    attention: Attention = "eager",
    padding_side: PaddingSide = "left",
    bos: WhereBos = "auto",
) -> LanguageModel:
    """Load a model and its tokenizer; raises `CannotRun` where they cannot be had or are not whole.

    Raises `InputError` where its blocks are of a kind that cannot be replayed, or BOS is asked for and
    there is none.

    Device `split` spreads the model over all devices and, where they do not suffice, main memory.
    """
    needed = GGUF if files.gguf else GGUF[1:] if device == SPLIT else ()
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        what = "reading a GGUF file" if files.gguf else "spreading a model over devices"
        raise CannotRun(
            Fault(
                files.name,
                f"{what} needs {' and '.join(missing)}",
                f"pip install {' '.join(missing)}",
            )
        )
    _check_files(files)
    source: dict[str, Any] = {"gguf_file": files.gguf} if files.gguf else {}
    # The library's bars of progress would be noise in a log; one line serves there and on a terminal.
    with waiting_for(f"loading {files.name}"), _explained(files), redirect_stderr(StringIO()):
        _check_attention(files, attention, source)
        tokenizer = _tokenizer(files, source)
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            files.folder,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **_placed(device),
            **source,
        )
    model, report = loaded
    _check_whole(files, model, report)
    placed = model if device == SPLIT else model.to(device)
    made = LanguageModel(placed, tokenizer, padding_side, bos)
    opening(tokenizer, bos, needed=False)
    try_family(made)
    return made


def _placed(device: str) -> dict[str, Any]:
    """What lets the library put weights where they are wanted, rather than by way of main memory."""
    if device == SPLIT:
        return {"device_map": "auto"}
    direct = device.startswith("cuda") and importlib.util.find_spec("accelerate")
    return {"device_map": {"": device}} if direct else {}


def _check_files(files: ModelFiles) -> None:
    """Raises where a folder holds what transformers would wait for, or ask more of than a machine has."""
    for path in files.folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):
            what = f"{path.name} in it is no regular file"
            raise CannotRun(Fault(str(files.folder), what, "take it away"))
    if (index := files.folder / INDEX).exists():
        shards_of(index)
    check_shape(read_mapping(files.folder / "config.json") or {}, files.name)


def _tokenizer(files: ModelFiles, source: Mapping[str, Any]) -> Any:
    """The model's tokenizer. Raises `CannotRun` where it has none."""
    try:
        return transformers.AutoTokenizer.from_pretrained(
            files.folder, trust_remote_code=False, **source
        )
    except Exception:
        if files.gguf or any(any(files.folder.glob(pattern)) for pattern in TOKENIZERS):
            raise
        remedy = "put its tokenizer.json or tokenizer.model beside its weights"
        if files.revision:
            remedy = "name a repository that has tokenizer.json or tokenizer.model"
            remedy += "; unset HF_HUB_OFFLINE once to fetch it" * is_offline()
        raise CannotRun(Fault(files.name, "it has no tokenizer", remedy)) from None


@contextmanager
def _explained(files: ModelFiles) -> Iterator[None]:
    """Whatever stops the loading, in one sentence."""
    try:
        yield
    except (HarnessError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # transformers raises nearly every kind
        reason = (str(error).strip().split("\n") or [""])[0] or type(error).__name__
        if isinstance(error, SafetensorError):
            reason = f"its weights are cut short or damaged ({reason})"
        raise CannotRun(
            Fault(
                str(files.folder / (files.gguf or "")),
                f"the model cannot be loaded: {reason}",
                "check that it is a causal language model whose files are complete; of the hub's cache "
                "delete the folder, and run again",
            )
        ) from error


def _check_whole(files: ModelFiles, model: Any, report: Any) -> None:
    """transformers fills weights that it does not find with random ones, and only warns."""
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        raise CannotRun(
            Fault(
                str(files.folder),
                f"{len(missing)} weights are missing, {missing[0]} among them",
                "fetch all files of the model",
            )
        )
    # Those on no device are read when they are needed.
    named = [(n, w.detach()) for n, w in model.named_parameters() if w.device.type != "meta"]
    # Told together, also of a model that is spread over devices: each telling makes the host wait.
    ends = [torch.stack(weight.aminmax()).float().isfinite().all() for _, weight in named]
    finite = torch.stack([end.to(ends[0].device) for end in ends]).tolist() if ends else []
    for (name, weight), is_finite in zip(named, finite, strict=True):
        if not is_finite:
            raise CannotRun(
                Fault(
                    str(files.folder),
                    f"{name} holds NaN or infinity in {str(weight.dtype).removeprefix('torch.')}",
                    "fetch the file again, or use --dtype bfloat16 or float32",
                )
            )


def _check_attention(files: ModelFiles, attention: Attention, source: Mapping[str, Any]) -> None:
    """Gemma 2 caps its attention scores, which SDPA cannot: some versions dropped the cap silently."""
    if attention == "eager":
        return
    config = transformers.AutoConfig.from_pretrained(
        files.folder, trust_remote_code=False, **source
    ).get_text_config()
    if getattr(config, "attn_logit_softcapping", None):
        raise InputError(
            Fault(files.name, f"{attention} attention drops the cap on its scores", "use eager")
        )
