"""The one place where the arrays that kernels write to are allocated: large blocks are used again and again.

Memory fresh from the operating system is mapped and zeroed page by page when it is first touched: filling six new
arrays of 9.4 MB takes 15 ms, filling six used ones 5 ms, and a training step needs the same sizes every time.

A block is used again only when nothing can see it any more.  Every array handed out has a *lease* as its base, and
NumPy keeps the base alive as long as the array or any view of it (or a memoryview, or another library's tensor on
it) lives; the lease gives its block back when it dies.  So there is no reference counting of our own, and nothing
depends on the interpreter's.

The pool never holds more than ``SLACK`` times what was in use at one time, and ``SPARE``: when it needs a new block and
has idle ones of other sizes, it frees those that were used longest ago.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SMALLEST = 1 << 16
"""Below this many bytes the C library's own allocator is quick and does not go to the operating system."""

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector register."""

WASTE = 8
"""A request may get a block that is larger by one part in this many."""

SLACK = 1.25
"""How much memory the pool may hold, relative to the most that was ever in use at one time, not counting `SPARE`."""

SPARE = 16 << 20
"""Bytes that it may hold beyond that.  Small networks need them: without, LeNet-5 with batch 256 makes 11 blocks in
every step and frees as many, because the ones that are idle just then have the wrong sizes."""


LARGEST_SCRATCH = 8 << 20
"""More bytes than this are not kept as scratch memory."""


class _Memory(np.ndarray):
    """A block's bytes. The base of an array is what it was made from, or what that was made from if it has the array's
    type: bytes that are a plain array would take the place of a lease on them."""


class _Lease(np.ndarray):
    """A block's bytes, owned on behalf of the array whose base this is."""

    __slots__ = ("block",)
    block: _Block | None

    def __array_finalize__(self, source: Any) -> None:
        self.block = None  # a view that someone takes of a lease is none

    def __del__(self) -> None:
        # A lock here could be held already: the garbage collector runs anywhere.  deque.append is atomic.
        if self.block is not None:
            _returned.append(self.block)


class _Block:
    """Memory, and where its first address lies that is a multiple of `ALIGNMENT`."""

    __slots__ = ("capacity", "memory", "offset")

    def __init__(self, capacity: int) -> None:
        self.memory = np.empty(capacity, np.uint8).view(_Memory)
        self.capacity = capacity
        self.offset = -self.memory.__array_interface__["data"][0] % ALIGNMENT

    def aligned(self) -> Array:
        """The memory from there on."""
        return np.asarray(self.memory)[self.offset :]

    def leased(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array on the memory; when nothing refers to it any more, the block is given back."""
        lease = self.memory.view(_Lease)
        lease.block = self
        return np.ndarray(shape, dtype, lease, self.offset)


_lock = threading.Lock()
_returned: deque[_Block] = deque()  # given back and not yet sorted into _idle
_idle: dict[int, list[_Block]] = {}  # capacity in bytes -> blocks, the one used last at the end
_in_use = 0
_held = 0  # in use and idle together
_most_in_use = 0


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A C-contiguous, writable array with arbitrary contents.

    Args:
        shape: of the array.
        dtype: a NumPy dtype.

    Returns:
        An array that shares memory with no other living array, its first element on a 64-byte boundary if it is large.
    """
    size = dtype.itemsize
    for side in shape:
        size *= side
    if size < SMALLEST:
        return np.empty(shape, dtype)
    return _take(size).leased(shape, dtype)


def empty_like(model: Array) -> Array:
    """An array of the same shape and dtype; (N, C, H, W) arrays in channels-last memory give channels-last memory."""
    if model.ndim == 4 and not model.flags.c_contiguous:
        turned = model.transpose(0, 2, 3, 1)
        if turned.flags.c_contiguous:
            return empty(turned.shape, model.dtype).transpose(0, 3, 1, 2)
    return empty(model.shape, model.dtype)


def scratch(count: int, dtype: np.dtype[Any]) -> Array:
    """A 1-d array with arbitrary contents for one kernel to compute in: it is the same memory for every kernel.

    Args:
        count: elements, at least 0.
        dtype: a NumPy dtype.

    Returns:
        An array of at least ``count`` elements (none for 0) that the next call on this thread hands out again, so
        nothing may keep it.  Small or reused memory is also likely to be in the cache.
    """
    memory = _thread.scratch.get(dtype)
    if memory is not None and 0 < count <= memory.size:
        return memory
    size = count * dtype.itemsize
    if size == 0 or size > LARGEST_SCRATCH:
        return empty((count,), dtype)
    if _thread.bytes.size < size:
        _thread.use(_Block(_rounded(size) + ALIGNMENT).aligned())
    whole = _thread.bytes.size // dtype.itemsize * dtype.itemsize
    memory = _thread.scratch[dtype] = _thread.bytes[:whole].view(dtype)
    return memory


class _PerThread(threading.local):
    """The scratch memory of each thread, as bytes and as an array of each dtype that was asked for."""

    def __init__(self) -> None:
        self.scratch: dict[np.dtype[Any], Array] = {}
        self.use(np.empty(0, np.uint8))

    def use(self, memory: Array) -> None:
        """Use this memory from now on."""
        self.bytes = memory
        self.scratch.clear()


_thread = _PerThread()


def release() -> None:
    """Give all idle blocks, and this thread's scratch memory, back to the operating system."""
    global _held, _most_in_use
    _thread.use(np.empty(0, np.uint8))
    with _lock:
        _sort_returned()
        _idle.clear()
        _held = _most_in_use = _in_use


def statistics() -> dict[str, int]:
    """Bytes ``in_use`` by living arrays, ``idle`` in the pool, and ``most_in_use`` at one time so far."""
    with _lock:
        _sort_returned()
        return {"in_use": _in_use, "idle": _held - _in_use, "most_in_use": _most_in_use}


def _take(size: int) -> _Block:
    """A block of at least ``size`` bytes, plus what alignment may need."""
    global _in_use, _held, _most_in_use
    with _lock:
        _sort_returned()
        found = _find(size)
        if found is not None:
            _in_use += found.capacity
            if _in_use > _most_in_use:
                _most_in_use = _in_use
            return found
        capacity = _rounded(size) + ALIGNMENT
        _in_use += capacity
        _most_in_use = max(_most_in_use, _in_use)
        _shrink(int(SLACK * _most_in_use) + SPARE - capacity)
        _held += capacity
    try:
        return _Block(capacity)
    except MemoryError:
        with _lock:
            _in_use -= capacity
            _held -= capacity
        release()
        raise


def _rounded(size: int) -> int:
    """The size class: two significant binary digits after the first, so that nearly equal requests share blocks."""
    step = 1 << max(size.bit_length() - 4, 0)
    return -(-size // step) * step


def _find(size: int) -> _Block | None:
    """The idle block of the size class, or the smallest slightly larger one; None if there is none."""
    exact = _rounded(size) + ALIGNMENT
    blocks = _idle.get(exact)
    if blocks:
        return blocks.pop()
    limit = exact + exact // WASTE
    fitting = [capacity for capacity, blocks in _idle.items() if exact < capacity <= limit and blocks]
    return _idle[min(fitting)].pop() if fitting else None


def _sort_returned() -> None:
    """Put the blocks whose arrays died among the idle ones."""
    global _in_use
    while _returned:
        block = _returned.popleft()
        _in_use -= block.capacity
        # Taken out and put in again: the dictionary stays ordered by last use.
        blocks = _idle.pop(block.capacity, [])
        blocks.append(block)
        _idle[block.capacity] = blocks


def _shrink(limit: int) -> None:
    """Free idle blocks, sizes used longest ago first, until the pool holds at most ``limit`` bytes or none is idle."""
    global _held
    for capacity in list(_idle):
        blocks = _idle[capacity]
        while blocks and _held > limit:
            blocks.pop(0)
            _held -= capacity
        if not blocks:
            del _idle[capacity]
