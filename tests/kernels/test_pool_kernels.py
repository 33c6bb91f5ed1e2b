"""Max pooling's backward kernel writes every pixel, also those that no window covers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinygrad_cnn.kernels import max_pool


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
        out, places = np.empty_like(grad), np.empty(grad.shape, np.uint8)
        won = max_pool.places_operand(places, grad.dtype)
        max_pool.prepare("forward", x.shape, (OH, OW), window, x.dtype)(x, out, won)
        spread = np.full_like(x, np.nan)
        max_pool.prepare("input_grad", x.shape, (OH, OW), window, x.dtype)(grad, won, spread)
        assert spread.sum() == grad.sum(), (C, K, stride, padding, dilation, H, W)
