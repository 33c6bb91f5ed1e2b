"""Where one number comes from: an output of a layer as patch × filter + bias, a weight's gradient as a sum of places.

Reference: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, 2016;
I. Goodfellow, Y. Bengio, A. Courville, "Deep Learning", MIT Press, 2016, section 9.2 (parameter sharing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Op, Tensor, enable_grad, grad, inference_mode, no_grad
from ..autograd.engine import edge_of
from ..errors import DimError, DTypeError, GraphError, ShapeError
from ..nn import Conv2d, Linear, MaxPool2d, Module
from ..nn.mismatch import signature
from ..ops.pooling import Window
from ..ops.window import pair
from .explanations import Explanation, GradientExplanation, Index
from .plan import check_model, unknown_name
from .trace import evaluation, unchanged

# ---------------------------------------------------------------- the two questions


def explain(model: Module, x: Tensor, layer: str, position: int | Sequence[int], image: int = 0) -> Explanation:
    """How one output number of a layer comes about: patch × filter + bias.

    The network runs once in evaluation mode; parameters, buffers, random state and modes are afterwards what they were.

    Args:
        model: the network.
        x: its input, a batch (N, ...) or whatever it takes.
        layer: the dotted path of a Conv2d, Linear or MaxPool2d; of a layer that is called several times, its first
            call is explained.
        position: (channel, row, column) of a convolution's or pooling layer's output; the feature of a linear layer's,
            an int or a tuple with the places before it.
        image: which image of the batch.  Default 0.

    Returns:
        The Explanation; ``print`` shows the calculation.

    Raises:
        KeyError: no layer has this path; the most similar ones are named.
        TypeError: model is no Module, or the layer is of another kind.
        DTypeError: x is no Tensor, a position is no int.
        ShapeError: a position with another number of places than the layer's output.
        DimError: a position or an image outside the output.
        GraphError: the layer was not called.
    """
    module = _layer("explain", model, layer, (Conv2d, Linear, MaxPool2d))
    if not isinstance(x, Tensor):
        raise DTypeError(f"explain: x must be a Tensor, got {type(x).__name__}")
    with evaluation(model), unchanged(model), no_grad():
        uses = _uses("explain", layer, module, lambda: model(x))
    source, out = uses[0].input, uses[0].output
    n = _position("explain", "image", image, out.shape[:1])[0]
    at = _position("explain", "position", position, out.shape[1:])
    recorded = float(out[n][at])
    if isinstance(module, MaxPool2d):
        window = window_of(module)
        place = _corner(window, *at[1:])
        patch = _patch(source[n, at[0]], window, place, -np.inf)
        value = float(patch.max())  # NaN if there is one
        return Explanation(layer, signature(module), at, place, patch, None, 0.0, value, recorded)
    corner: tuple[int, int] | None = None
    first = 0
    if isinstance(module, Linear):
        unit, patch = at[-1], source[n][at[:-1]]
    else:
        unit, window = at[0], window_of(module)
        corner, first = _corner(window, *at[1:]), _first_channel(module, unit)
        patch = _patch(source[n, first : first + module.weight.shape[1]], window, corner, 0.0)
    weights = module.weight._array[unit].copy()
    bias = 0.0 if module.bias is None else float(module.bias._array[unit])
    value = float((patch.astype(np.float64) * weights).sum() + bias)
    if uses[0].rectified:
        value = max(value, 0.0)
    return Explanation(layer, signature(module), at, corner, patch, weights, bias, value, recorded, first)


def explain_grad(
    model: Module, loss_fn: Callable[..., Tensor], batch: Sequence[Any], layer: str, index: Sequence[int]
) -> GradientExplanation:
    """The positions that add up to one weight's gradient, which is what sharing a parameter means.

    With g the derivative of the loss by the layer's output, a convolution's weight has the gradient

        ∂loss/∂w[o, c, p, q] = Σ g[n, o, i, j] · x[n, c, i·s + p·d − pad, j·s + q·d − pad]    over n, i, j.

    The network runs once, forward and backward, in the mode it is in.  Parameters, gradients, buffers and the random
    state are afterwards what they were.

    Args:
        model: the network.
        loss_fn: called as ``loss_fn(model(input), target)``; gives one number.
        batch: the pair (input, target).
        layer: the dotted path of a Conv2d or Linear.
        index: which weight: (o, c, p, q) of a convolution, (o, k) of a linear layer.

    Returns:
        The GradientExplanation; ``print`` shows the largest contributions and their sum.

    Raises:
        KeyError, TypeError, DTypeError, ShapeError, DimError: as ``explain``.
        GraphError: the layer was not called, its weight does not require grad, or the loss does not depend on it.
    """
    module = _layer("explain_grad", model, layer, (Conv2d, Linear))
    assert isinstance(module, Conv2d | Linear)
    inputs, target = checked_batch("explain_grad", batch)
    weight = module.weight
    at = _position("explain_grad", "index", index, weight._array.shape)
    if not weight.requires_grad:
        raise GraphError(f"explain_grad: {layer}.weight does not require grad, so it has no gradient")
    with inference_mode(False), unchanged(model), enable_grad():
        losses: list[Tensor] = []
        uses = _uses("explain_grad", layer, module, lambda: losses.append(loss_fn(model(inputs), target)))
        arrived: dict[int, np.ndarray] = {}
        for number, use in enumerate(uses):
            _note_gradient(use, arrived, number)
        (gradient,) = grad(losses[0], [weight])
    assert gradient is not None
    pairs = [_terms(module, use, arrived.get(number), at) for number, use in enumerate(uses)]
    return GradientExplanation(
        layer,
        signature(module),
        at,
        float(weight._array[at]),
        tuple(x for x, _ in pairs),
        tuple(g for _, g in pairs),
        float(gradient._array[at]),
    )


# ---------------------------------------------------------------- one call of a layer


@dataclass(eq=False)
class _Use:
    """What went into a call of a layer and came out, as copies with the batch in front, and what made the output.

    ``rectified`` says that the call also applied a ReLU; ``added`` that the batch dimension is ours.
    """

    input: np.ndarray
    output: np.ndarray
    edge: tuple[Any, int]
    rectified: bool
    added: bool


def _uses(who: str, path: str, module: Module, run: Callable[[], Any]) -> list[_Use]:
    """The calls of a layer during a run."""
    found: list[_Use] = []

    def note(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        x = args[0] if args else kwargs["input"]
        out = output[0] if isinstance(output, tuple) else output
        added = x.ndim == (1 if isinstance(module, Linear) else 3)
        before, behind = x._array.copy(), out._array.copy()  # copies: the network may write to them later
        if added:
            before, behind = before[None], behind[None]
        rectified = any(isinstance(a, str) and a == "relu" for a in (*args[1:], *kwargs.values()))
        found.append(_Use(before, behind, edge_of(out), rectified, added))

    handle = module.register_forward_hook(note, prepend=True, with_kwargs=True)
    try:
        run()
    finally:
        handle.remove()
    if not found:
        raise GraphError(f"{who}: the network did not call {path!r}, so there is nothing to explain")
    return found


def _note_gradient(use: _Use, arrived: dict[int, np.ndarray], number: int) -> None:
    """Keep the gradient that arrives at a call's output."""

    def keep(gradient: Tensor) -> None:
        arrived[number] = gradient._array.copy()

    node, index = use.edge
    if isinstance(node, Op):
        node.register_hook(keep, index)


def _terms(
    module: Conv2d | Linear, use: _Use, gradient: np.ndarray | None, index: Index
) -> tuple[np.ndarray, np.ndarray]:
    """What a weight was multiplied with in a call, and the gradient of the output, at every place."""
    g = np.zeros_like(use.output) if gradient is None else gradient[None] if use.added else gradient
    if use.rectified:
        g = np.where(use.output <= 0, g.dtype.type(0), g)
    if isinstance(module, Linear):
        return use.input[..., index[1]], g[..., index[0]]
    o, c, p, q = index
    x = use.input[:, _first_channel(module, o) + c]
    window, (OH, OW) = window_of(module), g.shape[2:]
    rows = np.arange(OH) * window.stride[0] + p * window.dilation[0] - window.padding[0]
    columns = np.arange(OW) * window.stride[1] + q * window.dilation[1] - window.padding[1]
    return _read(x, rows, columns, 0.0), g[:, o]


def _corner(window: Window, row: int, column: int) -> tuple[int, int]:
    """The image's row and column at which the window of an output begins."""
    return row * window.stride[0] - window.padding[0], column * window.stride[1] - window.padding[1]


def _patch(x: np.ndarray, window: Window, corner: tuple[int, int], outside: float) -> np.ndarray:
    """The window (..., KH, KW) of x (..., H, W) that begins at a corner."""
    rows, columns = (corner[a] + np.arange(window.size[a]) * window.dilation[a] for a in (0, 1))
    return _read(x, rows, columns, outside)


def window_of(module: Any) -> Window:
    """The window that a Conv2d or MaxPool2d slides over its image."""
    size, dilation = (pair("explain", name, getattr(module, name), 1) for name in ("kernel_size", "dilation"))
    stride = pair("explain", "stride", module.stride, 1)
    if not isinstance(module.padding, str):
        padding = pair("explain", "padding", module.padding, 0)
    elif module.padding == "same":  # where it is odd, one more lies below and right, and reads zeros like all outside
        padding = (dilation[0] * (size[0] - 1) // 2, dilation[1] * (size[1] - 1) // 2)
    else:
        padding = (0, 0)
    return Window(size, stride, padding, dilation)


def _read(x: np.ndarray, rows: np.ndarray, columns: np.ndarray, outside: float) -> np.ndarray:
    """``x[..., rows, columns]`` with a value for what lies outside the image."""
    H, W = x.shape[-2:]
    inside = ((rows >= 0) & (rows < H))[:, None] & ((columns >= 0) & (columns < W))
    values = x[..., np.clip(rows, 0, H - 1)[:, None], np.clip(columns, 0, W - 1)]
    return np.where(inside, values, x.dtype.type(outside))


def _first_channel(module: Conv2d, channel: int) -> int:
    """The first input channel that the group of an output channel reads."""
    return channel // (module.out_channels // module.groups) * (module.in_channels // module.groups)


# ---------------------------------------------------------------- arguments


def _layer(who: str, model: Any, path: Any, kinds: tuple[type[Module], ...]) -> Any:
    check_model(who, model)
    modules = dict(model.named_modules(remove_duplicate=False))
    if path not in modules:
        raise KeyError(unknown_name(who, path, [name for name, m in modules.items() if isinstance(m, kinds)]))
    if not isinstance(modules[path], kinds):
        names = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{who}: layer {path!r} must be one of {names}, got {type(modules[path]).__name__}")
    return modules[path]


def checked_batch(who: str, batch: Any) -> tuple[Tensor, Tensor]:
    """The two Tensors of a batch.

    Raises:
        TypeError: it is no pair.
        DTypeError: one of the two is no Tensor.
        ShapeError: other numbers of inputs and targets.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        found = f"{len(batch)} entries" if isinstance(batch, tuple | list) else type(batch).__name__
        raise TypeError(f"{who}: batch must be a pair (input, target), got {found}")
    for name, value in zip(("input", "target"), batch):
        if not isinstance(value, Tensor):
            raise DTypeError(f"{who}: the batch's {name} must be a Tensor, got {type(value).__name__}")
    return batch[0], batch[1]


def _position(who: str, name: str, position: Any, shape: tuple[int, ...]) -> Index:
    """The position as a tuple of ints inside the shape, negative ones counted from the end."""
    numbers = (position,) if isinstance(position, int | np.integer) else position
    if not isinstance(numbers, tuple | list) or not all(isinstance(n, int | np.integer) for n in numbers):
        raise DTypeError(f"{who}: {name} must be ints, got {position!r}")
    if len(numbers) != len(shape):
        raise ShapeError(f"{who}: {name} must have {len(shape)} places, for shape {shape}, got {position!r}")
    if any(not -size <= n < size for n, size in zip(numbers, shape)):
        raise DimError(f"{who}: {name} {position!r} lies outside shape {shape}")
    return tuple(int(n) % size for n, size in zip(numbers, shape))
