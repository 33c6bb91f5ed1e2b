"""Max pooling's kernels against the definition, and that the backward kernel writes every pixel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinygrad_cnn.kernels import max_pool


def run(x: np.ndarray, grad: np.ndarray, window: max_pool.Window, relu: bool) -> tuple[np.ndarray, ...]:
    """The maxima, their places, and the gradient of the image, from kernels whose outputs hold NaN before."""
    out, places = np.full_like(grad, np.nan), np.empty(grad.shape, window.place_dtype)
    max_pool.prepare("forward", x.shape, grad.shape[1:3], window, x.dtype, relu)(x, out, places)
    spread = np.full_like(x, np.nan)
    max_pool.prepare("input_grad", x.shape, grad.shape[1:3], window, x.dtype)(grad, places, spread)
    return out, places, spread


def define(x: np.ndarray, grad: np.ndarray, window: max_pool.Window, relu: bool) -> tuple[np.ndarray, ...]:
    """The same, one element after the other."""
    (KH, KW), stride, padding, dilation = window
    out = np.full_like(grad, 0 if relu else -np.inf)
    places, spread = np.full(grad.shape, KH * KW if relu else 0), np.zeros_like(x)
    for n, i, j, c in np.ndindex(grad.shape):
        best = None
        for p, q in np.ndindex(KH, KW):
            h = i * stride[0] + p * dilation[0] - padding[0]
            w = j * stride[1] + q * dilation[1] - padding[1]
            inside = 0 <= h < x.shape[1] and 0 <= w < x.shape[2]
            if inside and (best is None or x[n, h, w, c] > best[0]):
                best = x[n, h, w, c], p * KW + q, h, w
        if best is not None and not (relu and best[0] <= 0):
            out[n, i, j, c], places[n, i, j, c] = best[:2]
            spread[n, best[2], best[3], c] += grad[n, i, j, c]
    return out, places, spread


@pytest.mark.parametrize("seed", range(200))
def test_against_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    N, C = (int(size) for size in rng.integers(1, (3, 20)))
    size, stride, dilation = ((int(a), int(b)) for a, b in rng.integers(1, 4, (3, 2)))
    span = [d * (k - 1) + 1 for d, k in zip(dilation, size)]
    padding = (int(rng.integers(0, span[0] // 2 + 1)), int(rng.integers(0, span[1] // 2 + 1)))
    H, W = (max(1, s - 2 * p + int(rng.integers(0, 8))) for s, p in zip(span, padding))
    OH, OW = ((side + 2 * p - s) // step + 1 for side, p, s, step in zip((H, W), padding, span, stride))
    dtype = (np.float32, np.float64)[seed % 2]
    x = rng.integers(-3, 4, (N, H, W, C)).astype(dtype)
    grad = rng.integers(1, 9, (N, OH, OW, C)).astype(dtype)
    window = max_pool.Window(size, stride, padding, dilation)
    relu = bool(rng.integers(2))
    for found, expected in zip(run(x, grad, window, relu), define(x, grad, window, relu)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_pixel_is_written(dtype: type) -> None:
    rng = np.random.default_rng(0)
    sides = ((2, 3), (3, 4), (5, 4))
    for C, K, stride, padding, dilation, (H, W) in itertools.product(
        (1, 3, 17), (1, 2, 3), (1, 2, 3), ((0, 0), (1, 0), (0, 1), (1, 1)), (1, 2), sides
    ):
        extent = dilation * (K - 1) + 1
        OH, OW = ((side + 2 * p - extent) // stride + 1 for side, p in zip((H, W), padding))
        if max(padding) > K // 2 or OH < 1 or OW < 1:
            continue
        window = max_pool.Window((K, K), (stride, stride), padding, (dilation, dilation))
        x = rng.standard_normal((2, H, W, C)).astype(dtype)
        grad = rng.integers(1, 9, (2, OH, OW, C)).astype(dtype)
        spread = run(x, grad, window, relu=False)[2]
        assert spread.sum() == grad.sum(), (C, K, stride, padding, dilation, H, W)


def test_large_windows_have_places_of_four_bytes() -> None:
    rng = np.random.default_rng(0)
    for stride in (17, 5):
        x = rng.standard_normal((2, 22, 40, 9)).astype(np.float32)
        window = max_pool.Window((17, 17), (stride, stride), (0, 0), (1, 1))
        grad = rng.integers(1, 9, (2, (22 - 17) // stride + 1, (40 - 17) // stride + 1, 9)).astype(np.float32)
        found, expected = run(x, grad, window, relu=True), define(x, grad, window, relu=True)
        assert found[1].dtype == np.int32
        for a, b in zip(found, expected):
            np.testing.assert_array_equal(a, b)
