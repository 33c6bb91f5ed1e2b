"""The rounding errors of float32 convolutions, against those that PyTorch's own float32 has.

error = max |y − y64| / max(|x| ∗ |w|), median of 20 draws.  Direct sums and Winograd F(2x2) within 2 times PyTorch's,
F(4x4) within 5 times.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.kernels.geometries import KINDS, Case, run
from tests.kernels.test_conv_kernels import filled
from tinygrad_cnn import kernels

torch = pytest.importorskip("torch")

DRAWS = 20
SAME = Case(2, (12, 12), 64, 64, (3, 3), padding=(1, 1))
CASES = {
    "direct": (SAME._replace(channels=16, filters=24), "direct", 2.0),
    "sliding": (SAME._replace(channels=4, filters=4), "sliding", 2.0),
    "5x5": (Case(2, (14, 14), 6, 16, (5, 5)), None, 2.0),
    "strided": (Case(2, (13, 13), 16, 32, (3, 3), stride=(2, 2), padding=(1, 1)), None, 2.0),
    "1x1": (Case(2, (8, 8), 64, 128, (1, 1)), None, 2.0),
    "depthwise": (Case(2, (9, 9), 32, 32, (5, 5), padding=(2, 2), groups=32), None, 2.0),
    "depthwise rows": (Case(2, (9, 9), 32, 32, (3, 3), padding=(1, 1), groups=32), None, 2.0),
    "grouped": (Case(2, (9, 9), 32, 32, (3, 3), padding=(1, 1), groups=4), None, 2.0),
    "many channels": (Case(2, (4, 4), 256, 256, (3, 3), padding=(1, 1)), None, 2.0),
    "winograd F(2x2)": (SAME._replace(channels=32, filters=32), "winograd F(2x2)", 2.0),
    "winograd F(2x2), 16 channels": (SAME._replace(channels=16, filters=16), "winograd F(2x2)", 2.0),
    "winograd F(2x2), groups": (SAME._replace(groups=2), "winograd F(2x2)", 2.0),
    "winograd F(2x2) shared": (SAME._replace(channels=32, filters=32), "winograd F(2x2) shared", 2.0),
    "winograd F(4x4)": (SAME, "winograd F(4x4)", 5.0),
    "winograd F(4x4) shared": (SAME, "winograd F(4x4) shared", 5.0),
}
"""Geometry, algorithm (None for the one that is chosen), and the limit."""


def of_torch(case: Case, arrays: dict[str, np.ndarray], dtype: type, size: bool = False) -> dict[str, np.ndarray]:
    """Output and gradients by PyTorch; with ``size``, of the absolute values: the sums of the terms' sizes."""
    tensors = []
    for name, order in (("x", (0, 3, 1, 2)), ("weight", (0, 3, 1, 2)), ("bias", (0,)), ("grad", (0, 3, 1, 2))):
        array = arrays[name].astype(dtype).transpose(order)
        tensors.append(torch.tensor(np.abs(array) if size else array, requires_grad=name != "grad"))
    x, weight, bias, grad = tensors
    y = torch.nn.functional.conv2d(x, weight, bias, case.stride, case.padding, case.dilation, case.groups)
    y.backward(grad)
    found = {"out": y.detach(), "out_x": x.grad, "out_weight": weight.grad}
    return {name: value.permute(0, 2, 3, 1).numpy().astype(np.float64) for name, value in found.items()}


@pytest.mark.skipif(
    bool(os.environ.get("NUMBA_CPU_NAME")),
    reason="the kernels are compiled for another processor, while PyTorch rounds as this one does: by fused operations",
)
@pytest.mark.parametrize(("case", "algorithm", "limit"), CASES.values(), ids=CASES)
def test_error_within_a_multiple_of_pytorchs(case: Case, algorithm: str | None, limit: float) -> None:
    algorithms = None if algorithm is None else dict.fromkeys(KINDS, algorithm)
    errors: dict[str, list[tuple[float, float]]] = {"out": [], "out_x": [], "out_weight": []}
    for seed in range(DRAWS):
        arrays = filled(case, np.float32, seed, algorithms)
        run(kernels.conv, case, arrays, algorithms)
        exact, theirs = of_torch(case, arrays, np.float64), of_torch(case, arrays, np.float32)
        scale = of_torch(case, arrays, np.float64, size=True)
        for name, found in errors.items():
            mine, other = (np.abs(y - exact[name]).max() / scale[name].max() for y in (arrays[name], theirs[name]))
            found.append((float(mine), float(other)))
    for name, found in errors.items():
        mine, other = np.median(found, axis=0)
        assert mine <= limit * other, f"{name}: {mine:.2e}, PyTorch {other:.2e}"


def test_the_cases_cover_all_algorithms_of_float32() -> None:
    chosen = set()
    for case, algorithm, _ in CASES.values():
        geometry = kernels.conv.Geometry(case.stride, case.padding, case.dilation, case.groups)
        for kind in KINDS:
            found = kernels.conv.choose(kind, case.x_shape, case.weight_shape, geometry, np.float32).name
            chosen.add(algorithm or found)
    winograd = {f"winograd F({m}x{m}){shared}" for m in (2, 4) for shared in ("", " shared")}
    assert {"direct", "sliding", "few pixels", "depthwise", "depthwise rows", *winograd} <= chosen
