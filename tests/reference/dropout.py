"""Dropout with the words of NumPy's own Mersenne Twister."""

from __future__ import annotations

import numpy as np


def dropout(x, p, seed):
    words = [int(w) for w in np.random.RandomState(seed)._bit_generator.random_raw(2 * x.size)]
    if p == 0:
        return x.copy()
    out = np.empty(x.size)
    for k, value in enumerate(x.reshape(-1)):
        uniform = ((words[2 * k] << 32 | words[2 * k + 1]) & (2**53 - 1)) * 2.0**-53
        out[k] = value * (uniform < 1 - p) / (1 - p) if p < 1 else 0
    return out.reshape(x.shape)
