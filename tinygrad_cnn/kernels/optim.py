"""Optimizer steps: one call per parameter, one pass over memory.

`sgd` and `adam` are the functions that optimizers call; they take arrays of any shape and layout, because a
convolution's weight lies in memory in another order than its shape says. Written as separate array operations, Adam
reads and writes the parameter-sized arrays 19 times; here each is read once and, where it changes, written once.

Reference: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; I. Sutskever, J. Martens,
G. Dahl, G. Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013; I. Loshchilov,
F. Hutter, "Decoupled weight decay regularization", ICLR 2019; S. Reddi, S. Kale, S. Kumar, "On the convergence of
Adam and beyond", ICLR 2018.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from ._jit import Kernel, exact_kernel
from ._memory import ABSENT, Array, flat_views, in_layout_of


def sgd(
    p: Array,
    grad: Array,
    buffer: Array | None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    first: bool = False,
) -> None:
    """Stochastic gradient descent, in place:

        g = ±grad + weight_decay·p
        buffer = g at the first step, momentum·buffer + (1 − dampening)·g later
        p −= lr · (g without momentum, buffer with it, g + momentum·buffer with nesterov)

    Args:
        p: The parameter, any shape and layout, float32 or float64; changed.
        grad: Its gradient, same shape and dtype; may be ordered otherwise in memory (then it is copied).
        buffer: The momentum buffer, same shape, dtype and memory order as ``p`` (``np.empty_like(p)``); changed.
            None where ``momentum`` is 0.
        lr: Learning rate.
        momentum, dampening, weight_decay, nesterov: As in the formula.
        maximize: Use −grad.
        first: This is the parameter's first step: the buffer's contents don't matter, and it becomes ``g``.
    """
    if buffer is None:
        buffer = ABSENT[p.dtype]
        momentum = 0.0
    keep, add = (0.0, 1.0) if first else (momentum, 1.0 - dampening)
    scalars = (-1.0 if maximize else 1.0, weight_decay, keep, add, momentum, nesterov, lr)
    _run(sgd_loop, scalars, p, grad, buffer)


def adam(
    p: Array,
    grad: Array,
    m: Array,
    v: Array,
    v_max: Array | None = None,
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """Adam, and AdamW with ``decoupled``, in place; t is ``step``:

        p −= lr·weight_decay·p (decoupled),   g = ±grad + weight_decay·p (otherwise)
        m = beta1·m + (1 − beta1)·g,   v = beta2·v + (1 − beta2)·g²
        p −= lr/(1 − beta1^t) · m / (√v / √(1 − beta2^t) + eps)

    Args:
        p: The parameter, any shape and layout, float32 or float64; changed.
        grad: Its gradient, same shape and dtype; may be ordered otherwise in memory (then it is copied).
        m, v: First and second moment, zero at the start, same shape, dtype and memory order as ``p``
            (``np.zeros_like(p)``); changed.
        v_max: For AMSGrad, the largest ``v`` so far (zero at the start), used in its place; changed.
        step: The number of this step, from 1.
        lr, beta1, beta2, eps, weight_decay: As in the formula.
        decoupled: Shrink the parameter itself instead of adding to the gradient.
        maximize: Use −grad.
    """
    sign = -1.0 if maximize else 1.0
    shrink = 1.0 - lr * weight_decay if decoupled else 1.0
    decay = 0.0 if decoupled else weight_decay
    step_size = lr / (1.0 - beta1**step)
    growth = 1.0 / math.sqrt(1.0 - beta2**step)  # a division per element less than dividing by the root
    scalars = (sign, shrink, decay, beta1, beta2, step_size, growth, eps)
    if v_max is None:
        _run(adam_loop, scalars, p, grad, m, v)
    else:
        _run(amsgrad_loop, scalars, p, grad, m, v, v_max)


def _run(loop: Kernel, scalars: tuple[float, ...], p: Array, grad: Array, *state: Array) -> None:
    """Run a loop on flat views of the arrays."""
    views = flat_views(p, grad, *[s for s in state if s.size])
    if views is None:
        grad = in_layout_of(p, grad)
        views = flat_views(p, grad, *[s for s in state if s.size])
        assert views is not None, "the optimizer's state must be ordered in memory as its parameter"
    rest = views[2:] or state
    loop.run(p.size * 8, views[1], *scalars, views[0], *rest)


@exact_kernel
def sgd_loop(grad, sign, weight_decay, keep, add, momentum, nesterov, lr, p, buffer):
    """The formula of `sgd`, with ``buffer = keep·buffer + add·g``; where ``keep`` is 0, the buffer is not used.

    Shapes: ``grad``, ``p`` (n,); ``buffer`` (n,) or (0,). Threads share the elements.
    The conditions don't depend on ``i``: they keep 0·infinity out, and the compiler takes them out of the loop.
    """
    number = p.dtype.type
    sign, weight_decay, keep, add = number(sign), number(weight_decay), number(keep), number(add)
    momentum, lr = number(momentum), number(lr)
    if buffer.size == 0:
        for i in prange(p.size):
            g = sign * grad[i]
            p[i] -= lr * (g if weight_decay == 0 else g + weight_decay * p[i])
    else:
        for i in prange(p.size):
            g = sign * grad[i]
            if weight_decay != 0:
                g += weight_decay * p[i]
            b = add * g if keep == 0 else keep * buffer[i] + add * g
            buffer[i] = b
            p[i] -= lr * (g + momentum * b if nesterov else b)


@exact_kernel
def adam_loop(grad, sign, shrink, decay, beta1, beta2, step_size, growth, eps, p, m, v):
    """The formula of `adam`: ``shrink`` multiplies ``p`` first (AdamW), ``decay·p`` is added to the gradient (Adam).

    Shapes: all (n,). Threads share the elements.
    """
    number = p.dtype.type
    sign, shrink, decay, step_size = number(sign), number(shrink), number(decay), number(step_size)
    rest1, beta2, rest2 = number(1 - beta1), number(beta2), number(1 - beta2)
    growth, eps = number(growth), number(eps)
    for i in prange(p.size):
        value = p[i] * shrink
        g = sign * grad[i]
        if decay != 0:
            g += decay * value
        first = m[i] + rest1 * (g - m[i])
        second = beta2 * v[i] + rest2 * g * g
        m[i] = first
        v[i] = second
        p[i] = value - step_size * (first / (np.sqrt(second) * growth + eps))


@exact_kernel
def amsgrad_loop(grad, sign, shrink, decay, beta1, beta2, step_size, growth, eps, p, m, v, v_max):
    """As `adam_loop`, with the largest ``v`` so far in the denominator.

    Shapes: all (n,). Threads share the elements.
    """
    number = p.dtype.type
    sign, shrink, decay, step_size = number(sign), number(shrink), number(decay), number(step_size)
    rest1, beta2, rest2 = number(1 - beta1), number(beta2), number(1 - beta2)
    growth, eps = number(growth), number(eps)
    for i in prange(p.size):
        value = p[i] * shrink
        g = sign * grad[i]
        if decay != 0:
            g += decay * value
        first = m[i] + rest1 * (g - m[i])
        second = beta2 * v[i] + rest2 * g * g
        largest = v_max[i] if v_max[i] >= second else second  # a NaN in second goes on
        m[i] = first
        v[i] = second
        v_max[i] = largest
        p[i] = value - step_size * (first / (np.sqrt(largest) * growth + eps))
