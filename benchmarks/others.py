"""Training steps against other libraries with automatic differentiation: ``python -m benchmarks.others``.

JAX (compiled by XLA), tinygrad (compiled by its ``TinyJit``) and MyGrad (NumPy), each where it is installed and runs;
what is missing is said.  All sides start from the same weights, and the losses of their first steps must agree.  JAX
and tinygrad use all cores, so ours does, too.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import tinygrad_cnn
from tinygrad_cnn import nn

from . import harness
from .models import INPUT_SHAPES, NAMES, lecture_cnn, lenet5

CASES = ((lecture_cnn, 4), (lecture_cnn, 64), (lenet5, 64))
LARGEST_OF_MYGRAD = 4  # images; its convolution takes a second for 64
STEPS, TOLERANCE = 4, 1e-4  # losses that are compared, and their largest relative difference
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8

Step = Callable[[], float]


def main() -> None:
    """Run the table and save its results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    rounds = parser.parse_args().rounds
    threads = os.cpu_count() or 1
    harness.use_threads(threads)
    rows = []
    for build, batch in CASES:
        rows.append(compare(build, batch, rounds))
        print(rows[-1], flush=True)
    harness.save("others", rows, threads)


def compare(build: Any, batch: int, rounds: int) -> harness.Comparison:
    """One training step of a network: forward, cross-entropy, backward and Adam."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((batch, *INPUT_SHAPES[build]), np.float32)
    labels = generator.integers(0, 10, batch)
    tinygrad_cnn.manual_seed(0)
    model = build(tinygrad_cnn)
    makers = {"JAX": of_jax, "tinygrad": of_tinygrad} | ({"MyGrad": of_mygrad} if batch <= LARGEST_OF_MYGRAD else {})
    calls: dict[str, Step] = {}
    losses: dict[str, list[float]] = {}
    for side, make in {**makers, "tinygrad_cnn": of_ours}.items():  # ours last: it trains the model itself
        try:
            call = make(model, images, labels)
            losses[side] = [call() for _ in range(STEPS)]
            calls[side] = call
        except Exception as error:  # a missing package or compiler, or a version that has changed
            if side == "tinygrad_cnn":
                raise
            print(f"{side}: left out ({type(error).__name__}: {error})")
    ours = {"tinygrad_cnn": calls.pop("tinygrad_cnn")}

    def check() -> float:
        return max((harness.difference(losses["tinygrad_cnn"], losses[side]) for side in calls), default=0.0)

    return harness.compare(f"training step, {NAMES[build]}, batch {batch}", ours | calls, check, TOLERANCE, rounds)


def of_ours(model: Any, images: np.ndarray, labels: np.ndarray) -> Step:
    """A step of our Adam."""
    optimizer = tinygrad_cnn.optim.Adam(model.parameters(), lr=RATE, betas=(BETA1, BETA2), eps=EPSILON)
    x, target = tinygrad_cnn.from_numpy(images), tinygrad_cnn.from_numpy(labels)

    def call() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss.item()

    return call


def weights(model: Any) -> list[np.ndarray]:
    """Copies of all parameters, in order."""
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


def run(model: Any, x: Any, parameters: Iterator[Any], functions: Mapping[type, Callable[..., Any]]) -> Any:
    """The network in another library: for each of our layers, the function for its type, with its parameters."""
    for layer in model:
        own = [next(parameters) for _ in layer.parameters()]
        x = functions[type(layer)](layer, x, *own)
    return x


def of_jax(model: Any, images: np.ndarray, labels: np.ndarray) -> Step:
    """A step compiled by XLA, weights and moments donated; images and filters channels-last, which it runs faster."""
    import jax
    import jax.numpy as jnp

    functions = {
        nn.Conv2d: lambda layer, x, weight, bias: (
            jax.lax.conv_general_dilated(
                x, weight, layer.stride, [(p, p) for p in layer.padding], dimension_numbers=("NHWC", "OIHW", "NHWC")
            )
            + bias
        ),
        nn.ReLU: lambda layer, x: jax.nn.relu(x),
        nn.MaxPool2d: lambda layer, x: x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4)),
        nn.Flatten: lambda layer, x: x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1),
        nn.Linear: lambda layer, x, weight, bias: x @ weight.T + bias,
    }

    def loss_of(parameters: Any, x: Any, target: Any) -> Any:
        logits = jax.nn.log_softmax(run(model, x, iter(parameters), functions))
        return -jnp.take_along_axis(logits, target[:, None], 1).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(parameters: Any, first: Any, second: Any, count: Any, x: Any, target: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(parameters, x, target)
        first = [BETA1 * m + (1 - BETA1) * g for m, g in zip(first, grads)]
        second = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(second, grads)]
        rate, root = RATE / (1 - BETA1**count), jnp.sqrt(1 - BETA2**count)
        moved = [p - rate * m / (jnp.sqrt(v) / root + EPSILON) for p, m, v in zip(parameters, first, second)]
        return loss, moved, first, second

    state = [[jnp.asarray(w) for w in weights(model)], *([jnp.zeros_like(w) for w in weights(model)] for _ in range(2))]
    x, target = jnp.asarray(images.transpose(0, 2, 3, 1)), jnp.asarray(labels)
    count = 0

    def call() -> float:
        nonlocal count
        count += 1
        loss, *state[:] = step(*state, jnp.float32(count), x, target)
        jax.block_until_ready(state)
        return float(loss)

    return call


def of_tinygrad(model: Any, images: np.ndarray, labels: np.ndarray) -> Step:
    """A step recorded and replayed by tinygrad's TinyJit on its CPU device, which needs clang."""
    import tinygrad

    Tensor = tinygrad.Tensor
    functions = {
        nn.Conv2d: lambda layer, x, weight, bias: x.conv2d(weight, bias, stride=layer.stride, padding=layer.padding),
        nn.ReLU: lambda layer, x: x.relu(),
        nn.MaxPool2d: lambda layer, x: x.max_pool2d((2, 2)),
        nn.Flatten: lambda layer, x: x.flatten(1),
        nn.Linear: lambda layer, x, weight, bias: x.linear(weight.T, bias),
    }
    parameters = [Tensor(w).realize() for w in weights(model)]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = tinygrad.nn.optim.Adam(parameters, lr=RATE, b1=BETA1, b2=BETA2, eps=EPSILON)
    x, target = Tensor(images).realize(), Tensor(labels).realize()

    @tinygrad.TinyJit
    def step() -> Any:
        optimizer.zero_grad()
        loss = run(model, x, iter(parameters), functions).cross_entropy(target).backward()
        optimizer.step()
        return loss.realize()

    def call() -> float:
        with Tensor.train():
            return step().item()

    return call


def of_mygrad(model: Any, images: np.ndarray, labels: np.ndarray) -> Step:
    """A step of MyGrad's layers, with Adam in NumPy."""
    import mygrad
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    functions = {
        nn.Conv2d: lambda layer, x, weight, bias: (
            conv_nd(x, weight, stride=layer.stride, padding=layer.padding) + bias.reshape(1, -1, 1, 1)
        ),
        nn.ReLU: lambda layer, x: relu(x),
        nn.MaxPool2d: lambda layer, x: max_pool(x, (2, 2), 2),
        nn.Flatten: lambda layer, x: x.reshape(x.shape[0], -1),
        nn.Linear: lambda layer, x, weight, bias: mygrad.matmul(x, weight.T) + bias,
    }
    parameters = [mygrad.tensor(w) for w in weights(model)]
    first, second = ([np.zeros_like(p.data) for p in parameters] for _ in range(2))
    count = 0

    def call() -> float:
        nonlocal count
        count += 1
        loss = softmax_crossentropy(run(model, images, iter(parameters), functions), labels)
        loss.backward()
        rate, root = RATE / (1 - BETA1**count), (1 - BETA2**count) ** 0.5
        for p, m, v in zip(parameters, first, second):
            m += (1 - BETA1) * (p.grad - m)
            v += (1 - BETA2) * (p.grad * p.grad - v)
            p.data -= rate * m / (np.sqrt(v) / root + EPSILON)
            p.null_grad()
        return loss.item()

    return call


if __name__ == "__main__":
    main()
