"""Convolution kernels: against float64 definitions, on any geometry, on any number of threads, inside their arrays."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels import geometries
from tests.kernels.geometries import KINDS, Case, any_algorithms, array_shapes, random_case, run
from tests.slow import only_in_ci
from tinygrad_cnn import kernels
from tinygrad_cnn.kernels._emitter import HALF_RATE, lanes

ROOT = Path(__file__).parents[2]
VECTOR = lanes(np.float32)

UGLY = {
    "kernel larger than the image": Case(2, (2, 3), 3, 5, (5, 4), padding=(3, 2)),
    "padding larger than the kernel": Case(1, (4, 4), 2, 3, (2, 2), padding=(5, 4)),
    "one pixel": Case(3, (1, 1), 7, 9, (1, 1)),
    "one pixel of padding's making": Case(2, (1, 1), 8, 8, (3, 3), padding=(1, 1)),
    "stride larger than the kernel": Case(2, (9, 8), 5, 4, (2, 1), stride=(4, 3)),
    "gaps that no filter sees": Case(2, (10, 10), 3, 4, (2, 2), stride=(3, 3), dilation=(3, 2)),
    "channels that no vector divides": Case(2, (5, 6), 13, 17, (3, 3), padding=(1, 1)),
    "more channels than a block": Case(2, (3, 3), 300, 33, (3, 3), padding=(1, 1)),
    "one group per channel": Case(2, (6, 5), 19, 19, (3, 3), padding=(1, 1), groups=19),
    "one group per channel, 5x5": Case(2, (6, 5), 19, 19, (5, 5), padding=(1, 2), groups=19),
    "one group per channel, one pixel": Case(2, (1, 1), 33, 33, (3, 3), padding=(3, 1), groups=33),
    "two filters per channel": Case(2, (6, 5), 5, 10, (3, 3), padding=(1, 1), groups=5),
    "first layer": Case(3, (12, 12), 1, 6, (5, 5)),
    "few filters, strided": Case(2, (7, 12), 13, 4, (3, 5), stride=(1, 2), padding=(1, 2)),
    "one filter": Case(3, (5, 16), 2, 1, (3, 3), padding=(1, 1)),
    "sliding": Case(2, (7, 17), 13, 2, (3, 3), padding=(1, 1)),
    "sliding back": Case(2, (7, 17), 2, 18, (3, 3), padding=(1, 1)),
    "sliding, 5 taps, two groups": Case(2, (6, 21), 10, 4, (4, 5), padding=(2, 2), groups=2),
    "sliding, rows between rows": Case(2, (9, 12), 5, 7, (3, 3), padding=(0, 3), dilation=(2, 1)),
    "image with padding": Case(2, (9, 9), 3, 16, (3, 3), padding=(1, 1), dilation=(1, 2)),
    "winograd 2x2": Case(2, (7, 9), 2 * VECTOR, 3 * VECTOR, (3, 3), padding=(1, 0)),
    "winograd 4x4": Case(3, (7, 10), 4 * VECTOR, 5 * VECTOR, (3, 3), padding=(2, 1)),
    "winograd, one vector": Case(2, (9, 11), VECTOR, VECTOR, (3, 3), padding=(0, 2)),
    "winograd, groups": Case(2, (9, 11), 4 * VECTOR, 6 * VECTOR, (3, 3), padding=(1, 1), groups=2),
    "winograd, many blocks": Case(10, (25, 26), 2 * VECTOR, 3 * VECTOR, (3, 3), padding=(1, 1)),
    "empty batch": Case(0, (5, 5), 3, 4, (3, 3)),
}


Algorithms = Mapping[str, str] | None


def filled(case: Case, dtype: type, seed: int, algorithms: Algorithms = None) -> dict[str, np.ndarray]:
    """Inputs drawn, outputs and workspaces full of NaN, so that an unwritten element can't hide."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in array_shapes(kernels.conv, case, dtype, algorithms).items():
        drawn = name in ("x", "weight", "bias", "grad")
        arrays[name] = rng.standard_normal(shape).astype(dtype) if drawn else np.full(shape, np.nan, dtype)
    return arrays


def assert_close(name: str, actual: np.ndarray, expected: np.ndarray, scale: np.ndarray, limit: float) -> None:
    """The error relative to the sum of the terms' sizes, which is what rounding is proportional to."""
    assert actual.shape == expected.shape
    if actual.size:
        error = np.abs(actual - expected).max() / max(float(scale.max()), 1e-30)
        assert error <= limit, f"{name}: error {error:.2e} of the terms' sizes"


def check(case: Case, dtype: type, seed: int, algorithms: Algorithms = None) -> None:
    arrays = filled(case, dtype, seed, algorithms)
    run(kernels.conv, case, arrays, algorithms)
    x, weight, bias, grad = (arrays[name] for name in ("x", "weight", "bias", "grad"))
    size_x, size_w, size_g = np.abs(x), np.abs(weight), np.abs(grad)
    limit = 2e-6 if dtype is np.float32 else 1e-14
    assert_close(
        "forward",
        arrays["out"],
        geometries.forward(case, x, weight, bias),
        geometries.forward(case, size_x, size_w, np.abs(bias)),
        limit,
    )
    assert_close(
        "input_grad",
        arrays["out_x"],
        geometries.input_grad(case, grad, weight),
        geometries.input_grad(case, size_g, size_w),
        limit,
    )
    assert_close(
        "weight_grad",
        arrays["out_weight"],
        geometries.weight_grad(case, x, grad),
        geometries.weight_grad(case, size_x, size_g),
        limit,
    )
    total = grad.astype(np.float64).sum(axis=(0, 1, 2))
    assert_close("bias_grad", arrays["out_bias"], total, size_g.sum(axis=(0, 1, 2)), limit)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", UGLY.values(), ids=UGLY)
def test_ugly_geometries(case: Case, dtype: type) -> None:
    """By every algorithm that can compute it."""
    for algorithms in all_algorithms(case, dtype):
        check(case, dtype, seed=0, algorithms=algorithms)


def all_algorithms(case: Case, dtype: type) -> Iterator[dict[str, str]]:
    """An algorithm for each of the three kinds, until all that can compute them had their turn."""
    geometry = kernels.conv.Geometry(case.stride, case.padding, case.dilation, case.groups)
    possible = [kernels.conv.possible(kind, case.x_shape, case.weight_shape, geometry, dtype) for kind in KINDS]
    for algorithms in itertools.zip_longest(*possible):
        yield {kind: name or names[0] for kind, name, names in zip(KINDS, algorithms, possible)}


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_any_geometry(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    case = random_case(rng, VECTOR)
    check(case, dtype, seed, any_algorithms(kernels.conv, case, dtype, rng))


@given(st.integers(0, 2**32 - 1))
def test_adjoint_to_the_bit(seed: int) -> None:
    """⟨conv(x, w), g⟩ = ⟨x, convᵀ(g, w)⟩ = ⟨w, ∂w⟩, exactly, on integers."""
    rng = np.random.default_rng(seed)
    case = random_case(rng, VECTOR)
    algorithms = any_algorithms(kernels.conv, case, np.float64, rng)
    arrays = filled(case, np.float64, seed, algorithms)
    for name in ("x", "weight", "grad"):
        arrays[name][...] = rng.integers(-8, 9, arrays[name].shape)
    arrays["bias"][...] = 0
    run(kernels.conv, case, arrays, algorithms)
    pairs = [("out", "grad"), ("out_x", "x"), ("out_weight", "weight")]
    products = [np.sum(arrays[a] * arrays[b]) for a, b in pairs]
    assert products[0] == products[1] == products[2]


THREAD_CASES = [
    *UGLY.values(),
    Case(40, (12, 12), 1, 32, (3, 3)),
    Case(9, (16, 15), 20, 24, (5, 5), padding=(2, 2)),
    Case(33, (9, 9), 32, 64, (3, 3)),
    Case(17, (8, 8), 16, 32, (3, 3), stride=(2, 2), padding=(1, 1)),
    Case(9, (8, 8), 64, 64, (3, 3), padding=(1, 1)),
]


def print_digests(cases: list[Case], *threads: int) -> None:
    """A line per number of threads: a digest of all results."""
    import hashlib

    for count in threads:
        kernels._jit.set_num_threads(count)
        digest = hashlib.sha256()
        for case in cases:
            for algorithms in (None, *all_algorithms(case, np.float32)):
                arrays = filled(case, np.float32, 1, algorithms)
                run(kernels.conv, case, arrays, algorithms)
                for name in ("out", "out_x", "out_weight", "out_bias"):
                    digest.update(arrays[name].tobytes())
        print(digest.hexdigest())


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    """In processes of 1, 2, 3 and 4 threads, whatever the number of cores."""
    script = "from tests.kernels import test_conv_kernels as t; t.print_digests(t.THREAD_CASES, 1, 2, 3, 4)"
    digests = python(script, NUMBA_NUM_THREADS="4").split()
    assert len(digests) == 4
    assert len(set(digests)) == 1


@only_in_ci
def test_bits_do_not_depend_on_the_cache(tmp_path: Path) -> None:
    """The process that compiles computes what the next one does, which finds the machine code."""
    script = "from tests.kernels import test_conv_kernels as t; t.print_digests(t.THREAD_CASES[-1:], 1)"
    first, second = (python(script, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first == second


def python(script: str, *args: str, **environment: str) -> str:
    """Run a script in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("case", [UGLY["first layer"], UGLY["winograd 4x4"], UGLY["one group per channel"]])
def test_relu(case: Case) -> None:
    """The fused activation is the maximum with 0, and NaN stays NaN, by every algorithm."""
    for algorithms in all_algorithms(case, np.float32):
        arrays = filled(case, np.float32, 3, algorithms)
        arrays["x"][0, 0, 0, 0] = np.nan
        plain, fused = arrays["out"].copy(), arrays["out"].copy()
        for out, relu in ((plain, False), (fused, True)):
            run_forward = geometries.prepare(kernels.conv, case, np.float32, "forward", algorithms, relu)
            run_forward(arrays["x"], arrays["weight"], arrays["bias"], arrays["forward"], out)
        assert np.isnan(plain).any()
        assert not np.isnan(plain).all()
        np.testing.assert_array_equal(fused, np.maximum(plain, 0))


def test_nan_spreads_only_to_what_sees_it() -> None:
    case = Case(2, (9, 9), 5, 6, (3, 3), padding=(1, 1))
    arrays = filled(case, np.float64, 4)
    arrays["x"][1, 4, 4, 2] = np.nan
    run(kernels.conv, case, arrays)
    expected = geometries.forward(case, arrays["x"], arrays["weight"], arrays["bias"])
    np.testing.assert_array_equal(np.isnan(arrays["out"]), np.isnan(expected))


@pytest.mark.parametrize("empty", ["images", "channels", "filters"])
def test_empty(empty: str) -> None:
    """A sum over nothing is the bias, or zero."""
    case = Case(2, (5, 5), 3, 4, (3, 3))._replace(**{empty: 0})
    arrays = filled(case, np.float32, 5)
    run(kernels.conv, case, arrays)
    np.testing.assert_array_equal(arrays["out"], np.broadcast_to(arrays["bias"], case.out_shape))
    for name in ("out_x", "out_weight"):
        np.testing.assert_array_equal(arrays[name], 0)
    np.testing.assert_allclose(arrays["out_bias"], arrays["grad"].sum(axis=(0, 1, 2)), rtol=1e-5)


def test_choice_is_explained() -> None:
    conv = kernels.conv
    plain = conv.Geometry((1, 1), (1, 1))
    names = {
        "winograd F(4x4)": ("forward", (8, 16, 16, 64), (64, 3, 3, 64), plain, np.float32),
        "winograd F(2x2)": ("forward", (1, 16, 16, 32), (32, 3, 3, 32), plain, np.float32),
        "winograd F(4x4) shared": ("forward", (8, 16, 16, 256), (256, 3, 3, 256), plain, np.float32),
        "winograd F(2x2) shared": ("weight_grad", (2, 16, 16, 32), (32, 3, 3, 32), plain, np.float32),
        "direct": ("forward", (8, 16, 16, 64), (64, 3, 3, 64), plain._replace(stride=(2, 2)), np.float32),
        "sliding": ("forward", (8, 16, 16, 1), (VECTOR, 3, 3, 1), plain, np.float32),
        "wide": ("forward", (8, 28, 28, 1), (6, 5, 5, 1), plain, np.float32),
        "few pixels": ("weight_grad", (8, 4, 4, 512), (512, 3, 3, 512), plain, np.float32),
        "fold": ("input_grad", (8, 16, 16, 3), (64, 3, 3, 3), plain, np.float32),
        "depthwise rows": ("forward", (8, 16, 16, 64), (64, 3, 3, 1), plain._replace(groups=64), np.float32),
        "depthwise": ("forward", (8, 16, 16, 64), (64, 5, 5, 1), plain._replace(groups=64), np.float32),
        "empty": ("forward", (0, 16, 16, 64), (64, 3, 3, 64), plain, np.float32),
    }
    if VECTOR < 12:
        del names["wide"]  # two pixels of 6 filters don't fit a vector
    for name, arguments in names.items():
        choice = conv.choose(*arguments)
        assert choice.name == name
        assert len(choice.reason) > 10
    assert conv.choose(*names["winograd F(4x4)"], allow_large_tiles=False).name == "winograd F(2x2)"


def test_sliding_is_for_processors_that_wait_for_loads() -> None:
    conv = kernels.conv
    shapes = (8, 16, 16, VECTOR), (VECTOR, 5, 5, VECTOR)
    choice = conv.choose("forward", *shapes, conv.Geometry((1, 1), (2, 2)), np.float32)
    assert choice.name == ("direct" if HALF_RATE else "sliding")


def test_few_channels_or_tiles_are_not_for_winograd() -> None:
    conv = kernels.conv
    geometry = conv.Geometry((1, 1), (1, 1))

    def chosen(kind: str, images: int, channels: int, filters: int) -> str:
        shapes = (images, 8, 8, channels), (filters, 3, 3, channels)
        return conv.choose(kind, *shapes, geometry, np.float32).name

    assert chosen("forward", 4, 16, 16) == chosen("input_grad", 4, 16, 16) == "winograd F(2x2)"
    assert chosen("weight_grad", 128, 16, 16) == chosen("forward", 128, 32, 32) == "winograd F(2x2)"
    assert "winograd" not in chosen("forward", 128, 8, 16)
    assert "winograd" not in chosen("forward", 3, 16, 16)
    assert "winograd" not in chosen("forward", 15, 128, 128)
    assert chosen("forward", 4, 64, 64) == chosen("forward", 16, 128, 128) == "winograd F(4x4) shared"
    assert chosen("forward", 64, 64, 64) == chosen("weight_grad", 512, 32, 64) == "winograd F(4x4)"


@pytest.mark.parametrize("m", [2, 4])
def test_winograd_matrices(m: int) -> None:
    """Aᵀ [(G w) ⊙ (Bᵀ d)] slides a filter of 3 taps over m + 2 inputs, exactly."""
    evaluate, filters, interpolate = (np.array(matrix, dtype=object) for matrix in kernels._winograd.matrices(m))
    rng = np.random.default_rng(0)
    d, w = rng.integers(-9, 10, m + 2).astype(object), rng.integers(-9, 10, 3).astype(object)
    expected = [sum(d[i + k] * w[k] for k in range(3)) for i in range(m)]
    assert list(evaluate @ ((filters @ w) * (interpolate @ d))) == expected


ROUNDING = [
    ("direct", 24, 2.0),
    ("sliding", 4, 2.0),
    ("winograd F(2x2)", 32, 2.0),
    ("winograd F(2x2) shared", 32, 2.0),
    ("winograd F(4x4)", 64, 5.0),
    ("winograd F(4x4) shared", 64, 5.0),
]


@pytest.mark.parametrize(("algorithm", "channels", "limit"), ROUNDING)
def test_error_against_a_plain_float32_sum(algorithm: str, channels: int, limit: float) -> None:
    """Direct and F(2x2) within 2 times, F(4x4) within 5 times the error of summing 9·C products in float32."""
    case = Case(2, (12, 12), channels, channels, (3, 3), padding=(1, 1))
    ratios = []
    for seed in range(20):
        arrays = filled(case, np.float32, seed, dict.fromkeys(KINDS, algorithm))
        run(kernels.conv, case, arrays, dict.fromkeys(KINDS, algorithm))
        exact = geometries.forward(case, arrays["x"], arrays["weight"], arrays["bias"])
        plain = np.zeros(case.out_shape, np.float32)
        seen = geometries.windows(case, arrays["x"]).astype(np.float32)[..., 0, :]
        for p in range(3):
            for q in range(3):
                for c in range(channels):
                    plain += seen[:, :, :, p, q, c, None] * arrays["weight"][:, p, q, c]
        plain += arrays["bias"]
        ratios.append(np.abs(arrays["out"] - exact).max() / np.abs(plain - exact).max())
    assert np.median(ratios) <= limit


@pytest.mark.parametrize(("algorithm", "channels", "limit"), [*ROUNDING, ("few pixels", 32, 2.0)])
def test_error_of_the_weight_gradient(algorithm: str, channels: int, limit: float) -> None:
    """The same limits, against adding up one pixel after the other in float32."""
    algorithms = {"forward": "direct", "input_grad": "direct", "weight_grad": algorithm}
    case = Case(2, (12, 11), channels, channels, (3, 3), padding=(1, 1))
    ratios = []
    for seed in range(20):
        arrays = filled(case, np.float32, seed, algorithms)
        run(kernels.conv, case, arrays, algorithms)
        seen = geometries.windows(case, arrays["x"])[..., 0, :].reshape(-1, 9 * channels)
        grad = arrays["grad"].reshape(-1, channels)
        exact = grad.astype(np.float64).T @ seen.astype(np.float64)
        plain = np.zeros(exact.shape, np.float32)
        for pixel, upstream in zip(seen.astype(np.float32), grad):
            plain += upstream[:, None] * pixel
        found = arrays["out_weight"].reshape(exact.shape)
        ratios.append(np.abs(found - exact).max() / np.abs(plain - exact).max())
    assert np.median(ratios) <= limit


def test_memory_is_never_touched_outside_the_arrays() -> None:
    """In a process whose every array ends at, and then begins after, a page without access.

    $TINYGRAD_CNN_GUARD_CASES sets the number of geometries drawn.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("needs mmap and mprotect")
    cases = os.environ.get("TINYGRAD_CNN_GUARD_CASES", "60")
    printed = python("from tests.kernels.guard_pages import main; main()", cases)
    assert printed.split()[-1] == cases
