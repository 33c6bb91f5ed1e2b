"""ReLU that keeps a bit of each element."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_cnn.kernels import _bits, elementwise

SIZES = (1, 7, 8, 9, _bits.WORD - 1, _bits.WORD, 5 * _bits.WORD + 13, elementwise.CHUNK, 3 * elementwise.CHUNK + 77)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_bits_say_what_relu_lets_through(size, dtype):
    rng = np.random.default_rng(size)
    x = rng.choice(np.array([-2, -0.0, 0, 1e-45, 3, np.nan, np.inf, -np.inf], dtype), size)
    grad = rng.standard_normal(size).astype(dtype)
    out, bits = np.full_like(x, 7), np.full(-(-size // 8), 0xAA, np.uint8)
    elementwise.relu_with_bits(x, out, bits)
    passes = ~(x <= 0)
    np.testing.assert_array_equal(out, np.where(passes, x, 0))
    assert not np.signbit(out[x == 0]).any()
    np.testing.assert_array_equal(np.unpackbits(bits, count=size, bitorder="little"), passes)
    elementwise.where_bits(grad, bits, out)
    np.testing.assert_array_equal(out, np.where(passes, grad, 0))
    elementwise.where_bits(grad, bits, grad)
    np.testing.assert_array_equal(grad, out)
