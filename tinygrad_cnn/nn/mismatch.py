"""What a shape that does not fit means for the layer it arrived at: where that layer is, and what to change.

A module does not know its own path.  So the note on the error is begun by the module it was raised in, and every module
around that one puts its child's name in front, as the exception passes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..autograd import Tensor
from ..errors import ShapeError

if TYPE_CHECKING:
    from .module import Module


def explain(error: ShapeError, module: Module, arguments: tuple[Any, ...]) -> None:
    """Say in the error's note in which module it happened; called once by every module it passes, from inside out.

    Args:
        error: the exception on its way; ``error.place``, if there is one, is what the module inside has noted.
        module: the module whose forward it left.
        arguments: what that module was called with.
    """
    inner: Place | None = getattr(error, "place", None)
    if inner is None:
        place = Place(module, "", arguments)
        error.__notes__ = [*getattr(error, "__notes__", ()), place.note()]
    else:
        child = inner.outermost  # usually a submodule, but a module may be kept anywhere
        name = next((n for n, m in module.named_modules() if n and m is child), type(child).__name__)
        place = Place(inner.module, f"{name}.{inner.path}" if inner.path else name, inner.arguments)
        place.outermost = module
        notes = error.__notes__
        notes[notes.index(inner.note())] = place.note()
    error.place = place  # type: ignore[attr-defined]


class Place:
    """The module an error was raised in, its path as far as it is known, and what it was called with."""

    def __init__(self, module: Module, path: str, arguments: tuple[Any, ...]) -> None:
        self.module, self.path, self.arguments = module, path, arguments
        self.outermost = module

    def note(self) -> str:
        """``fc1 = Linear(320, 50) got (64, 9216): set in_features=9216``."""
        shapes = [tuple(a.shape) for a in self.arguments if isinstance(a, Tensor)]
        where = f"{self.path} = " if self.path else ""
        got = " and ".join(map(str, shapes)) or "no Tensor"
        change = remedy(self.module, shapes[0]) if shapes else ""
        return f"{where}{signature(self.module)} got {got}{': ' if change else ''}{change}"


def signature(module: Module) -> str:
    """The module as one writes it in code, ``Linear(320, 50)``; only the class where it contains others."""
    sizes = _sizes(module)
    if sizes is not None:
        kernel = getattr(module, "kernel_size", None)
        return f"{type(module).__name__}({', '.join(map(str, sizes))}{f', kernel_size={kernel}' if kernel else ''})"
    return type(module).__name__ if module._modules else " ".join(repr(module).split())


def _sizes(module: Module) -> tuple[int, ...] | None:
    for names in (("in_features", "out_features"), ("in_channels", "out_channels")):
        if all(hasattr(module, name) for name in names):
            return tuple(getattr(module, name) for name in names)
    return None


def remedy(module: Module, shape: tuple[int, ...]) -> str:
    """What to change so that a layer takes an input of this shape; empty if there is nothing that surely helps."""
    features = getattr(module, "in_features", None)
    if features is not None and shape and shape[-1] != features:
        if len(shape) > 2 and math.prod(shape[1:]) == features:
            return f"flatten the input first, nn.Flatten() or x.flatten(1), which gives {(shape[0], features)}"
        if len(shape) > 2:
            joined = math.prod(shape[1:])
            return f"flatten the input first (x.flatten(1) gives {(shape[0], joined)}) and set in_features={joined}"
        return f"set in_features={shape[-1]}"
    if hasattr(module, "in_channels"):
        return _channel_remedy(module.in_channels, shape)
    dimensions = getattr(module, "dimensions", ())
    if len(shape) in dimensions and shape[1] != module.num_features:
        return f"set num_features={shape[1]}"
    if hasattr(module, "kernel_size") and len(shape) in (3, 4):
        return _too_small(shape)
    return ""


def _channel_remedy(channels: int, shape: tuple[int, ...]) -> str:
    """The remedy for a layer that wants images of so many channels."""
    if len(shape) not in (3, 4):
        return "it needs images, (N, C, H, W)"
    if shape[-3] == channels:
        return _too_small(shape)
    if len(shape) == 4 and shape[-1] == channels:
        return f"put the channels before the pixels, x.permute(0, 3, 1, 2), or set in_channels={shape[-3]}"
    return f"set in_channels={shape[-3]}"


def _too_small(shape: tuple[int, ...]) -> str:
    return f"only {shape[-2]}×{shape[-1]} pixels are left here: use a smaller window, padding, or one layer less"
