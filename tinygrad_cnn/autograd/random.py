"""The one source of randomness: MT19937, seeded and drawn from in PyTorch's order.

The same ``manual_seed`` gives the same uniforms, permutations and Bernoulli masks, bit for bit, as PyTorch's CPU
generator.  Normal numbers follow its two algorithms (the polar form below 16 elements, blocks of 16 above) and agree to
rounding.

Reference:
    Matsumoto, Nishimura: Mersenne Twister: a 623-dimensionally equidistributed uniform pseudo-random number
    generator.  ACM TOMACS 8 (1998).
    Box, Muller: A note on the generation of random normal deviates.  Ann. Math. Statist. 29 (1958).
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from ..errors import ShapeError


class Generator:
    """A stream of random numbers with its own state, as ``torch.Generator``."""

    def __init__(self, device: str = "cpu") -> None:
        self._lock = threading.Lock()
        self.manual_seed(67280421310721)  # PyTorch's default seed

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to this seed (its low 32 bits, as in PyTorch); returns the generator."""
        self._seed = int(seed)
        self._bits = np.random.MT19937()
        self._bits._legacy_seeding(self._seed & 0xFFFFFFFF)
        self._next_normal: float | None = None
        return self

    def seed(self) -> int:
        """Take a seed from the operating system; returns it."""
        seed = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the present stream began with."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """A copy of the state: plain numbers and one array, which ``set_state`` takes back."""
        with self._lock:
            state = self._bits.state["state"]
            return {
                "seed": self._seed,
                "key": state["key"].copy(),
                "pos": int(state["pos"]),
                "next_normal": self._next_normal,
            }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``get_state`` returned.

        Raises:
            ShapeError: the state is not 624 words and a position in them.
        """
        key = np.array(state["key"], dtype=np.uint32)
        if key.shape != (624,) or not 0 <= state["pos"] <= 624:
            raise ShapeError(f"set_state: expected 624 words and pos 0..624, got {key.shape} and {state['pos']}")
        with self._lock:
            self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": int(state["pos"])}}
            self._seed, self._next_normal = int(state["seed"]), state["next_normal"]

    # ------------------------------------------------------------------ draws

    def words(self, count: int) -> np.ndarray:
        """The next ``count`` 32-bit words, (count,) uint64."""
        with self._lock:
            return self._bits.random_raw(count)

    def long_words(self, count: int) -> np.ndarray:
        """The next ``count`` 64-bit words, (count,) uint64, each from two draws, the first one high."""
        pairs = self.words(2 * count)
        return pairs[0::2] << np.uint64(32) | pairs[1::2]

    def uniform(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Uniform on [0, 1): the low 24 bits of a word in float32, the low 53 of two words in float64."""
        count = int(np.prod(shape, dtype=np.int64))
        if dtype == np.float32:
            values = (self.words(count) & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)
        else:
            values = (self.long_words(count) & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53
        return values.reshape(shape)

    def uniform_between(self, low: float, high: float, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Uniform on [low, high): ``u · (high − low) + low``, rounded once.

        PyTorch's compiler fuses this product and sum wherever the processor can (AVX2, AVX-512, ARM), so rounding each
        of them would miss half of PyTorch's numbers by one bit.
        """
        start = dtype.type(low)
        return _fused_multiply_add(self.uniform(shape, dtype), dtype.type(high) - start, start)

    def bernoulli(self, p: float | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A bool array that is True with probability p: a float64 uniform below p."""
        return self.uniform(shape, np.dtype(np.float64)) < p

    def normal(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Standard normal numbers by Box and Muller's transform."""
        count = int(np.prod(shape, dtype=np.int64))
        values = self._normal_blocks(count, dtype) if count >= 16 else self._normal_pairs(count, dtype)
        return values.reshape(shape)

    def _normal_blocks(self, count: int, dtype: np.dtype) -> np.ndarray:
        """Blocks of 16 uniforms: 8 radii and 8 angles.  A tail shorter than 16 redraws the last 16."""
        values = self.uniform((count,), dtype)
        whole = count - count % 16
        values[:whole] = _box_muller(values[:whole])
        if whole != count:
            values[-16:] = _box_muller(self.uniform((16,), dtype))
        return values

    def _normal_pairs(self, count: int, dtype: np.dtype) -> np.ndarray:
        """One at a time from two float64 uniforms (float32 draws its own), the sine kept for the next call."""
        values = np.empty(count, dtype)
        for i in range(count):
            if self._next_normal is not None:
                values[i], self._next_normal = self._next_normal, None
                continue
            angle, radius = self.uniform((2,), np.dtype(np.float64))
            radius, angle = np.sqrt(-2.0 * np.log1p(-radius)), 2.0 * np.pi * angle
            values[i], self._next_normal = radius * np.cos(angle), float(radius * np.sin(angle))
        return values

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
        """Integers in [low, high), int64: a word modulo the range, a 64-bit word from 2**32 - 1 up."""
        count = int(np.prod(shape, dtype=np.int64))
        span = high - low
        words = self.words(count) if span < 2**32 - 1 else self.long_words(count)
        return (words % np.uint64(span)).astype(np.int64).reshape(shape) + low

    def randperm(self, n: int) -> np.ndarray:
        """A permutation of 0 .. n-1, (n,) int64, by Fisher and Yates's shuffle."""
        words = self.words(max(n - 1, 0)) if n < 2**32 // 20 else self.long_words(n - 1)
        offsets = (words % np.arange(n, 1, -1, dtype=np.uint64)).tolist()
        order = list(range(n))
        for i, offset in enumerate(offsets):
            order[i], order[i + offset] = order[i + offset], order[i]
        return np.array(order, dtype=np.int64)


def _box_muller(uniforms: np.ndarray) -> np.ndarray:
    blocks = uniforms.reshape(-1, 2, 8)
    one, two_pi = uniforms.dtype.type(1), uniforms.dtype.type(2 * np.pi)
    radius = np.sqrt(-2 * np.log(one - blocks[:, 0]))
    angle = two_pi * blocks[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def _fused_multiply_add(x: np.ndarray, factor: np.floating, term: np.floating) -> np.ndarray:
    """``x · factor + term`` rounded once, in x's dtype, float32 or float64.

    Reference:
        Boldo, Melquiond: Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd.
        IEEE Trans. Comput. 57 (2008).
    """
    if x.dtype == np.float32:  # the product is exact in float64
        return _sum_rounded_to_odd(x.astype(np.float64) * np.float64(factor), np.float64(term)).astype(np.float32)
    product, product_error = _exact_product(x, factor)
    small, small_error = _exact_sum(product_error, term)
    large, large_error = _exact_sum(product, small)
    return large + _sum_rounded_to_odd(small_error, large_error)


def _exact_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b and its rounding error (Knuth)."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def _exact_product(a: Any, b: Any) -> tuple[Any, Any]:
    """a · b and its rounding error (Dekker), from halves of 26 bits."""
    splitter = 2.0**27 + 1
    a_high = splitter * a - (splitter * a - a)
    b_high = splitter * b - (splitter * b - b)
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _sum_rounded_to_odd(a: Any, b: Any) -> Any:
    """a + b in float64: exact, or the neighbour with an odd last bit, so that rounding it again is right."""
    total, error = _exact_sum(a, b)
    inexact_and_even = (error != 0) & (total.view(np.int64) & 1 == 0)
    return np.where(inexact_and_even, np.nextafter(total, np.where(error > 0, np.inf, -np.inf)), total)


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; the same seed gives PyTorch's numbers (see the module's text)."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator's present stream."""
    return default_generator.initial_seed()


def get_rng_state() -> dict[str, Any]:
    """A copy of the default generator's state."""
    return default_generator.get_state()


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the default generator into a state that ``get_rng_state`` returned."""
    default_generator.set_state(state)
