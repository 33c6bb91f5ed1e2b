"""Derivatives of functions: Jacobians, Hessians and their products with vectors, as ``torch.autograd.functional``.

Every function here takes ``func``, a function of one or several Tensors, and ``inputs``, a Tensor or a tuple of them.
Where ``inputs`` is a tuple, results have one entry per input; where ``func`` returns a tuple, one per output outside of
that.  Further arguments that they share:

    create_graph: record the computation, so that the result can be differentiated again.  Default False.
    strict: raise a GraphError where an output does not depend on an input, instead of giving zeros.  Default False.

The products ``J v`` and ``H v`` come from backward alone: ``Jᵀ u`` is linear in ``u``, and going backward through it
with upstream gradient ``v`` gives ``J v``.

Reference:
    Pearlmutter: Fast exact multiplication by the Hessian.  Neural Computation 6 (1994).
    Townsend: A new trick for calculating Jacobian vector products (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import DTypeError, GraphError, ShapeError
from .engine import grad
from .grad_mode import enable_grad
from .op import Op
from .tensor import Tensor, wrap

Tensors = tuple[Tensor, ...]


class _Rows(Op):
    """Tensors of one shape as the rows of one; this layer knows no operation, so it has its own."""

    def forward(self, *rows: np.ndarray) -> np.ndarray:
        return np.stack(rows)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(grad[i] if edge is not None else None for i, edge in enumerate(self.edges))


def jacobian(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivative of every element of the output by every element of the input.

    Args:
        func, inputs, create_graph, strict: see the module's text.
        vectorize: accepted and without effect: rows are computed one by one.
        strategy: only ``"reverse-mode"``.

    Returns:
        A Tensor of shape (*output's shape, *input's shape); with several inputs a tuple of them, with several outputs
        a tuple of those.

    Raises:
        GraphError: strict, and an output does not depend on an input.
        ValueError: another strategy, or ``strict`` together with ``vectorize``, as in PyTorch.
    """
    _check_strategy("jacobian", "strategy", strategy, strict, vectorize)
    with enable_grad():
        points, several_inputs = _points("jacobian", inputs, create_graph)
        outputs, several_outputs = _call("jacobian", func, points)
        _check_dependent("jacobian", outputs, strict)
        blocks = tuple(_blocks(output, index, points, create_graph, strict) for index, output in enumerate(outputs))
    picked = tuple(_picked(block, several_inputs) for block in blocks)
    return _picked(picked, several_outputs)


def _blocks(output: Tensor, index: int, points: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The derivatives of one output by every input: one backward per element of the output."""
    rows: list[list[Tensor]] = [[] for _ in points]
    for i in range(output._array.size):
        unit = np.zeros(output._array.size, output._array.dtype)
        unit[i] = 1
        upstream = wrap(unit.reshape(output._array.shape))
        found = _derivatives("jacobian", (output,), points, (upstream,), create_graph, strict, f"output {index}")
        for row, tensor in zip(rows, found):
            row.append(tensor)
    shape = tuple(output.shape)
    blocks = []
    for row, point in zip(rows, points):
        if row:
            blocks.append(_Rows.apply(*row).reshape((*shape, *point.shape)))
        else:
            blocks.append(wrap(np.zeros((*shape, *point.shape), point._array.dtype)))
    return tuple(blocks)


def hessian(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a scalar function.

    Args:
        func: returns one Tensor with one element.
        inputs, create_graph, strict: see the module's text.
        vectorize: accepted and without effect.
        outer_jacobian_strategy: only ``"reverse-mode"``.

    Returns:
        A Tensor of shape (*input's shape, *input's shape); for a tuple of inputs a tuple of tuples of them, entry
        [i][j] of shape (*shape of input i, *shape of input j).

    Raises:
        ShapeError: func returned more than one element.
        GraphError, ValueError: as for ``jacobian``.
    """
    _check_strategy("hessian", "outer_jacobian_strategy", outer_jacobian_strategy, strict, vectorize)
    points, several_inputs = _as_tuple("hessian", inputs, "input")

    def gradient(*variables: Tensor) -> Tensors:
        outputs = _scalar("hessian", func, variables)
        _check_dependent("hessian", outputs, strict)
        return _derivatives("hessian", outputs, variables, None, True, strict, "the output")

    rows = jacobian(gradient, points, create_graph, strict)
    return rows if several_inputs else rows[0][0]


def vjp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The product ``vᵀ J`` of a vector with the Jacobian of func.

    Args:
        func, inputs, create_graph, strict: see the module's text.
        v: of the output's shape, a tuple if func returns one; may be left out if the output has one element.

    Returns:
        ``(func(*inputs), vᵀ J)``, the latter of the inputs' shapes.

    Raises:
        ShapeError, DTypeError: v does not fit the output.
        GraphError: strict, and an output does not depend on an input.
    """
    with enable_grad():
        points, several_inputs = _points("vjp", inputs, create_graph)
        outputs, several_outputs = _call("vjp", func, points)
        _check_dependent("vjp", outputs, strict)
        weights = _vectors("vjp", v, outputs, "output")
        product = _derivatives("vjp", outputs, points, weights, create_graph, strict, "the output")
    return _results(outputs, several_outputs, product, several_inputs, create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The product ``J v`` of the Jacobian of func with a vector.

    Args:
        func, inputs, create_graph, strict: see the module's text.
        v: of the inputs' shape, a tuple if they are one; may be left out for one input with one element.

    Returns:
        ``(func(*inputs), J v)``, the latter of the output's shape.

    Raises:
        ShapeError, DTypeError: v does not fit the inputs.
        GraphError: strict, and an output does not depend on an input.
    """
    with enable_grad():
        points, _ = _points("jvp", inputs, create_graph)
        direction = _vectors("jvp", v, points, "input")
        outputs, several_outputs = _call("jvp", func, points)
        _check_dependent("jvp", outputs, strict)
        upstream = _variables(outputs)
        pulled = _derivatives("jvp", outputs, points, upstream, True, strict, "the output")
        product = _derivatives("jvp", pulled, upstream, direction, create_graph, False, "")
    return _results(outputs, several_outputs, product, several_outputs, create_graph)


def vhp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The product ``vᵀ H`` of a vector with the Hessian of a scalar function: cheaper than ``hvp`` and equal to it.

    Args:
        func: returns one Tensor with one element.
        inputs, create_graph, strict: see the module's text.
        v: of the inputs' shape, a tuple if they are one; may be left out for one input with one element.

    Returns:
        ``(func(*inputs), vᵀ H)``, the latter of the inputs' shapes.

    Raises:
        ShapeError, DTypeError: v does not fit the inputs, or func returned more than one element.
        GraphError: strict, and the gradient does not depend on an input.
    """
    with enable_grad():
        points, several = _points("vhp", inputs, create_graph)
        weights = _vectors("vhp", v, points, "input")
        outputs = _scalar("vhp", func, points)
        _check_dependent("vhp", outputs, strict)
        gradient = _derivatives("vhp", outputs, points, None, True, strict, "the output")
        product = _derivatives("vhp", gradient, points, weights, create_graph, strict, "the gradient")
    return _results(outputs, False, product, several, create_graph)


def hvp(
    func: Callable[..., Any],
    inputs: Tensor | Tensors,
    v: Tensor | Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The product ``H v`` of the Hessian of a scalar function with a vector.

    Args, Returns and Raises as for ``vhp``.
    """
    with enable_grad():
        points, several = _points("hvp", inputs, create_graph)
        direction = _vectors("hvp", v, points, "input")
        outputs = _scalar("hvp", func, points)
        _check_dependent("hvp", outputs, strict)
        gradient = _derivatives("hvp", outputs, points, None, True, strict, "the output")
        upstream = _variables(points)
        pulled = _derivatives("hvp", gradient, points, upstream, True, strict, "the gradient")
        product = _derivatives("hvp", pulled, upstream, direction, create_graph, False, "")
    return _results(outputs, False, product, several, create_graph)


# ---------------------------------------------------------------- what they share


def _check_strategy(name: str, argument: str, strategy: str, strict: bool, vectorize: bool) -> None:
    if strategy != "reverse-mode":
        raise ValueError(f"{name}: {argument} must be 'reverse-mode', there is no forward mode; got {strategy!r}")
    if strict and vectorize:
        raise ValueError(f"{name}: strict=True and vectorize=True cannot be combined")


def _as_tuple(name: str, value: Any, what: str) -> tuple[Tensors, bool]:
    several = isinstance(value, tuple | list)
    tensors = tuple(value) if several else (value,)
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise DTypeError(f"{name}: {what} {index} must be a Tensor, got {type(tensor).__name__}")
    return tensors, several


def _points(name: str, inputs: Any, create_graph: bool) -> tuple[Tensors, bool]:
    """The inputs as separate variables, so that one Tensor given twice is two; with their history if that is wanted."""
    tensors, several = _as_tuple(name, inputs, "input")
    points = []
    for t in tensors:
        points.append(t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_())
    return tuple(points), several


def _call(name: str, func: Callable[..., Any], points: Tensors) -> tuple[Tensors, bool]:
    return _as_tuple(name, func(*points), "output")


def _scalar(name: str, func: Callable[..., Any], points: Sequence[Tensor]) -> Tensors:
    outputs, several = _call(name, func, tuple(points))
    if several or outputs[0]._array.size != 1:
        raise ShapeError(
            f"{name}: func must return one Tensor with one element, got "
            f"{f'{len(outputs)} Tensors' if several else f'shape {tuple(outputs[0].shape)}'}"
        )
    return outputs


def _check_dependent(name: str, outputs: Tensors, strict: bool) -> None:
    for index, output in enumerate(outputs):
        if strict and not output.requires_grad:
            raise GraphError(f"{name}: output {index} does not depend on the inputs (strict=True)")


def _derivatives(
    name: str,
    outputs: Tensors,
    points: Sequence[Tensor],
    upstream: Sequence[Tensor] | None,
    create_graph: bool,
    strict: bool,
    what: str,
) -> Tensors:
    """``grad`` with zeros where an output does not depend on an input, or an error if that is strict."""
    given = upstream or [wrap(np.ones_like(output._array)) for output in outputs]
    used = [(output, weight) for output, weight in zip(outputs, given) if output.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(points)
    if used:
        tensors, weights = zip(*used)
        found = grad(tensors, points, weights, retain_graph=True, create_graph=create_graph, allow_unused=True)
    results = []
    for index, (point, gradient) in enumerate(zip(points, found)):
        if strict and gradient is None:
            raise GraphError(f"{name}: {what} does not depend on input {index} (strict=True)")
        results.append(wrap(np.zeros_like(point._array)) if gradient is None else gradient)
    return tuple(results)


def _variables(like: Tensors) -> Tensors:
    """Zeros of these shapes that require grad: what a linear function is differentiated by, wherever it is taken."""
    variables = tuple(wrap(np.zeros_like(t._array)) for t in like)
    for variable in variables:
        variable._requires_grad = True
    return variables


def _vectors(name: str, v: Any, like: Tensors, what: str) -> Tensors:
    """The vectors of a product, checked against what they are multiplied with."""
    if v is None:
        if len(like) != 1 or like[0]._array.size != 1:
            raise GraphError(f"{name}: v can be left out only for one {what} with one element")
        return (wrap(np.ones_like(like[0]._array)),)
    vectors, _ = _as_tuple(name, v, "v")
    if len(vectors) != len(like):
        raise ShapeError(f"{name}: v has {len(vectors)} Tensors for {len(like)} {what}s")
    for index, (vector, tensor) in enumerate(zip(vectors, like)):
        if vector._array.shape != tensor._array.shape:
            raise ShapeError(
                f"{name}: v {index} has shape {tuple(vector.shape)}, but {what} {index} has {tuple(tensor.shape)}"
            )
        if vector._array.dtype != tensor._array.dtype:
            raise DTypeError(f"{name}: v {index} has dtype {vector.dtype}, but {what} {index} has {tensor.dtype}")
    return vectors


def _picked(values: tuple[Any, ...], several: bool) -> Any:
    return values if several else values[0]


def _results(outputs: Tensors, several: bool, product: Tensors, several_products: bool, graph: bool) -> tuple[Any, Any]:
    if not graph:
        outputs = tuple(output.detach() for output in outputs)
        product = tuple(tensor.detach() for tensor in product)
    return _picked(outputs, several), _picked(product, several_products)
