"""The loss kernels' bits do not depend on where the arrays lie."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_cnn import kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [4, 5, 10, 33])
def test_softmax_right_behind_the_logits(classes, dtype):
    """Compilers guard vector loops by a check for overlap, and take another loop for neighbours in memory."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.standard_normal((4, classes)).astype(dtype)
        target = rng.integers(0, classes, 4)
        memory = np.zeros(4 * x.size, dtype)
        results = []
        for gap in (0, 16 // x.itemsize, 2 * x.size):
            held = memory[: x.size].reshape(x.shape)
            held[...] = x
            p = memory[x.size + gap :][: x.size].reshape(x.shape)
            losses, reduced, bad_row = np.empty(4, dtype), np.empty(1, dtype), np.empty(1, np.int64)
            weight = np.empty(0, dtype)
            kernels.loss.cross_entropy.run(0, held, target, weight, -100, 0.1, 1, losses, p, reduced, bad_row)
            results.append(losses.tobytes() + p.tobytes())
        assert len(set(results)) == 1
