"""Max pooling's backward kernel writes every pixel, also those that no window covers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinygrad_cnn import kernels


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
        window = (K, K, stride, stride, *padding, dilation, dilation)
        x = rng.standard_normal((2, H, W, C)).astype(dtype)
        grad = rng.integers(1, 9, (2, OH, OW, C)).astype(dtype)
        out, places = np.empty_like(grad), np.empty(grad.shape, np.uint8)
        kernels.pool.max_forward.run(1, x, *window, -1, out, places)
        spread = np.full_like(x, np.nan)
        kernels.pool.max_backward.run(1, grad, places, *window, spread)
        assert spread.sum() == grad.sum(), (C, K, stride, padding, dilation, H, W)
