"""The elementwise kernels, one of which keeps a bit of each element."""

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
    elementwise.prepare("relu_with_bits", size, x.dtype)(x, out, bits)
    passes = ~(x <= 0)
    np.testing.assert_array_equal(out, np.where(passes, x, 0))
    assert not np.signbit(out[x == 0]).any()
    np.testing.assert_array_equal(np.unpackbits(bits, count=size, bitorder="little"), passes)
    where_bits = elementwise.prepare("where_bits", size, x.dtype)
    where_bits(grad, bits, out)
    np.testing.assert_array_equal(out, np.where(passes, grad, 0))
    where_bits(grad, bits, grad)
    np.testing.assert_array_equal(grad, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_other_loops_are_numpys(size, dtype):
    rng = np.random.default_rng(size)
    a, b = (rng.choice(np.array([-2, -0.0, 0, 0.1, 3, np.nan, np.inf], dtype), size) for _ in range(2))
    mask = rng.integers(0, 2, size, np.uint8)
    factor = dtype(1.3)
    with np.errstate(invalid="ignore"):
        expected = {
            "add": ((a, b), a + b),
            "relu": ((a,), np.where(a <= 0, dtype(0), a)),
            "relu_grad": ((a, b), np.where(b <= 0, dtype(0), a)),
            "scale_where": ((a, mask), a * (mask * factor)),
        }
    for name, (operands, result) in expected.items():
        out = np.full_like(a, 7)
        numbers = (float(factor),) if name == "scale_where" else ()
        elementwise.prepare(name, size, a.dtype, *numbers)(*operands, out)
        assert out.tobytes() == result.tobytes() or np.array_equal(out, result, equal_nan=True), name
        assert np.array_equal(np.signbit(out[out == 0]), np.signbit(result[result == 0])), name
