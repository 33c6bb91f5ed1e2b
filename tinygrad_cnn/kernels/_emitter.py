"""Emits vector code: the instructions that all micro-kernels are made of, and how wide a vector is.

A micro-kernel is a Numba intrinsic: its body is LLVM IR, written with llvmlite, so it does not depend on what an
optimiser finds profitable. ``llvm.fmuladd`` becomes one instruction where the host has it and a multiplication and an
addition elsewhere (``llvm.fma`` would become a library call there: 2 instead of 103 GF/s).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
import numba
import numba.extending
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

VECTORS = 2
"""Vectors in each row of a full tile."""

intrinsic: Any = numba.extending.intrinsic  # its type, to a type checker, is that of the generator
_numba_config: Any = numba.config
INT64 = ir.IntType(64)
POINTER = ir.PointerType()


def _vector_bytes() -> int:
    """Bytes in a vector register of the CPU that Numba compiles for."""
    if _numba_config.CPU_NAME:  # someone asks for another CPU than the host's
        features = str(_numba_config.CPU_FEATURES or "")
        wide, middle = "+avx512f" in features, "+avx" in features
    else:
        host = llvmlite.binding.get_host_cpu_features()
        wide, middle = host.get("avx512f", False), host.get("avx", False)
    return 64 if wide else 32 if middle else 16


VECTOR_BYTES = _vector_bytes()

HALF_RATE = VECTOR_BYTES == 64 and (_numba_config.CPU_NAME or llvmlite.binding.get_host_cpu_name()) == "znver4"
"""Whether arithmetic on a vector takes the units two rounds, while an element is loaded and spread in one: Zen 4 has
AVX-512's registers and AVX2's units."""


def lanes(dtype: Any) -> int:
    """Elements of ``dtype`` in one vector: 8 for float32 with AVX2."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def panel_width(dtype: Any) -> int:
    """Columns of a full tile, and so of a panel of packed weights: 16 for float32 with AVX2."""
    return VECTORS * lanes(dtype)


class Part(NamedTuple):
    """The first lanes of a vector: how many, at most 0 for none, and as a mask."""

    count: Any
    mask: Any


class Emitter:
    """Emits the few instructions that the micro-kernels are made of, for one dtype."""

    def __init__(self, builder: Any, dtype: Any) -> None:
        self.builder = builder
        self.element = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.itemsize = 4 if dtype == types.float32 else 8
        self.lanes = VECTOR_BYTES // self.itemsize
        self.vector = ir.VectorType(self.element, self.lanes)
        self.suffix = f"v{self.lanes}f{8 * self.itemsize}"

    def i64(self, value: int) -> Any:
        return ir.Constant(INT64, value)

    def constant(self, value: Any) -> Any:
        """A vector with the number ``value`` in every lane."""
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def pointer(self, where: Any, offset: int = 0) -> Any:
        if offset:
            where = self.builder.add(where, self.i64(offset))
        return self.builder.inttoptr(where, POINTER)

    def load_i64(self, where: Any, offset: int) -> Any:
        return self.builder.load(self.pointer(where, offset), typ=INT64, align=8)

    def load(self, where: Any, offset: int = 0) -> Any:
        """A vector from memory of any alignment of the element's."""
        return self.builder.load(self.pointer(where, offset), typ=self.vector, align=self.itemsize)

    def store(self, value: Any, where: Any, offset: int = 0) -> None:
        self.builder.store(value, self.pointer(where, offset), align=self.itemsize)

    def splat(self, scalar: Any) -> Any:
        """A vector with ``scalar`` in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        lane_of_each = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, lane_of_each)

    def shuffle(self, a: Any, b: Any, lanes_of_both: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), lanes_of_both)
        return self.builder.shuffle_vector(a, b, mask)

    def lane(self, vector: Any, number: int) -> Any:
        """One element of a vector."""
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), number))

    def spread(self, where: Any) -> Any:
        """One element from memory, in every lane (a single instruction, vbroadcastss, on AVX)."""
        return self.splat(self.builder.load(self.pointer(where), typ=self.element, align=self.itemsize))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fmuladd.{self.suffix}")
        return self.builder.call(function, [a, b, c])

    def at_least(self, floor: Any, value: Any) -> Any:
        """``value < floor ? floor : value``: a comparison with NaN is false, so NaN passes."""
        return self.builder.select(self.builder.fcmp_ordered("<", value, floor), floor, value)

    def first_lanes(self, count: Any) -> Part:
        """The first ``count`` lanes; all where there are fewer."""
        wide = ir.VectorType(INT64, self.lanes)
        number = ir.Constant(wide, list(range(self.lanes)))
        undefined = ir.Constant(wide, ir.Undefined)
        one = self.builder.insert_element(undefined, count, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        mask = self.builder.icmp_signed("<", number, self.builder.shuffle_vector(one, undefined, zeros))
        return Part(count, mask)

    def load_part(self, where: Any, offset: int, part: Part) -> Any:
        """A vector with zeros, and no access to memory, beyond the part."""
        kind = ir.FunctionType(self.vector, [POINTER, ir.IntType(32), part.mask.type, self.vector])
        name = f"llvm.masked.load.{self.suffix}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        alignment = ir.Constant(ir.IntType(32), self.itemsize)
        nothing = ir.Constant(self.vector, None)
        return self.builder.call(function, [self.pointer(where, offset), alignment, part.mask, nothing])

    def load_panel(self, where: Any, vectors: int, parts: list[Part] | None) -> list[Any]:
        """``vectors`` vectors side by side, or a part of each."""
        if parts is None:
            return [self.load(where, v * VECTOR_BYTES) for v in range(vectors)]
        return [self.load_part(where, v * VECTOR_BYTES, parts[v]) for v in range(vectors)]

    def full_or_part(self, columns: Any, compute: Callable[[list[Part] | None], None], vectors: int = VECTORS) -> None:
        """Emit ``compute`` twice: for ``vectors`` full vectors, and for parts of them with fewer ``columns``."""
        full = self.builder.icmp_signed(">=", columns, self.i64(vectors * self.lanes))
        with self.builder.if_else(full, likely=True) as (then, otherwise):
            with then:
                compute(None)
            with otherwise:
                compute([self.first_lanes(self.builder.sub(columns, self.i64(v * self.lanes))) for v in range(vectors)])

    def store_part(self, value: Any, where: Any, offset: int, part: Part) -> None:
        """Store the first lanes.

        Without AVX-512 that is a half, a quarter ... of the vector, whatever the count is made of: AMD's cores make a
        masked store of AVX2 out of dozens of steps.
        """
        if VECTOR_BYTES == 64:
            kind = ir.FunctionType(ir.VoidType(), [self.vector, POINTER, ir.IntType(32), part.mask.type])
            name = f"llvm.masked.store.{self.suffix}.p0"
            function = cgutils.get_or_insert_function(self.builder.module, kind, name)
            alignment = ir.Constant(ir.IntType(32), self.itemsize)
            self.builder.call(function, [value, self.pointer(where, offset), alignment, part.mask])
            return
        self.store_pieces(value, self.builder.add(where, self.i64(offset)), part.count, self.itemsize)

    def store_pieces(self, value: Any, where: Any, count: Any, itemsize: int) -> None:
        """Store the first ``count`` lanes, at most all, in stores of powers of two."""
        builder = self.builder
        count = builder.select(builder.icmp_signed(">", count, self.i64(0)), count, self.i64(0))
        size = value.type.count
        with builder.if_else(builder.icmp_signed(">=", count, self.i64(size))) as (whole, pieces):
            with whole:
                builder.store(value, self.pointer(where), align=itemsize)
            with pieces:
                while size > 1:
                    size //= 2
                    low, high = (self.lanes_from(value, first, size) for first in (0, size))
                    fits = builder.icmp_signed("!=", builder.and_(count, self.i64(size)), self.i64(0))
                    with builder.if_then(fits):
                        builder.store(low, self.pointer(where), align=itemsize)
                    value = builder.select(fits, high, low)
                    where = builder.select(fits, builder.add(where, self.i64(size * itemsize)), where)

    def lanes_from(self, value: Any, first: int, count: int) -> Any:
        """A shorter vector, of some of the lanes."""
        lanes_taken = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, first + count)))
        return self.builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), lanes_taken)

    def load_some(self, where: Any, part: Part | None) -> Any:
        """A whole vector, or a part of it and zeros."""
        return self.load(where) if part is None else self.load_part(where, 0, part)

    def store_some(self, value: Any, where: Any, offset: int, part: Part | None) -> None:
        """A whole vector, or a part of it."""
        if part is None:
            self.store(value, where, offset)
        else:
            self.store_part(value, where, offset, part)

    def for_channels(self, channels: Any, one_vector: Callable[[Any, Part | None], None]) -> None:
        """``one_vector(channel, part)`` for every whole vector of channels (part None), then for the rest."""
        builder = self.builder

        def whole(v: Any, state: list[Any]) -> list[Any]:
            one_vector(builder.mul(v, self.i64(self.lanes)), None)
            return []

        vectors = builder.sdiv(channels, self.i64(self.lanes))
        self.loop(vectors, [], whole)
        done = builder.mul(vectors, self.i64(self.lanes))
        left = builder.sub(channels, done)
        with builder.if_then(builder.icmp_signed(">", left, self.i64(0))):
            one_vector(done, self.first_lanes(left))

    def bytes(self, channel: Any) -> Any:
        """How far a channel is from the first one."""
        return self.builder.mul(channel, self.i64(self.itemsize))

    def loop(self, count: Any, state: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """``for i in range(count): state = body(i, state)`` with the state in registers; returns the last state."""
        builder = self.builder
        before = builder.block
        inside, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed(">", count, self.i64(0)), inside, after)
        builder.position_at_end(inside)
        index = builder.phi(INT64)
        index.add_incoming(self.i64(0), before)
        carried = [builder.phi(value.type) for value in state]
        for phi, value in zip(carried, state):
            phi.add_incoming(value, before)
        result = body(index, list(carried))
        following = builder.add(index, self.i64(1))
        end = builder.block  # the body may have made blocks of its own
        index.add_incoming(following, end)
        for phi, value in zip(carried, result):
            phi.add_incoming(value, end)
        builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
        builder.position_at_end(after)
        last = [builder.phi(value.type) for value in state]
        for phi, value, new in zip(last, state, result):
            phi.add_incoming(value, before)
            phi.add_incoming(new, end)
        return list(last)
