"""A second device without hardware, by which a CPU stands in for a GPU where one would be wrong or wait.

A tensor of it is an empty shell that carries one on the processor. Every operation is done there, and
looked at before: whether it mixes devices, makes the host wait, or adds floats up in no order. It is
torch's PrivateUse1 with a backend in Python, which cannot be taken back: import it in a process of its own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from traceback import extract_stack
from typing import Any
from weakref import finalize

import torch
from torch.utils._pytree import tree_any, tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
# Indices may lie on the processor, as with CUDA; then they are copied, and the host waits.
INDEXED = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"}
# Whose result's size depends on values, so that the host waits for them.
COUNTED = {
    "aten::nonzero",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::masked_select",
    "aten::equal",
    "aten::bincount",
    "aten::repeat_interleave",
}
# What CUDA adds up with atomics, floats in any order (`torch.use_deterministic_algorithms`).
UNORDERED = {
    "aten::index_add",
    "aten::scatter_add",
    "aten::scatter_reduce",
    "aten::cumsum",
    "aten::put",
    "aten::histc",
    "aten::bincount",
}
PRODUCTS = {"aten::mm": torch.mm, "aten::bmm": torch.bmm}


@dataclass
class Device:
    """What happened on the device, and how it shall behave."""

    operations: int = 0
    waits: Counter[str] = field(default_factory=Counter)  # by the line of the harness
    unordered: Counter[str] = field(default_factory=Counter)
    mixed: Counter[str] = field(default_factory=Counter)
    noise: Callable[[torch.Tensor], torch.Tensor] | None = None  # of a product, in float32
    has_double: bool = True
    allocations: int = 0
    full_at: int = 0  # the allocation that fails
    failures: int = 0  # how many others still fail, each the first one of its line of the harness
    failed: set[str] = field(default_factory=set)  # lines that had theirs
    held: Counter[int] = field(default_factory=Counter)  # shells of each storage that is in use
    sizes: dict[int, int] = field(default_factory=dict)  # of these storages, in bytes
    bytes: int = 0  # of all of them
    most: int = 0  # that `bytes` was since somebody set it


pretend = Device()


class _Module:
    is_initialized = is_available = staticmethod(lambda: True)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda _: None)


_setup_privateuseone_for_python_backend(NAME, _Module())


def by_shape(product: torch.Tensor) -> torch.Tensor:
    """Noise of kernels that are chosen by a product's shape."""
    return product * (1 + 2**-20 * (sum(product.shape) % 7 - 3))


def by_tile(product: torch.Tensor) -> torch.Tensor:
    """Noise of kernels that divide rows into tiles: it depends on a row's place in the product."""
    rows = product.shape[-2]
    tile = torch.arange(rows) // 16 % 5 - 2
    return product * (1 + 2**-19 * tile[:, None])


def is_here(value: object) -> bool:
    """Whether it is a tensor of this device."""
    return isinstance(value, torch.Tensor) and value.device.type == NAME


def shell(inner: Any) -> Any:
    """A tensor of this device that carries a tensor of the processor."""
    if not isinstance(inner, torch.Tensor) or is_here(inner):
        return inner
    if inner.dtype == torch.float64 and not pretend.has_double:
        raise TypeError("this device has no float64")
    made = torch._C._acc.create_empty_tensor(tuple(inner.shape), inner.dtype)
    made.untyped_storage().inner = inner  # aliases share the storage, and so what it carries
    storage = inner.untyped_storage()
    key, size = storage._cdata, storage.nbytes()
    pretend.held[key] += 1
    finalize(made.untyped_storage(), _let_go, key)
    if pretend.held[key] == 1:
        pretend.sizes[key] = size
        pretend.bytes += size
        pretend.most = max(pretend.most, pretend.bytes)
        _allocate()
    return made


def _allocate() -> None:
    pretend.allocations += 1
    if pretend.failures and (line := _line()) not in pretend.failed:
        pretend.failures -= 1
        pretend.failed.add(line)
    elif pretend.allocations != pretend.full_at:
        return
    raise torch.OutOfMemoryError("the device is out of memory, as it was told to be")


def _let_go(key: int) -> None:
    pretend.held[key] -= 1
    if not pretend.held[key]:
        del pretend.held[key]
        pretend.bytes -= pretend.sizes.pop(key)


def carried(value: Any) -> Any:
    """What a tensor of this device carries; for the device, the processor; else the same."""
    if is_here(value):
        inner = value.untyped_storage().inner
        assert inner.shape == value.shape, "a view that this device does not know"
        return inner
    return torch.device("cpu") if value == torch.device(NAME) else value


def _line() -> str:
    """Where in the harness the operation is asked for."""
    own = [
        frame
        for frame in extract_stack()
        if "/harness/" in frame.filename and not frame.filename.endswith("/transfer.py")
    ]
    return f"{own[-1].filename.rsplit('/harness/')[-1]}:{own[-1].lineno}" if own else "elsewhere"


def _watch(name: str, args: Any, kwargs: Any) -> None:
    pretend.operations += 1
    strict = (*args[:1], *args[2:]) if name in INDEXED else (args, kwargs)

    def is_elsewhere(value: object) -> bool:
        return isinstance(value, torch.Tensor) and value.dim() > 0 and not is_here(value)

    if tree_any(is_elsewhere, strict):
        pretend.mixed[_line()] += 1
        raise RuntimeError(f"{name} mixes {NAME} and cpu at {_line()}")
    if name in INDEXED:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype == torch.bool or not is_here(index) for index in indices):
            pretend.waits[_line()] += 1
    if name in COUNTED:
        pretend.waits[_line()] += 1
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if name.rstrip("_") in UNORDERED and any(tensor.is_floating_point() for tensor in tensors):
        pretend.unordered[_line()] += 1


def _is_bare(argument: Any, value: object) -> bool:
    return str(argument.type) == "Tensor" and isinstance(value, bool | int | float)


def call(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operation, done on the processor with what its tensors carry."""
    schema, name = op._schema, op._schema.name
    _watch(name, args, kwargs)
    if pretend.noise and name in PRODUCTS:
        # Accumulated in float32, as by a card's kernels, disturbed there, and rounded once.
        product = PRODUCTS[name](*(carried(factor).float() for factor in args[:2]))
        found = pretend.noise(product).to(args[0].dtype)
        if "out" in kwargs:
            found = carried(kwargs["out"]).resize_(found.shape).copy_(found)
    else:
        inner = [
            # A number in the place of a tensor comes as one, and is taken as one only without dimensions.
            torch.tensor(value) if _is_bare(argument, value) else tree_map(carried, value)
            for argument, value in zip(schema.arguments, args, strict=False)
        ]
        found = op(*inner, **tree_map(carried, kwargs))
    given = {
        argument.name: kwargs.get(argument.name, args[i] if i < len(args) else None)
        for i, argument in enumerate(schema.arguments)
    }
    written = {
        frozenset(argument.alias_info.before_set): argument.name
        for argument in schema.arguments
        if argument.alias_info and argument.alias_info.is_write
    }
    results = []
    several = len(schema.returns) > 1
    for returned, value in zip(schema.returns, found if several else [found], strict=False):
        if returned.alias_info and returned.alias_info.is_write:
            own = given[written[frozenset(returned.alias_info.before_set)]]
            if own.shape != own.untyped_storage().inner.shape:  # an `out` that was empty
                own.data = shell(own.untyped_storage().inner)
            results.append(own)
        else:
            results.append(tree_map(shell, value))
    return tuple(results) if several else results[0] if results else None


def _copy(source: torch.Tensor, target: torch.Tensor, *_: bool) -> torch.Tensor:
    pretend.operations += 1
    if is_here(source) != is_here(target):
        pretend.waits[_line()] += 1
    carried(target).copy_(carried(source))
    return target


def _item(value: torch.Tensor) -> Any:
    pretend.waits[_line()] += 1
    return carried(value).item()


def _strided(value: torch.Tensor, size: Any, stride: Any, offset: Any = None) -> torch.Tensor:
    inner = carried(value)
    is_whole = inner.is_contiguous() and not inner.storage_offset()
    return shell((inner if is_whole else inner.clone()).as_strided(size, stride, offset))


def _in_place(change: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """What changes a tensor's shape alone, done to the shell as well."""

    def changed(value: torch.Tensor, *args: Any) -> torch.Tensor:
        value.data = shell(change(carried(value), *args))
        return value

    return changed


def _register() -> list[torch.library.Library]:
    every = torch.library.Library("_", "IMPL")
    every.fallback(call, "PrivateUse1")
    some = torch.library.Library("aten", "IMPL")

    def put(name: str, function: Callable[..., Any]) -> None:
        some.impl(name, function, "PrivateUse1")

    def empty(size: Any, *_: Any, dtype: Any = None, **__: Any) -> Any:
        return shell(torch.empty(size, dtype=dtype))

    put("empty.memory_format", lambda size, *, dtype=None, **_: empty(size, dtype=dtype))
    put("empty_strided", lambda size, _, *, dtype=None, **__: empty(size, dtype=dtype))
    put("_copy_from", _copy)
    put("_local_scalar_dense", _item)
    put("as_strided", _strided)
    for name in ("view", "_unsafe_view"):
        put(name, lambda value, size: shell(carried(value).reshape(size)))
    put("_reshape_alias", lambda value, size, _: shell(carried(value).reshape(size)))
    for name in ("squeeze_", "squeeze_.dim", "unsqueeze_", "transpose_", "t_"):
        put(name, _in_place(getattr(torch.Tensor, name.partition(".")[0].rstrip("_"))))
    # A shell says that it is contiguous: what reckons with strides is handed on as a whole.
    for name in [
        "expand",
        "transpose.int",
        "permute",
        "t",
        "squeeze",
        "squeeze.dim",
        "squeeze.dims",
        "unsqueeze",
        "select.int",
        "slice.Tensor",
        "unfold",
        "diagonal",
        "split.Tensor",
        "split_with_sizes",
        "unbind.int",
        "unsafe_split.Tensor",
        "unsafe_split_with_sizes",
        "chunk",
        "view.dtype",
        "index.Tensor",
        "index_put_",
        "gather",
    ]:
        packet, _, overload = name.partition(".")
        kind = getattr(getattr(torch.ops.aten, packet), overload or "default")
        put(name, lambda *args, _kind=kind, **kwargs: call(_kind, *args, **kwargs))
    return [every, some]


_LIBRARIES = _register()  # they unregister when they are collected
