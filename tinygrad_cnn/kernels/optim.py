"""Optimizer steps: one launch for all parameters, one pass over memory.

`sgd` and `adam` are the functions that optimizers call, with a `Batch` of parameters. Written as separate array
operations, Adam reads and writes the parameter-sized arrays 19 times; here each is read once and, where it changes,
written once. And a launch for every parameter costs more than the step itself where parameters are small: of
ResNet-20's 65 most are rows of 16 to 64 numbers. So the addresses of all arrays stand in a table, the elements of all
parameters are counted through, and each worker takes an equal share of them.

Reference: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; I. Sutskever, J. Martens,
G. Dahl, G. Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013; I. Loshchilov,
F. Hutter, "Decoupled weight decay regularization", ICLR 2019; S. Reddi, S. Kale, S. Kumar, "On the convergence of
Adam and beyond", ICLR 2018.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._addresses import elements, get, get_real
from ._jit import get_num_threads, helper
from ._memory import Array, flat_views, in_layout_of
from ._tasks import DATA, FIRST, At, Program, Stage, TaskKernel, task_kernel

START, SIZE, GRAD, PARAMETER, STATE = range(5)
"""Columns of a batch's table: two counts of elements; then addresses, of a gradient's object, of a parameter's elements
and of those of its state's arrays, which follow one another from `STATE` on."""


class Batch:
    """Parameters that take their steps together.

    Args:
        parameters: Arrays of any shape and layout, without gaps in memory, of one dtype, float32 or float64.
        states: What the rule remembers: lists of one array per parameter, of its shape, dtype and memory order
            (``np.zeros_like(parameter)``).
    """

    def __init__(self, parameters: Sequence[Array], *states: Sequence[Array]) -> None:
        self._columns = [list(parameters), *map(list, states)]
        self._strides = [parameter.strides for parameter in parameters]
        self.dtype = parameters[0].dtype
        self.table = np.zeros((len(parameters), PARAMETER + len(self._columns)), np.int64)
        for row, arrays in zip(self.table, zip(*self._columns, strict=True)):
            assert flat_views(*arrays) is not None, "the optimizer's state must be ordered in memory as its parameter"
            row[SIZE] = arrays[0].size
            row[PARAMETER:] = [_address(array) for array in arrays]
        self.table[1:, START] = np.cumsum(self.table[:-1, SIZE])
        self.size = int(self.table[:, SIZE].sum())

    def holds(self, parameters: Sequence[Array], *states: Sequence[Array]) -> bool:
        """Whether these are the batch's arrays: the very same, not equal ones."""
        columns = (parameters, *states)
        return len(columns) == len(self._columns) and all(map(_are_the_same, columns, self._columns))

    def __deepcopy__(self, memo: dict[int, Any]) -> Batch:
        """A batch of copies, at their own addresses."""
        return Batch(*copy.deepcopy(self._columns, memo))

    def take(self, grads: Sequence[Array]) -> list[Array]:
        """Put one gradient for every parameter into the table: where its object lies, which is quickly asked.

        Args:
            grads: Of the parameters' shapes and dtype, in any memory order.

        Returns:
            The arrays that the table refers to: keep them until the step is done.
        """
        taken = [
            grad if grad.strides == strides and grad.flags.aligned else in_layout_of(parameter, grad)
            for grad, strides, parameter in zip(grads, self._strides, self._columns[0], strict=True)
        ]
        self.table[:, GRAD] = list(map(id, taken))
        return taken


def _are_the_same(some: Sequence[Array], others: Sequence[Array]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _address(array: Array) -> int:
    return array.__array_interface__["data"][0]


def sgd(
    batch: Batch,
    grads: Sequence[Array],
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    first: Sequence[bool] = (),
) -> None:
    """Stochastic gradient descent, in place:

        g = ±grad + weight_decay·p
        buffer = g at the first step, momentum·buffer + (1 − dampening)·g later
        p −= lr · (g without momentum, buffer with it, g + momentum·buffer with nesterov)

    Args:
        batch: The parameters, changed; with the momentum buffer as their state, changed, or without state where
            ``momentum`` is 0.
        grads: Their gradients, see `Batch.take`.
        lr: Learning rate.
        momentum, dampening, weight_decay, nesterov: As in the formula.
        maximize: Use −grad.
        first: For every parameter whether this is its first step: the buffer's contents don't matter, and it becomes
            ``g``. Default: none.
    """
    held = batch.take(grads)
    shares = np.full((len(held), 2), (momentum, 1.0 - dampening))
    if any(first):
        shares[np.array(first)] = 0.0, 1.0
    _run(sgd_steps, batch, shares, -1.0 if maximize else 1.0, weight_decay, momentum, nesterov, lr)


def adam(
    batch: Batch,
    grads: Sequence[Array],
    *,
    steps: Any,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    amsgrad: bool = False,
    maximize: bool = False,
) -> None:
    """Adam, and AdamW with ``decoupled``, in place; t is the parameter's number in ``steps``:

        p −= lr·weight_decay·p (decoupled),   g = ±grad + weight_decay·p (otherwise)
        m = beta1·m + (1 − beta1)·g,   v = beta2·v + (1 − beta2)·g²
        p −= lr/(1 − beta1^t) · m / (√v / √(1 − beta2^t) + eps)

    Args:
        batch: The parameters with their state: m and v, zero at the start, and with ``amsgrad`` the largest v so far,
            zero at the start. All changed.
        grads: Their gradients, see `Batch.take`.
        steps: (P,) for every parameter the number of this step, from 1.
        lr, beta1, beta2, eps, weight_decay: As in the formula.
        decoupled: Shrink the parameter itself instead of adding to the gradient.
        amsgrad: Use the largest v so far in its place.
        maximize: Use −grad.
    """
    held = batch.take(grads)
    steps = np.asarray(steps, np.float64)
    # The second: a division per element less than dividing by the root.
    scales = np.stack([lr / (1.0 - beta1**steps), 1.0 / np.sqrt(1.0 - beta2**steps)], axis=1)
    assert len(scales) == len(held)
    shrink = 1.0 - lr * weight_decay if decoupled else 1.0
    decay = 0.0 if decoupled else weight_decay
    _run(adam_steps, batch, scales, -1.0 if maximize else 1.0, shrink, decay, beta1, beta2, eps, amsgrad)


def _run(kernel: TaskKernel, batch: Batch, scales: Array, *settings: float) -> None:
    """Take a step: two ``scales`` (P, 2) for every parameter, and the formula's numbers."""
    run = _prepare(kernel, batch.table.shape, batch.size, batch.dtype, get_num_threads())
    run(batch.table, scales, np.array(settings, np.float64))


@functools.lru_cache(maxsize=512)
def _prepare(kernel: TaskKernel, table: tuple[int, ...], size: int, dtype: np.dtype[Any], threads: int) -> Program:
    stage = Stage(kernel, 8 * size, (At(0), At(1), At(2)), (), (*table, size))
    return Program(dtype, threads, [stage], 0, writes=())


PARAMETERS, COLUMNS, TOTAL = range(8 * FIRST, 8 * (FIRST + 3), 8)
"""Where the numbers of the task kernels lie."""


@task_kernel
def sgd_steps(worker, workers, numbers, zero):
    """The formula of `sgd` for all parameters of a batch. Workers share the elements.

    Floats: the batch's table (P, 4) or (P, 5), int64; float64: (P, 2), what the buffer keeps and how much of the
    gradient is added to it, and the numbers sign, weight_decay, momentum, nesterov, lr.
    Numbers: rows and columns of the table; elements of all parameters.
    """
    row, shares, settings = get(numbers), get(numbers + 8), get(numbers + 16)
    sign, weight_decay, momentum = get_real(settings), get_real(settings + 8), get_real(settings + 16)
    nesterov, lr = get_real(settings + 24) != 0, get_real(settings + 32)
    for _ in range(get(numbers + PARAMETERS)):
        begin, count = _part(row, worker, workers, numbers)
        if count > 0:
            grad = elements(get(get(row + 8 * GRAD) + DATA), begin, count, zero)
            p = elements(get(row + 8 * PARAMETER), begin, count, zero)
            if get(numbers + COLUMNS) > STATE:
                buffer = elements(get(row + 8 * STATE), begin, count, zero)
                keep, add = get_real(shares), get_real(shares + 8)
                _sgd_with_momentum(grad, sign, weight_decay, keep, add, momentum, nesterov, lr, p, buffer)
            else:
                _sgd(grad, sign, weight_decay, lr, p)
        row += 8 * get(numbers + COLUMNS)
        shares += 16


@helper
def _part(row, worker, workers, numbers):
    """Which elements of a parameter are among a worker's: (the first, how many)."""
    total, start = get(numbers + TOTAL), get(row + 8 * START)
    begin = max(total * worker // workers, start)
    end = min(total * (worker + 1) // workers, start + get(row + 8 * SIZE))
    return begin - start, end - begin


@helper
def _sgd(grad, sign, weight_decay, lr, p):
    """Without momentum. Shapes: (n,). The condition keeps 0·infinity out, and the compiler takes it out of the loop."""
    number = p.dtype.type
    sign, weight_decay, lr = number(sign), number(weight_decay), number(lr)
    for i in range(p.size):
        g = sign * grad[i]
        p[i] -= lr * (g if weight_decay == 0 else g + weight_decay * p[i])


@helper
def _sgd_with_momentum(grad, sign, weight_decay, keep, add, momentum, nesterov, lr, p, buffer):
    """``buffer = keep·buffer + add·g``; where ``keep`` is 0, the buffer is not used. Shapes: (n,)."""
    number = p.dtype.type
    sign, weight_decay, keep, add = number(sign), number(weight_decay), number(keep), number(add)
    momentum, lr = number(momentum), number(lr)
    for i in range(p.size):
        g = sign * grad[i]
        if weight_decay != 0:
            g += weight_decay * p[i]
        b = add * g if keep == 0 else keep * buffer[i] + add * g
        buffer[i] = b
        p[i] -= lr * (g + momentum * b if nesterov else b)


@task_kernel
def adam_steps(worker, workers, numbers, zero):
    """The formula of `adam` for all parameters of a batch. Workers share the elements.

    Floats: the batch's table (P, 6) or, for AMSGrad, (P, 7), int64; float64: (P, 2), ``lr/(1 − beta1^t)`` and
    ``1/√(1 − beta2^t)``, and the numbers: sign of the gradient; ``shrink``, which multiplies the parameter first
    (AdamW); ``decay``, of which ``decay·p`` is added to the gradient (Adam); beta1, beta2, eps, amsgrad.
    Numbers: rows and columns of the table; elements of all parameters.
    """
    row, scales, settings = get(numbers), get(numbers + 8), get(numbers + 16)
    sign, shrink, decay = get_real(settings), get_real(settings + 8), get_real(settings + 16)
    beta1, beta2, eps = get_real(settings + 24), get_real(settings + 32), get_real(settings + 40)
    amsgrad = get_real(settings + 48) != 0
    for _ in range(get(numbers + PARAMETERS)):
        begin, count = _part(row, worker, workers, numbers)
        if count > 0:
            grad = elements(get(get(row + 8 * GRAD) + DATA), begin, count, zero)
            p = elements(get(row + 8 * PARAMETER), begin, count, zero)
            m = elements(get(row + 8 * STATE), begin, count, zero)
            v = elements(get(row + 8 * (STATE + 1)), begin, count, zero)
            step_size, growth = get_real(scales), get_real(scales + 8)
            if amsgrad:
                largest = elements(get(row + 8 * (STATE + 2)), begin, count, zero)
                _amsgrad(grad, sign, shrink, decay, beta1, beta2, step_size, growth, eps, p, m, v, largest)
            else:
                _adam(grad, sign, shrink, decay, beta1, beta2, step_size, growth, eps, p, m, v)
        row += 8 * get(numbers + COLUMNS)
        scales += 16


@helper
def _adam(grad, sign, shrink, decay, beta1, beta2, step_size, growth, eps, p, m, v):
    """Some elements of one parameter. Shapes: (n,)."""
    number = p.dtype.type
    sign, shrink, decay, step_size = number(sign), number(shrink), number(decay), number(step_size)
    rest1, beta2, rest2 = number(1 - beta1), number(beta2), number(1 - beta2)
    growth, eps = number(growth), number(eps)
    for i in range(p.size):
        value = p[i] * shrink
        g = sign * grad[i]
        if decay != 0:
            g += decay * value
        first = m[i] + rest1 * (g - m[i])
        second = beta2 * v[i] + rest2 * g * g
        m[i] = first
        v[i] = second
        p[i] = value - step_size * (first / (np.sqrt(second) * growth + eps))


@helper
def _amsgrad(grad, sign, shrink, decay, beta1, beta2, step_size, growth, eps, p, m, v, v_max):
    """As `_adam`, with the largest ``v`` so far in the denominator. Shapes: (n,)."""
    number = p.dtype.type
    sign, shrink, decay, step_size = number(sign), number(shrink), number(decay), number(step_size)
    rest1, beta2, rest2 = number(1 - beta1), number(beta2), number(1 - beta2)
    growth, eps = number(growth), number(eps)
    for i in range(p.size):
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
