"""What holds for every differentiable operation, one function per property.

Each takes an ``OpSample`` and a ``Case`` and raises AssertionError (or GradcheckError, which is one) if the property
does not hold.  ``check_op`` runs all of them for a user's operation, and this package's own table of operations is
tested through the same functions.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..autograd import Op, Tensor, grad, wrap
from ..autograd.gradcheck import gradcheck, gradgradcheck
from .cases import Case, OpSample, float_leaves, has_torch, is_float, leaf, outputs_of, tensors_of
from .compare import assert_agree
from .layouts import broadcast_case, layouts

Property = Callable[[OpSample, Case], None]


def _run(sample: OpSample, case: Case, requires_grad: bool = True) -> tuple[list[Tensor | None], list[Tensor]]:
    tensors = tensors_of(case, requires_grad)
    return tensors, outputs_of(sample.function(*tensors, **case.kwargs))


def _differentiable(outputs: list[Tensor]) -> list[Tensor]:
    return [out for out in outputs if out.requires_grad]


def _upstream(outputs: list[Tensor], seed: int = 0) -> list[Tensor]:
    """A random upstream gradient per output."""
    rng = np.random.default_rng(seed)
    return [wrap(rng.standard_normal(out._array.shape).astype(out._array.dtype)) for out in outputs]


def _gradients(tensors: list[Tensor | None], outputs: list[Tensor], upstream: list[Tensor] | None = None) -> list[Any]:
    """The gradients by the floating-point inputs as arrays, zeros for an input that does not matter."""
    leaves, outs = float_leaves(tensors), _differentiable(outputs)
    if not outs or not leaves:
        return [np.zeros_like(t._array) for t in leaves]
    found = grad(outs, leaves, upstream or _upstream(outs), retain_graph=True, allow_unused=True)
    return [np.zeros_like(t._array) if g is None else g._array for t, g in zip(leaves, found)]


def has_gradient(sample: OpSample, case: Case) -> bool:
    """Whether there is something to differentiate by."""
    return not sample.value_only and any(is_float(a) for a in case.arrays)


# ---------------------------------------------------------------------- values


def value_equals_reference(sample: OpSample, case: Case) -> None:
    """The value is that of the slow reference on NumPy arrays."""
    if sample.reference is None:
        return
    arrays = [None if a is None else a.copy() for a in case.arrays]
    expected = outputs_of(sample.reference(*arrays, **case.kwargs))
    _, outputs = _run(sample, case)
    assert len(outputs) == len(expected), f"{len(outputs)} outputs, the reference has {len(expected)}"
    for i, (ours, theirs) in enumerate(zip(outputs, expected)):
        assert_agree(ours, theirs, f"output {i} against the reference")


def value_equals_torch(sample: OpSample, case: Case) -> None:
    """The value and its dtype are PyTorch's."""
    if sample.torch is None or not has_torch():
        return
    _, outputs = _run(sample, case)
    expected = outputs_of(sample.torch(*_torch_tensors(case), **case.kwargs))
    assert len(outputs) == len(expected), f"{len(outputs)} outputs, PyTorch has {len(expected)}"
    for i, (ours, theirs) in enumerate(zip(outputs, expected)):
        assert_agree(ours, theirs, f"output {i} against PyTorch")
        assert str(theirs.dtype) == f"torch.{ours.dtype.name}", (
            f"output {i}: {ours.dtype}, PyTorch gives {theirs.dtype}"
        )


def inputs_are_not_mutated(sample: OpSample, case: Case) -> None:
    """Neither forward nor backward writes to an input, to the upstream gradient or to an output."""
    tensors, outputs = _run(sample, case)
    outs = _differentiable(outputs)
    upstream = _upstream(outs)
    held = [t for t in (*tensors, *upstream, *outputs) if t is not None]
    before = [_state(t) for t in held]
    for t, original in zip(tensors, case.arrays):
        assert t is None or original is None or t._array.tobytes() == original.tobytes(), "forward wrote to an input"
    if outs:
        _gradients(tensors, outputs, upstream)
    assert before == [_state(t) for t in held], "backward wrote to an input, an output or the upstream gradient"


def _state(tensor: Tensor) -> tuple[bytes, int]:
    """The bytes and how often they were written to."""
    return tensor._array.tobytes(), tensor._version[0] if tensor._version else 0


def layouts_agree(sample: OpSample, case: Case) -> None:
    """The memory layout of inputs and upstream gradient does not matter: strides, order, read-only, broadcast."""
    _compare_layouts(sample, case, layouts)
    repeated = broadcast_case(case)
    if repeated is not None:
        contiguous = Case(tuple(None if a is None else a.copy() for a in repeated.arrays), case.kwargs)
        _compare_layouts(sample, contiguous, lambda array: {}, repeated)


def _compare_layouts(sample: OpSample, case: Case, variants: Any, *others: Case) -> None:
    tensors, outputs = _run(sample, case)
    upstream = _upstream(_differentiable(outputs))
    expected = _gradients(tensors, outputs, upstream)
    names = sorted({name for a in case.arrays if a is not None for name in variants(a)})
    arrays = [[None if a is None else variants(a).get(name, a) for a in case.arrays] for name in names]
    arrays += [list(other.arrays) for other in others]
    for name, laid_out in zip([*names, "broadcast"], arrays):
        leaves = [None if a is None else leaf(a, is_float(a) and not sample.value_only) for a in laid_out]
        found = outputs_of(sample.function(*leaves, **case.kwargs))
        for ours, theirs in zip(found, outputs):
            assert_agree(ours, theirs, f"value for {name} memory", 1e-11)
        if sample.value_only:
            continue
        received = [wrap(variants(v._array).get(name, v._array)) for v in upstream]
        for ours, theirs in zip(_gradients(leaves, found, received), expected):
            assert_agree(ours, theirs, f"gradient for {name} memory", 1e-11)


def float32_agrees(sample: OpSample, case: Case) -> None:
    """float32 gives the float64 result up to rounding, and float32 gradients."""
    single = Case(tuple(a.astype(np.float32) if is_float(a) else a for a in case.arrays), case.kwargs)
    double = Case(tuple(a.astype(np.float64) if is_float(a) else a for a in single.arrays), case.kwargs)
    results = []
    for given in (single, double):
        tensors, outputs = _run(sample, given)
        results.append((outputs, [] if sample.value_only else _gradients(tensors, outputs)))
    (values, gradients), (right_values, right_gradients) = results
    for ours, theirs in zip([v._array for v in values], [v._array for v in right_values]):
        _nearly(ours, theirs, "value")
    for ours, theirs in zip(gradients, right_gradients):
        assert ours.dtype == np.float32, f"the gradient of a float32 input is {ours.dtype}"
        _nearly(ours, theirs, "gradient")


def _nearly(single: np.ndarray, double: np.ndarray, what: str) -> None:
    assert single.shape == double.shape, f"{what}: shape {single.shape} in float32, {double.shape} in float64"
    if double.dtype.kind != "f":
        assert (single == double).all(), f"{what}: differs between float32 and float64"
        return
    largest = float(np.max(np.abs(double[np.isfinite(double)]), initial=0.0))
    close = np.isclose(single, double, rtol=2e-4, atol=2e-5 * max(largest, 0.1), equal_nan=True)
    assert close.all(), f"{what}: {single[~close][0]} in float32, {double[~close][0]} in float64"


# ---------------------------------------------------------------------- gradients


def gradient_equals_differences(sample: OpSample, case: Case) -> None:
    """The gradient is that of differences, for random upstream gradients and the whole Jacobian where it is small."""
    if has_gradient(sample, case):
        gradcheck(lambda *t: sample.function(*t, **case.kwargs), tensors_of(case))


def second_gradient_equals_differences(sample: OpSample, case: Case) -> None:
    """The second derivatives are those of differences of the first."""
    if has_gradient(sample, case) and sample.order >= 2:
        gradgradcheck(lambda *t: sample.function(*t, **case.kwargs), tensors_of(case), fast_mode=True)


def gradient_equals_torch(sample: OpSample, case: Case) -> None:
    """The gradient is PyTorch's, and so are the second derivatives where PyTorch has them."""
    if sample.torch is None or not has_torch() or not has_gradient(sample, case):
        return
    tensors, outputs = _run(sample, case)
    outs, leaves = _differentiable(outputs), float_leaves(tensors)
    theirs = _torch_tensors(case, requires_grad=True)
    their_leaves = [t for t in theirs if t is not None and t.requires_grad]
    results = outputs_of(sample.torch(*theirs, **case.kwargs))
    their_outs = [out for out in results if out.requires_grad]
    assert len(outs) == len(their_outs), f"{len(outs)} outputs carry a gradient, PyTorch has {len(their_outs)}"
    if not outs:
        return
    upstream = [leaf(v._array) for v in _upstream(outs)]
    first = grad(outs, leaves, upstream, create_graph=True, allow_unused=True)
    expected = _torch_gradients(their_outs, their_leaves, upstream)
    for i, (ours, right) in enumerate(zip(first, expected[0])):
        _same_gradient(ours, right, leaves[i], f"gradient of input {i} against PyTorch")
    if sample.order < 2 or expected[1] is None:
        return
    pairs = [(i, g) for i, g in enumerate(first) if g is not None and g.requires_grad and i in expected[2]]
    second: list[Any] = [None] * (len(leaves) + len(upstream))
    if pairs:
        weights = [wrap(_second_upstream(i, g._array.shape)) for i, g in pairs]
        second = list(grad([g for _, g in pairs], [*leaves, *upstream], weights, allow_unused=True))
    for i, (ours, right) in enumerate(zip(second, expected[1])):
        name = f"input {i}" if i < len(leaves) else f"upstream gradient {i - len(leaves)}"
        _same_gradient(ours, right, [*leaves, *upstream][i], f"second derivative by {name} against PyTorch")


def _second_upstream(i: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(100 + i).standard_normal(shape)


def _torch_gradients(outs: list[Any], leaves: list[Any], upstream: list[Tensor]) -> tuple[Any, Any, set[int]]:
    """(first gradients, second by leaves and upstream or None, the inputs whose gradient has a graph), by PyTorch."""
    import torch

    received = [torch.from_numpy(v._array.copy()).requires_grad_() for v in upstream]
    first = torch.autograd.grad(outs, leaves, received, create_graph=True, allow_unused=True)
    with_graph = [(i, g) for i, g in enumerate(first) if g is not None and g.requires_grad]
    if not with_graph:
        return first, None, set()
    weights = [torch.from_numpy(_second_upstream(i, tuple(g.shape))) for i, g in with_graph]
    try:
        second = torch.autograd.grad([g for _, g in with_graph], [*leaves, *received], weights, allow_unused=True)
    except (RuntimeError, NotImplementedError):  # PyTorch has no second derivative for some operations
        second = None
    return first, second, {i for i, _ in with_graph}


def _same_gradient(ours: Tensor | None, right: Any, like: Tensor, what: str) -> None:
    zeros = np.zeros(like._array.shape)
    assert_agree(zeros if ours is None else ours, zeros if right is None else right, what)


def _torch_tensors(case: Case, requires_grad: bool = False) -> list[Any]:
    import torch

    return [
        None if a is None else torch.from_numpy(np.array(a)).requires_grad_(requires_grad and is_float(a))
        for a in case.arrays
    ]


def inputs_alone_give_the_same_gradient(sample: OpSample, case: Case) -> None:
    """What an input's first and second derivatives are does not depend on what else is differentiated by.

    That is the other inputs and the upstream gradient, which for the second derivatives is an input like them.
    """
    if sample.value_only:
        return
    together = tensors_of(case)
    for position in [i for i, a in enumerate(case.arrays) if is_float(a)]:
        alone = tensors_of(case, requires_grad=False)
        alone[position] = together[position].detach().clone().requires_grad_()  # type: ignore[union-attr]
        right = _derivatives(sample, case, together, position, True)
        for tensors, with_upstream in ((together, False), (alone, True), (alone, False)):
            for name, found in _derivatives(sample, case, tensors, position, with_upstream).items():
                assert_agree(found, right[name], f"{name}, when not all are differentiated by", 1e-11)


def _derivatives(
    sample: OpSample, case: Case, tensors: list[Tensor | None], position: int, with_upstream: bool
) -> dict[str, np.ndarray]:
    """The gradient by one input, and its derivatives in a random direction by all that requires grad, by their names.

    Zeros stand for what there is not; without ``with_upstream`` the upstream gradients are constants.
    """
    outputs = outputs_of(sample.function(*tensors, **case.kwargs))
    upstream = [leaf(v._array, with_upstream and is_float(v._array)) for v in _upstream(outputs)]
    wanted = {f"input {i}": t for i, t in enumerate(tensors) if t is not None and t.requires_grad}
    by = wanted[f"input {position}"]
    wanted |= {f"upstream gradient {i}": v for i, v in enumerate(upstream) if v.requires_grad}
    used = [i for i, out in enumerate(outputs) if out.requires_grad]
    first = None
    if used:
        outs, received = [outputs[i] for i in used], [upstream[i] for i in used]
        (first,) = grad(outs, [by], received, create_graph=sample.order >= 2, allow_unused=True)
    second: list[Tensor | None] = [None] * len(wanted)
    if first is not None and first.requires_grad:
        direction = wrap(_second_upstream(position, first._array.shape).astype(first._array.dtype))
        second = list(grad([first], list(wanted.values()), [direction], allow_unused=True))
    name = f"the gradient of input {position}"
    found = {name: (first, by)}
    found |= {f"{name}, derived by {other}": (g, wanted[other]) for other, g in zip(wanted, second)}
    return {name: np.zeros_like(like._array) if g is None else g._array for name, (g, like) in found.items()}


def zero_upstream_gives_zeros(sample: OpSample, case: Case) -> None:
    """An upstream gradient of zeros gives exact zeros."""
    if not has_gradient(sample, case):
        return
    tensors, outputs = _run(sample, case)
    zeros = [wrap(np.zeros_like(out._array)) for out in _differentiable(outputs)]
    for i, gradient in enumerate(_gradients(tensors, outputs, zeros)):
        assert not gradient.any(), f"input {i}: a zero upstream gradient gives {gradient[gradient != 0][0]}"


def backward_twice_is_the_same(sample: OpSample, case: Case) -> None:
    """Two backwards through one graph give the same bits."""
    if not has_gradient(sample, case):
        return
    tensors, outputs = _run(sample, case)
    first, second = _gradients(tensors, outputs), _gradients(tensors, outputs)
    for i, (a, b) in enumerate(zip(first, second)):
        assert a.tobytes() == b.tobytes(), f"input {i}: the second backward gives other bits"


def gradients_own_their_memory(sample: OpSample, case: Case) -> None:
    """No ``.grad`` shares memory with another one, with an input, an output or an upstream gradient."""
    if not has_gradient(sample, case):
        return
    tensors, outputs = _run(sample, case)
    outs = _differentiable(outputs)
    if not outs:
        return
    from ..autograd import backward

    upstream = _upstream(outs)
    backward(outs, upstream)
    held = [t.grad._array for t in float_leaves(tensors) if t.grad is not None]
    others = [t._array for t in (*tensors, *outputs, *upstream) if t is not None]
    for i, a in enumerate(held):
        assert a.flags.writeable, "a gradient is read-only"
        for b in [*held[i + 1 :], *others]:
            assert not np.shares_memory(a, b), f"the gradient of input {i} shares its memory"


def adjoint_is_exact(sample: OpSample, case: Case) -> None:
    """Integer-valued data: ``<f(x + d) - f(x), v>`` is ``<d, gradient>`` to the bit, for every input by itself."""
    if not sample.exact or not has_gradient(sample, case):
        return
    rng = np.random.default_rng(0)

    def integers(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-4, 5, shape).astype(np.float64)

    whole = Case(tuple(integers(a.shape) if is_float(a) else a for a in case.arrays), case.kwargs)
    tensors, outputs = _run(sample, whole)
    outs = _differentiable(outputs)
    if not outs:
        return
    upstream = [wrap(integers(out._array.shape)) for out in outs]
    gradients = _gradients(tensors, outputs, upstream)
    positions = [i for i, a in enumerate(whole.arrays) if is_float(a)]
    for position, gradient in zip(positions, gradients):
        change = integers(gradient.shape)
        arrays = list(whole.arrays)
        arrays[position] = arrays[position] + change
        moved = _differentiable(_run(sample, Case(tuple(arrays), case.kwargs))[1])
        left = sum(float(((m._array - o._array) * v._array).sum()) for m, o, v in zip(moved, outs, upstream))
        right = float((change * gradient).sum())
        assert left == right, f"input {position}: <f(x + d) - f(x), v> is {left!r}, <d, gradient> is {right!r}"


# ---------------------------------------------------------------------- the graph


def nothing_undeclared_on_nodes(sample: OpSample, case: Case) -> None:
    """A node holds no array and no Tensor but what it declares to save."""
    for node in _nodes(_run(sample, case)[1]):
        for name, value in vars(node).items():
            if name not in ("saved", "edges", "hooks"):
                assert not _holds_array(value), f"{node!r}.{name} holds an array that is not declared"


def _nodes(outputs: list[Tensor]) -> Iterator[Op]:
    stack = [out.grad_fn for out in outputs if out.grad_fn is not None]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            stack.extend(e[0] for e in node.edges if e is not None and isinstance(e[0], Op))


def _holds_array(value: Any) -> bool:
    if isinstance(value, Tensor):
        return True
    if isinstance(value, np.ndarray):
        return True
    if isinstance(value, dict):
        return any(map(_holds_array, value.values()))
    return isinstance(value, tuple | list | set) and any(map(_holds_array, value))


def graph_is_freed(sample: OpSample, case: Case) -> None:
    """A graph that nobody holds is freed without the garbage collector, before and after a backward."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        for with_backward in (False, True):
            tensors, outputs = _run(sample, case)
            dead = [weakref.ref(node) for node in _nodes(outputs)]
            if with_backward:
                _gradients(tensors, outputs)
            del tensors, outputs
            alive = [reference() for reference in dead if reference() is not None]
            assert not alive, f"nodes in a reference cycle: {alive}"
    finally:
        if enabled:
            gc.enable()


PROPERTIES: tuple[Property, ...] = (
    value_equals_reference,
    value_equals_torch,
    inputs_are_not_mutated,
    layouts_agree,
    float32_agrees,
    gradient_equals_differences,
    second_gradient_equals_differences,
    gradient_equals_torch,
    inputs_alone_give_the_same_gradient,
    zero_upstream_gives_zeros,
    backward_twice_is_the_same,
    gradients_own_their_memory,
    adjoint_is_exact,
    nothing_undeclared_on_nodes,
    graph_is_freed,
)
