"""Bernoulli masks from the Mersenne Twister MT19937, the bits that NumPy and PyTorch draw.

The generator has 624 words of state. All are renewed at once by a linear recurrence, and each is scrambled when it is
handed out:

    y = (word[i] & 0x80000000) | (word[i + 1] & 0x7fffffff)
    word[i] = word[i + 397] ^ (y >> 1) ^ (0x9908b0df if y is odd)

Word i + 397 is 397 or, after wrapping around, 227 places away, so up to 227 neighbours can be renewed at the same
time in vector registers.

Reference: M. Matsumoto, T. Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed uniform pseudo-random
number generator", ACM TOMACS 8(1), 1998.
"""

from __future__ import annotations

import numpy as np

from ._jit import helper, kernel

WORDS = 624
MIDDLE = 397


@kernel
def bernoulli(threshold, state, position, out):
    """Write 1 where the next float64 uniform is below p, else 0.

    A uniform is the low 53 bits of two words, the first one high, times 2^−53; it is below p exactly where these bits
    are below ``threshold``, which is p·2^53 rounded up. One stream can't be shared among threads: call ``run(0, ...)``.

    Args:
        threshold: int64.
        state: (624,) uint32, changed.
        position: (1,) int64, how many words of the state are used up, 0 to 624; changed.
        out: (n,) uint8, written.
    """
    high_limit, low_limit = np.uint32(threshold >> 32), np.uint32(threshold & 0xFFFFFFFF)
    at, done = position[0], 0
    high = np.uint32(0)
    while done < out.size:
        if at == WORDS:
            _renew(state)
            at = 0
        pairs = min((WORDS - at) // 2, out.size - done)
        for k in range(pairs):
            high = _scrambled(state[at + 2 * k]) & np.uint32(0x1FFFFF)
            low = _scrambled(state[at + 2 * k + 1])
            out[done + k] = (high < high_limit) | ((high == high_limit) & (low < low_limit))
        at += 2 * pairs
        done += pairs
        if at == WORDS - 1 and done < out.size:  # a pair across the border
            high = _scrambled(state[at]) & np.uint32(0x1FFFFF)
            _renew(state)
            low = _scrambled(state[0])
            out[done] = (high < high_limit) | ((high == high_limit) & (low < low_limit))
            at = 1
            done += 1
    position[0] = at


@helper
def _renew(state):
    """The next 624 words, in three runs within which no word depends on a new one of the same run."""
    for i in range(WORDS - MIDDLE):
        state[i] = state[i + MIDDLE] ^ _twisted(state[i], state[i + 1])
    for i in range(WORDS - MIDDLE, 2 * (WORDS - MIDDLE)):
        state[i] = state[i - (WORDS - MIDDLE)] ^ _twisted(state[i], state[i + 1])
    for i in range(2 * (WORDS - MIDDLE), WORDS - 1):
        state[i] = state[i - (WORDS - MIDDLE)] ^ _twisted(state[i], state[i + 1])
    state[WORDS - 1] = state[MIDDLE - 1] ^ _twisted(state[WORDS - 1], state[0])


@helper
def _twisted(word, following):
    y = np.uint32((word & np.uint32(0x80000000)) | (following & np.uint32(0x7FFFFFFF)))
    return np.uint32((y >> np.uint32(1)) ^ (np.uint32(0x9908B0DF) if y & np.uint32(1) else np.uint32(0)))


@helper
def _scrambled(word):
    y = np.uint32(word ^ (word >> np.uint32(11)))
    y = np.uint32(y ^ ((y << np.uint32(7)) & np.uint32(0x9D2C5680)))
    y = np.uint32(y ^ ((y << np.uint32(15)) & np.uint32(0xEFC60000)))
    return np.uint32(y ^ (y >> np.uint32(18)))
