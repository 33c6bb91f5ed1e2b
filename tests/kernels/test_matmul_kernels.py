"""The layers' matrix product against float64, in every transposition, with the same bits on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.test_conv_kernels import python
from tinygrad_cnn import kernels

SIZES = st.one_of(st.integers(0, 40), st.sampled_from([64, 127, 300]))
TERMS = st.one_of(SIZES, st.just(kernels.matmul.MANY_TERMS + 3))


def product(
    a: np.ndarray,
    b: np.ndarray,
    trans_a: bool,
    trans_b: bool,
    bias: np.ndarray,
    relu: bool,
    sums: np.ndarray | None = None,
) -> np.ndarray:
    M = a.shape[1] if trans_a else a.shape[0]
    L = b.shape[0] if trans_b else b.shape[1]
    sums = np.empty(0, a.dtype) if sums is None else sums
    run = kernels.matmul.prepare(a.shape, b.shape, trans_a, trans_b, a.dtype, bias.size > 0, relu, sums.size > 0)
    out = np.full((M, L), np.nan, a.dtype)
    run(a, b, bias, np.full(run.workspace, np.nan, a.dtype), out, sums)
    return out


@given(SIZES, TERMS, SIZES, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 99))
def test_product(M: int, K: int, L: int, trans_a: bool, trans_b: bool, with_bias: bool, relu: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for dtype, limit in ((np.float32, 2e-6), (np.float64, 1e-14)):
        a = rng.standard_normal((K, M) if trans_a else (M, K)).astype(dtype)
        b = rng.standard_normal((L, K) if trans_b else (K, L)).astype(dtype)
        bias = rng.standard_normal(L if with_bias else 0).astype(dtype)
        sums = np.full(a.shape[1], np.nan, dtype)
        out = product(a, b, trans_a, trans_b, bias, relu, sums)
        error = np.abs(sums - a.astype(np.float64).sum(axis=0))
        assert (error <= limit * np.maximum(np.abs(a).sum(axis=0, dtype=np.float64), 1e-30)).all()
        left, right = (a.T if trans_a else a).astype(np.float64), (b.T if trans_b else b).astype(np.float64)
        expected = left @ right + (bias if with_bias else 0)
        expected = np.maximum(expected, 0) if relu else expected
        assert out.shape == expected.shape
        if out.size:
            scale = (np.abs(left) @ np.abs(right)).max() + (np.abs(bias).max() if with_bias else 0)
            assert np.abs(out - expected).max() <= limit * max(scale, 1e-30)


@pytest.mark.parametrize(("trans_a", "trans_b"), [(False, True), (False, False), (True, False), (True, True)])
def test_nan_passes(trans_a: bool, trans_b: bool) -> None:
    a, b = np.ones((9, 9), np.float32), np.ones((9, 9), np.float32)
    a[2, 3] = np.nan
    out = product(a, b, trans_a, trans_b, np.zeros(9, np.float32), relu=True)
    expected = np.maximum((a.T if trans_a else a) @ b, 0)
    np.testing.assert_array_equal(out, expected)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    script = (
        "import hashlib\n"
        "import numpy as np\n"
        "from tests.kernels.test_matmul_kernels import product\n"
        "from tinygrad_cnn import kernels\n"
        "for threads in (1, 2, 3, 4):\n"
        "    kernels._jit.set_num_threads(threads)\n"
        "    rng, digest = np.random.default_rng(0), hashlib.sha256()\n"
        "    for M, K, L in [(64, 900, 128), (128, 64, 900), (3, 5000, 7), (500, 33, 10)]:\n"
        "        for trans_a in (False, True):\n"
        "            for trans_b in (False, True):\n"
        "                a = rng.standard_normal((K, M) if trans_a else (M, K)).astype(np.float32)\n"
        "                b = rng.standard_normal((L, K) if trans_b else (K, L)).astype(np.float32)\n"
        "                out = product(a, b, trans_a, trans_b, np.zeros(0, np.float32), False)\n"
        "                digest.update(out.tobytes())\n"
        "    print(digest.hexdigest())\n"
    )
    digests = python(script, NUMBA_NUM_THREADS="4").split()
    assert len(digests) == 4
    assert len(set(digests)) == 1
