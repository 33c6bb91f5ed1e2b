"""Matrix products outside layers: matmul, bmm, einsum and their kin.

They run on the BLAS that NumPy brings, whose results may differ in the last bits between numbers of threads; the
layers' products (``ops/linear.py``) run on our own kernel, whose results do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Op, Tensor
from ..errors import DTypeError, ShapeError
from .arithmetic import add, mul
from .cast import cast
from .promotion import broadcast_shape


class MatMul(Op):
    """a @ b of stacks of matrices, (..., N, K) @ (..., K, M), the leading dimensions broadcast."""

    broadcasts = True
    saves_inputs = {0: (1,), 1: (0,)}  # noqa: RUF012

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.matmul(a, b)

    def backward(self, grad: Tensor, a: Tensor | None, b: Tensor | None) -> tuple[Tensor | None, ...]:
        return (
            None if b is None else MatMul.apply(grad, b.transpose(-1, -2)),
            None if a is None else MatMul.apply(a.transpose(-1, -2), grad),
        )


class Einsum(Op):
    """A sum of products of two operands (or a sum over one) with named dimensions, without repeats in an operand."""

    saves_inputs = (0, 1)
    operands: tuple[str, ...]
    result: str

    def forward(self, *arrays: np.ndarray) -> np.ndarray:
        used = [array for array in arrays if array is not None]
        return np.einsum(f"{','.join(self.operands)}->{self.result}", *used)

    def backward(self, grad: Tensor, *saved: Tensor) -> tuple[Tensor | None, ...]:
        gradients: list[Tensor | None] = []
        for index, names in enumerate(self.operands):
            if not self.needs(index):
                gradients.append(None)
                continue
            others = [(n, t) for i, (n, t) in enumerate(zip(self.operands, saved)) if i != index]
            gradients.append(self._gradient(grad, names, others, self.input_shape(index)))
        return tuple(gradients) + (None,) * (len(self.edges) - len(gradients))

    def _gradient(self, grad: Tensor, names: str, others: list[tuple[str, Tensor]], shape: tuple[int, ...]) -> Tensor:
        """The sum of products of the result's gradient and the other operand, over all names but this operand's."""
        known = set(self.result).union(*(n for n, _ in others)) if others else set(self.result)
        kept = "".join(name for name in names if name in known)
        inputs = [(self.result, grad), *others]
        tensors = [t for _, t in inputs] + [None] * (2 - len(inputs))
        product = Einsum.apply(*tensors, operands=tuple(n for n, _ in inputs), result=kept)
        if kept != names:  # a name summed over in this operand alone: the gradient is the same along it
            product = product.reshape(tuple(s if n in known else 1 for n, s in zip(names, shape))).expand(shape)
        return product


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product, on NumPy's BLAS.

    Args:
        input: (K,), (N, K) or (..., N, K).
        other: (K,), (K, M) or (..., K, M), of the same dtype; leading dimensions broadcast.

    Returns:
        (..., N, M), without N or M where that operand is one-dimensional.

    Raises:
        ShapeError: a 0-dimensional operand, inner sizes that differ, or leading ones that do not broadcast.
        DTypeError: the dtypes differ, or an operand is bool.
    """
    return _product("matmul", input, other)


def _product(name: str, input: Tensor, other: Tensor) -> Tensor:
    """``matmul`` under the name of the function that was called."""
    _check_dtypes(name, input, other)
    if input._array.dtype.kind == "b":
        raise DTypeError(f"{name}: not defined for bools; convert them")
    a, b = input._array.shape, other._array.shape
    if not a or not b:
        raise ShapeError(f"{name}: both operands need at least one dimension, got shapes {a} and {b}")
    if a[-1] != b[-2 if len(b) > 1 else 0]:
        raise ShapeError(f"{name}: inner sizes differ: the operands have shapes {a} and {b}")
    try:
        np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        raise ShapeError(f"{name}: leading dimensions of {a} and {b} cannot be broadcast together") from None
    left = input.unsqueeze(0) if len(a) == 1 else input
    right = other.unsqueeze(1) if len(b) == 1 else other
    out = MatMul.apply(left, right)
    if len(b) == 1:
        out = out.squeeze(-1)
    return out.squeeze(-1 if len(b) == 1 else -2) if len(a) == 1 else out


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (N, K) and (K, M); see ``matmul``.

    Raises:
        ShapeError: an operand is not a matrix, or the inner sizes differ.
    """
    return _ranked("mm", input, 2, mat2, 2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two stacks of matrices, (B, N, K) and (B, K, M); see ``matmul``.

    Raises:
        ShapeError: an operand does not have three dimensions, or sizes differ.
    """
    return _ranked("bmm", input, 3, mat2, 3)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix (N, K) and a vector (K,); see ``matmul``.

    Raises:
        ShapeError: another number of dimensions, or the inner sizes differ.
    """
    return _ranked("mv", input, 2, vec, 1)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors (K,).

    Raises:
        ShapeError: an operand is not a vector, or their lengths differ.
    """
    return _ranked("dot", input, 1, tensor, 1)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two vectors, (N,) and (M,): an (N, M) Tensor.

    Raises:
        ShapeError: an operand is not a vector.
    """
    _check_ranks("outer", (input, 1), (vec2, 1))
    return mul(input.unsqueeze(1), vec2.unsqueeze(0))


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)`` of matrices (N, K) and (K, M).

    Args:
        input: broadcasts to (N, M).
        mat1, mat2: as for ``mm``, of one dtype with ``input``.
        beta: 0 leaves ``input`` out, also where it is NaN.
        alpha: the factor of the product.

    Raises:
        ShapeError: ``input`` does not broadcast, an operand is not a matrix, or the inner sizes differ.
        DTypeError: the dtypes differ.
    """
    return _added("addmm", input, _ranked("addmm", mat1, 2, mat2, 2), beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``; ``input`` broadcasts to (B, N, M).  See ``addmm`` and ``bmm``."""
    return _added("baddbmm", input, _ranked("baddbmm", batch1, 3, batch2, 3), beta, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``; ``input`` broadcasts to (N,).  See ``addmm`` and ``mv``."""
    return _added("addmv", input, _ranked("addmv", mat, 2, vec, 1), beta, alpha)


def _added(name: str, input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    _check_dtypes(name, input, product)
    shape = product._array.shape
    if broadcast_shape(name, input._array.shape, shape) != shape:
        raise ShapeError(f"{name}: input of shape {tuple(input.shape)} does not broadcast to {shape}")
    if alpha != 1:
        product = mul(product, alpha)
    if beta == 0:  # a NaN in input must not pass
        return product
    return add(product, input if beta == 1 else mul(input, beta))


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products in Einstein's notation, for example ``einsum("bij,bjk->bik", a, b)``.

    Args:
        equation: a letter per dimension, operands separated by commas; ``->`` and the result's letters (left out: all
            letters that occur once, in alphabetical order); ``...`` for leading dimensions that broadcast.
        *operands: one or more Tensors of one floating-point dtype, as arguments or as one sequence.

    Returns:
        A Tensor with the result's dimensions.

    Raises:
        ShapeError: an equation that does not fit the operands' shapes.
        DTypeError: the dtypes differ.
    """
    tensors = list(operands[0]) if len(operands) == 1 and not isinstance(operands[0], Tensor) else list(operands)
    for tensor in tensors:
        _check_dtypes("einsum", tensors[0], tensor)
    terms, result = _parse(equation, tensors)
    pairs = [_diagonals(term, tensor) for term, tensor in zip(terms, tensors)]
    while len(pairs) > 1:  # two at a time, from the left, summing over what nothing further needs
        (first, a), (second, b), *rest = pairs
        wanted = set(result).union(*(term for term, _ in rest)) if rest else set(result)
        kept = "".join(dict.fromkeys(n for n in first + second if n in wanted))
        kept = result if not rest else kept
        pairs = [(kept, _contract(first, a, second, b, kept)), *rest]
    term, tensor = pairs[0]
    if set(term) != set(result) and tensor._array.dtype.kind != "f":
        tensor = cast(tensor, np.dtype(np.int64))  # as `sum` does
    return tensor if term == result else Einsum.apply(tensor, None, operands=(term,), result=result)


def _contract(first: str, a: Tensor, second: str, b: Tensor, kept: str) -> Tensor:
    """The sum of products of two operands; dimensions of size 1 that stand for a longer one are dropped first."""
    sizes: dict[str, int] = {}
    for term, tensor in ((first, a), (second, b)):
        for name, size in zip(term, tensor._array.shape):
            sizes[name] = size if sizes.get(name, 1) == 1 else sizes[name]
    pairs = []
    for term, tensor in ((first, a), (second, b)):
        ones = [i for i, n in enumerate(term) if tensor._array.shape[i] == 1 and sizes[n] != 1]
        for axis in reversed(ones):
            tensor, term = tensor.squeeze(axis), term[:axis] + term[axis + 1 :]
        pairs.append((term, tensor))
    (first, a), (second, b) = pairs
    return Einsum.apply(a, b, operands=(first, second), result=kept)


def _parse(equation: str, tensors: list[Tensor]) -> tuple[list[str], str]:
    """The letters of every operand and of the result, with ``...`` replaced by letters of its own."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ShapeError(f"einsum: {equation!r} has {len(terms)} operands, got {len(tensors)} tensors")
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    extra = [t.ndim - len(term.replace("...", "")) if "..." in term else 0 for term, t in zip(terms, tensors)]
    most = max(extra, default=0)
    dots = "".join(spare[:most])
    terms = [term.replace("...", dots[most - count :]) for term, count in zip(terms, extra)]
    if not arrow:
        letters = "".join(terms)
        right = dots + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots))
    result = right.replace("...", dots)
    sizes: dict[str, int] = {}
    for index, (term, tensor) in enumerate(zip(terms, tensors)):
        if len(term) != tensor.ndim:
            raise ShapeError(
                f"einsum: operand {index} has shape {tuple(tensor.shape)}, but {equation!r} names {term!r}"
            )
        own: dict[str, int] = {}
        for name, size in zip(term, tensor._array.shape):
            if own.setdefault(name, size) != size:
                raise ShapeError(
                    f"einsum: {name!r} in {term!r} has the sizes {own[name]} and {size} in operand {index}"
                )
            if not name.isalpha():
                raise ShapeError(f"einsum: {name!r} in {equation!r} is not a letter")
            if sizes.setdefault(name, size) != size and 1 not in (sizes[name], size):
                raise ShapeError(f"einsum: {name!r} has the sizes {sizes[name]} and {size} in {equation!r}")
            sizes[name] = max(sizes[name], size) if 0 not in (sizes[name], size) else 0
    if not set(result) <= set(sizes) or len(set(result)) != len(result):
        raise ShapeError(
            f"einsum: the result {right!r} of {equation!r} must name dimensions of the operands, each once"
        )
    return terms, result


def _diagonals(term: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A letter that occurs twice in an operand means its diagonal."""
    for name in dict.fromkeys(term):
        while term.count(name) > 1:
            first = term.index(name)
            second = term.index(name, first + 1)
            tensor = tensor.diagonal(0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + name
    return term, tensor


def _check_dtypes(name: str, a: Tensor, b: Tensor) -> None:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        raise DTypeError(f"{name}: Tensors are needed, got {type(a).__name__} and {type(b).__name__}")
    if a._array.dtype != b._array.dtype:
        raise DTypeError(f"{name}: expected one dtype, got {a.dtype} and {b.dtype}")


def _ranked(name: str, a: Tensor, a_rank: int, b: Tensor, b_rank: int) -> Tensor:
    """The product of two operands that must have so many dimensions, and equal leading ones."""
    _check_ranks(name, (a, a_rank), (b, b_rank))
    if a_rank == 3 and a.shape[0] != b.shape[0]:
        raise ShapeError(f"{name}: batch sizes differ: the operands have shapes {tuple(a.shape)} and {tuple(b.shape)}")
    return _product(name, a, b)


def _check_ranks(name: str, *operands: tuple[Tensor, int]) -> None:
    for number, (tensor, rank) in enumerate(operands, 1):
        if tensor.ndim != rank:
            raise ShapeError(
                f"{name}: operand {number} of the product must have {rank} dimension{'s' * (rank > 1)}, "
                f"got shape {tuple(tensor.shape)}"
            )
