"""Tensors of a `.pt` file, read without running what it holds.

torch's restricted unpickler makes tensors and plain containers and refuses every other name in the file.
The data is mapped, so that the headers tell before it is read.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from harness.sae.weight_checks import Broken

LARGEST = 1 << 20  # bytes of the part that is unpickled: a state dictionary has a few thousand
_REMEDY = "save its state_dict() alone, with torch.save"


def open_pt(path: Path, broken: Broken) -> Mapping[str, Tensor]:
    """The tensors of a state dictionary by name, not read yet.

    Raises what `broken` makes, where it is none or would have to run code.
    """
    _check_parts(path, broken)
    try:
        found = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text advises to run it.
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"names {named[1]}" if named else "is no pickle of tensors"
        raise broken(f"it {what}, and no code of it is run", _REMEDY) from None
    except OSError:
        raise
    except Exception as error:  # a damaged file makes torch raise nearly every kind
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise broken(f"it cannot be read: {reason}") from None
    if not isinstance(found, dict):
        raise broken(f"it holds a {type(found).__name__}, not tensors by name", _REMEDY)
    return {str(key): _checked(str(key), value, broken) for key, value in found.items()}


def _checked(name: str, value: object, broken: Broken) -> Tensor:
    """A plain tensor whose data are all in the file."""
    if not isinstance(value, Tensor):
        raise broken(f"{name} is a {type(value).__name__}, not a tensor", _REMEDY)
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise broken(f"{name} is no plain tensor", _REMEDY)
    # Strides of 0 make a few bytes a tensor of any size.
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise broken(f"{name} has more numbers than the file", _REMEDY)
    return value.detach()


def _check_parts(path: Path, broken: Broken) -> None:
    """Refuse what is no zip as torch writes it since 1.6, before torch sees it."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except OSError:
        raise
    except Exception as error:
        what = f"it is no file of torch.save, or cut short: {error}"
        raise broken(what, "fetch it again, or save it with torch 1.6 or later") from None
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise broken("it is packed, which torch's files are not", _REMEDY)
    if any(part.filename.endswith("data.pkl") and part.file_size > LARGEST for part in parts):
        raise broken("what would be unpickled is too large for weights", _REMEDY)
