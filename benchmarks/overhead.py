"""What an operation costs where arithmetic costs nothing: ``python -m benchmarks.overhead``.

Tensors have one element, so what is measured is the framework: the time per recorded operation, and with its backward,
against PyTorch eager, MyGrad and HIPS autograd (those that are installed).  Then the cost per operation of long chains
and of one tensor that is used many times, which must not grow, and where the time of one operation goes.

Operations are timed in chains of 100, each on the result of the one before; building the chain and freeing it is part
of the time.  All rows are times of one operation.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

import tinygrad_cnn
from tinygrad_cnn.ops.arithmetic import Mul
from tinygrad_cnn.ops.promotion import binary_operands

from . import harness

LENGTH = 100
TOLERANCE = 1e-5  # of the largest element, after 100 operations in float32
CHAINS = (1_000, 10_000, 100_000)
USES = (100, 1_000, 10_000)
PACKAGES = {"tinygrad_cnn": "tinygrad_cnn", "torch": "torch", "MyGrad": "mygrad", "HIPS autograd": "autograd"}


def main() -> None:
    """Run the three tables and save their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3 * harness.ROUNDS)
    rounds = parser.parse_args().rounds
    harness.use_threads(1)
    libraries = installed()
    tables = {
        "overhead": [
            operation(name, with_backward, libraries, rounds) for name in OPERATIONS for with_backward in (False, True)
        ],
        "overhead_growth": [growth(name, *case, libraries, rounds) for name, case in growing().items()],
        "overhead_parts": parts(rounds),
    }
    for table, rows in tables.items():
        print(*rows, sep="\n", flush=True)
        harness.save(table, rows, 1)


def installed() -> dict[str, ModuleType]:
    """The libraries to compare, ours first; one that is missing is said and left out."""
    found = {}
    for side, package in PACKAGES.items():
        try:
            found[side] = importlib.import_module(package)
        except ImportError:
            print(f"{side}: not installed, left out")
    return found


def compare(
    name: str, sides: Mapping[str, Callable[[], Any]], check: Callable[[], float], count: int, rounds: int
) -> harness.Comparison:
    """As `harness.compare`, with times divided by the number of operations."""
    row = harness.compare(name, sides, check, TOLERANCE, rounds)
    per_operation = {side: seconds / count for side, seconds in row.seconds.items()}
    return harness.Comparison(name, per_operation, row.ratios, row.error)


# ---------------------------------------------------------------- against other libraries


def mixed(x: Any, y: Any, exp: Any) -> Any:
    """Five operations that can be repeated without overflow, and whose gradients are not only rounding errors."""
    return exp(-((x * y - x) / y))


OPERATIONS: dict[str, tuple[int, Callable[[Any, Any, Any], Any]]] = {  # how many operations it is, and the function
    "add": (1, lambda x, y, exp: x + y),
    "mul": (1, lambda x, y, exp: x * y),
    "mul, sub, div, neg, exp": (5, mixed),
}


def operation(name: str, with_backward: bool, libraries: Mapping[str, ModuleType], rounds: int) -> harness.Comparison:
    """One operation, forward only or with the gradients of both operands, on every side."""
    count, function = OPERATIONS[name]

    def chain(x: Any, y: Any, exp: Any) -> Any:
        for _ in range(LENGTH // count):
            x = function(x, y, exp)
        return x

    forward, gradients = {}, {}
    for side, library in libraries.items():
        make = of_hips_autograd if side == "HIPS autograd" else of_tensors
        forward[side], gradients[side] = make(library, chain)
    sides = gradients if with_backward else forward
    label = f"{name}, forward and backward" if with_backward else f"{name}, forward"
    return compare(label, sides, lambda: disagreement(gradients), LENGTH, rounds)


def disagreement(gradients: Mapping[str, Callable[[], Any]]) -> float:
    """The largest difference between our gradients and another side's."""
    ours = gradients["tinygrad_cnn"]()
    return max(
        harness.difference(as_array(a), as_array(b)) for call in gradients.values() for a, b in zip(ours, call())
    )


def as_array(value: Any) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else value.numpy()


def operands() -> list[np.ndarray]:
    """The chain's start and the other operand, (1,) float32."""
    return [np.array([0.5], np.float32), np.array([1.5], np.float32)]


def of_tensors(library: ModuleType, function: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Calls that build the chain, and that give its gradients, of a library with Tensors (MyGrad calls them so too)."""
    keyword = "constant" if library.__name__ == "mygrad" else "requires_grad"
    x, y = (library.tensor(array, **{keyword: keyword == "requires_grad"}) for array in operands())

    def gradients() -> Any:
        if keyword == "constant":
            x.null_grad()
            y.null_grad()
        else:
            x.grad = y.grad = None
        function(x, y, library.exp).backward()
        return x.grad, y.grad

    return lambda: function(x, y, library.exp), gradients


def of_hips_autograd(library: ModuleType, function: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The same of HIPS autograd, which differentiates functions."""
    exp = importlib.import_module("autograd.numpy").exp
    make_vjp = importlib.import_module("autograd.core").make_vjp
    start = tuple(operands())

    def record() -> Any:
        return make_vjp(lambda values: function(values[0], values[1], exp), start)

    return record, lambda: record()[0](np.ones(1, np.float32))


# ---------------------------------------------------------------- growth


def growing() -> dict[str, tuple[int, Callable[[Any, Any], Any]]]:
    """Graphs of growing size: how many operations, and a function of two tensors."""

    def chain(length: int) -> Callable[[Any, Any], Any]:
        def run(x: Any, y: Any) -> Any:
            for _ in range(length):
                x = x + y
            return x

        return run

    def fan(uses: int) -> Callable[[Any, Any], Any]:
        def run(x: Any, y: Any) -> Any:
            total = y
            for _ in range(uses):
                total = total + x * y
            return total

        return run

    cases = {f"chain of {length:,} operations": (length, chain(length)) for length in CHAINS}
    return cases | {f"one tensor used {uses:,} times": (2 * uses, fan(uses)) for uses in USES}


def growth(name: str, count: int, function: Any, libraries: Any, rounds: int) -> harness.Comparison:
    """Forward and backward of a large graph, ours and PyTorch's."""
    sides = {
        side: of_tensors(libraries[side], lambda x, y, exp: function(x, y))[1]
        for side in ("tinygrad_cnn", "torch")
        if side in libraries
    }
    return compare(name, sides, lambda: disagreement(sides), count, min(rounds, harness.ROUNDS))


# ---------------------------------------------------------------- where the time goes


def parts(rounds: int) -> list[harness.Comparison]:
    """The steps of ``a * b``, one by one, beside the time that NumPy needs for the product of the two arrays."""
    a, b = (tinygrad_cnn.tensor(array, requires_grad=True) for array in operands())
    x, y = a.detach(), b.detach()
    left, right = a._array, b._array
    node = (a * b).grad_fn
    upstream = tinygrad_cnn.ones(1)

    def numpy_product() -> Any:
        return np.multiply(left, right)

    steps: dict[str, Callable[[], Any]] = {
        "checks of mul(a, b), and of a * b if the dtypes differ": lambda: binary_operands("mul", a, b),
        "apply to constants (a node, NumPy, a Tensor)": lambda: Mul.apply(x, y),
        "apply with recording and saving": lambda: Mul.apply(a, b),
        "all of a * b": lambda: a * b,
        "backward: saved arrays as Tensors": lambda: node.saved_tensors(False),
        "backward: both products": lambda: both_products(node, upstream, x, y),
    }

    def check() -> float:
        return harness.difference((a * b).detach().numpy(), numpy_product())

    return [
        harness.compare(name, {"tinygrad_cnn": call, "NumPy's product alone": numpy_product}, check, 0.0, rounds)
        for name, call in steps.items()
    ]


def both_products(node: Any, upstream: Any, x: Any, y: Any) -> Any:
    with tinygrad_cnn.no_grad():
        return node.backward(upstream, x, y)


if __name__ == "__main__":
    main()
