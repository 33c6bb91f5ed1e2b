"""The two micro-kernels that everything heavy stands on, emitted as vector code.

Compilers turn a simple loop into vector code, but they don't keep a tile of results in registers across a sum, and
that is what a matrix product needs: a processor core does two vector multiply-adds per cycle and can load only two
vectors in that time, so every value loaded must be used several times. The micro-kernels hold a tile of
`ROWS` x ``vectors`` accumulators in registers: 6 rows of 2 vectors are 12 of the 16 registers of AVX2, and 8 loads
(6 scalars spread over a vector, 2 vectors) feed 12 multiply-adds. Each accumulator waits 4 cycles for its last
addition, so at least 8 independent ones are needed to keep both units busy.

    dot_tile    tile[m, :] = start[m][:] + Σ_s Σ_r source_s[m][r] · weights[s, r, :]   (forward, input gradient)
    outer_tile  tile[m, :] += Σ_t source[t][offset_m] · rows[t, :]                    (weight gradient)

Both are Numba intrinsics: their body is LLVM IR, written with llvmlite, so it does not depend on what an optimiser
finds profitable. ``llvm.fmuladd`` becomes one instruction where the host has it and a multiplication and an addition
elsewhere (``llvm.fma`` would become a library call there: 2 instead of 103 GF/s). Addresses are plain int64, because
a tile gathers its rows from unrelated places.

Reference: K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008;
F. Van Zee, R. van de Geijn, "BLIS: a framework for rapidly instantiating BLAS functionality", ACM TOMS 41(3), 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
import numba.extending
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

ROWS = 6
"""Rows of a micro-kernel's tile: pixels in `dot_tile`, filter positions in `outer_tile`."""

VECTORS = 2
"""Vectors in each row of a full tile."""

intrinsic: Any = numba.extending.intrinsic  # its type, to a type checker, is that of the generator
_numba_config: Any = numba.config
_int64 = ir.IntType(64)
_pointer = ir.PointerType()


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


def lanes(dtype: Any) -> int:
    """Elements of ``dtype`` in one vector: 8 for float32 with AVX2."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def panel_width(dtype: Any) -> int:
    """Columns of a full tile, and so of a panel of packed weights: 16 for float32 with AVX2."""
    return VECTORS * lanes(dtype)


@intrinsic
def address(typing_context: Any, array: Any) -> Any:
    """``address(array)``: where its first element lies, as int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, _int64)

    return types.int64(array), generate


@intrinsic
def elements(typing_context: Any, where: Any, begin: Any, count: Any, zero: Any) -> Any:
    """``elements(where, begin, count, zero)``: a 1-d array over ``count`` elements from number ``begin`` on.

    Args:
        where: Address of the first element.
        begin, count: At least 0.
        zero: Any value of the dtype.
    """
    kind = types.Array(zero, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from numba.np.arrayobj import populate_array

        where, begin, count, _ = args
        itemsize = ir.Constant(_int64, signature.args[3].bitwidth // 8)
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(builder.add(where, builder.mul(begin, itemsize)), array.data.type)
        populate_array(array, data, [count], [itemsize], itemsize, None)
        return array._getvalue()

    return kind(where, begin, count, zero), generate


@intrinsic
def get(typing_context: Any, where: Any) -> Any:
    """``get(where)``: the int64 at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _pointer), typ=_int64, align=8)

    return types.int64(where), generate


@intrinsic
def size_of(typing_context: Any, value: Any) -> Any:
    """``size_of(value)``: bytes of a float32 or float64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_int64, signature.args[0].bitwidth // 8)

    return types.int64(value), generate


@intrinsic
def lowest_of(typing_context: Any, value: Any) -> Any:
    """``lowest_of(value)``: −inf of its dtype."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(args[0].type, float("-inf"))

    return value(value), generate


@intrinsic
def put(typing_context: Any, where: Any, value: Any) -> Any:
    """``put(where, value)``: write an int64 to an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _pointer), align=8)
        return context.get_dummy_value()

    return types.void(where, types.int64), generate


@intrinsic
def copy_element(typing_context: Any, source: Any, target: Any, zero: Any) -> Any:
    """``copy_element(source, target, zero)``: one element of ``zero``'s dtype from address to address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit = Emitter(builder, signature.args[2])
        value = builder.load(emit.pointer(args[0]), typ=emit.element, align=emit.itemsize)
        builder.store(value, emit.pointer(args[1]), align=emit.itemsize)
        return context.get_dummy_value()

    return types.void(source, target, zero), generate


@intrinsic
def copy_row(typing_context: Any, source: Any, target: Any, columns: Any, zero: Any) -> Any:
    """``copy_row(source, target, columns, zero)``: a full panel row from ``columns`` elements, zeros after them."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target, columns, _ = args
        emit = Emitter(builder, signature.args[3])

        def copy(masks: list[Any] | None) -> None:
            for v, value in enumerate(emit.load_panel(source, VECTORS, masks)):
                emit.store(value, target, v * VECTOR_BYTES)

        emit.full_or_masked(columns, copy)
        return context.get_dummy_value()

    return types.void(source, target, columns, zero), generate


@intrinsic
def add_rows(typing_context: Any, rows: Any, step: Any, columns: Any, count: Any, target: Any, zero: Any) -> Any:
    """``add_rows(rows, step, columns, count, target, zero)``: add rows of a panel's width at most up, into another.

    ``target[l] += Σ_{t < count} rows[t][l]`` for l < ``columns``, rows lying ``step`` bytes apart.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, step, columns, count, target, _ = args
        emit = Emitter(builder, signature.args[5])

        def sum_up(masks: list[Any] | None) -> None:
            def one_row(t: Any, state: list[Any]) -> list[Any]:
                row = emit.load_panel(builder.add(rows, builder.mul(t, step)), VECTORS, masks)
                return [builder.fadd(total, value) for total, value in zip(state, row)]

            totals = emit.loop(count, emit.load_panel(target, VECTORS, masks), one_row)
            for v, total in enumerate(totals):
                emit.store_some(total, target, v * VECTOR_BYTES, None if masks is None else masks[v])

        emit.full_or_masked(columns, sum_up)
        return context.get_dummy_value()

    return types.void(rows, step, columns, count, target, zero), generate


@intrinsic
def add_elements(typing_context: Any, source: Any, target: Any, count: Any, zero: Any) -> Any:
    """``add_elements(source, target, count, zero)``: ``target[l] += source[l]`` for l < ``count``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target, count, _ = args
        emit = Emitter(builder, signature.args[3])

        def one_vector(i: Any, state: list[Any]) -> list[Any]:
            offset = builder.mul(i, emit.i64(VECTOR_BYTES))
            left, right = builder.add(target, offset), builder.add(source, offset)
            emit.store(builder.fadd(emit.load(left), emit.load(right)), left)
            return []

        vectors = builder.sdiv(count, emit.i64(emit.lanes))
        done = builder.mul(vectors, emit.i64(emit.lanes))
        emit.loop(vectors, [], one_vector)
        rest = builder.sub(count, done)
        with builder.if_then(builder.icmp_signed(">", rest, emit.i64(0))):
            mask = emit.first_lanes(rest)
            offset = builder.mul(done, emit.i64(emit.itemsize))
            left, right = builder.add(target, offset), builder.add(source, offset)
            both = [emit.load_masked(where, 0, mask) for where in (left, right)]
            emit.store_masked(builder.fadd(*both), left, 0, mask)
        return context.get_dummy_value()

    return types.void(source, target, count, zero), generate


@intrinsic
def find_addresses(
    typing_context: Any, offsets: Any, count: Any, origin: Any, outside: Any, zero: Any, target: Any
) -> Any:
    """Turn offsets into addresses: ``target[k] = origin + offsets[k]·size_of(zero)``, or ``outside`` if negative.

    Args:
        offsets: Address of ``count`` int64, in elements.
        count: At least 0.
        origin, outside: Addresses.
        zero: Any value of the dtype that the offsets count.
        target: Address of ``count`` int64, written.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        offsets, count, origin, outside, _, target = args
        emit = Emitter(builder, signature.args[4])
        lanes = VECTOR_BYTES // 8
        wide = ir.VectorType(_int64, lanes)
        nothing, shift = ir.Constant(wide, None), ir.Constant(wide, [emit.itemsize.bit_length() - 1] * lanes)

        def splat(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(wide, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))

        begin, instead, number = splat(origin), splat(outside), ir.Constant(wide, list(range(lanes)))

        def one_vector(v: Any, state: list[Any]) -> list[Any]:
            done = builder.mul(v, emit.i64(lanes))
            mask = builder.icmp_signed("<", number, splat(builder.sub(count, done)))
            place = builder.mul(done, emit.i64(8))
            arguments = [_pointer, ir.IntType(32), mask.type, wide]
            load = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(wide, arguments), f"llvm.masked.load.v{lanes}i64.p0"
            )
            store = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(ir.VoidType(), [wide, _pointer, ir.IntType(32), mask.type]),
                f"llvm.masked.store.v{lanes}i64.p0",
            )
            alignment = ir.Constant(ir.IntType(32), 8)
            found = builder.call(load, [emit.pointer(builder.add(offsets, place)), alignment, mask, nothing])
            inside = builder.icmp_signed(">=", found, nothing)
            found = builder.select(inside, builder.add(begin, builder.shl(found, shift)), instead)
            builder.call(store, [found, emit.pointer(builder.add(target, place)), alignment, mask])
            return state

        emit.loop(builder.sdiv(builder.add(count, emit.i64(lanes - 1)), emit.i64(lanes)), [], one_vector)
        return context.get_dummy_value()

    return types.void(offsets, count, origin, outside, zero, target), generate


@intrinsic
def copy_bytes(typing_context: Any, source: Any, target: Any, count: Any) -> Any:
    """``copy_bytes(source, target, count)``: C's memcpy."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target, count = args
        kind = ir.FunctionType(ir.VoidType(), [_pointer, _pointer, _int64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memcpy.p0.p0.i64")
        places = [builder.inttoptr(where, _pointer) for where in (target, source)]
        builder.call(function, [*places, count, ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def zero_bytes(typing_context: Any, target: Any, count: Any) -> Any:
    """``zero_bytes(target, count)``: C's memset with 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_pointer, ir.IntType(8), _int64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memset.p0.i64")
        nothing = ir.Constant(ir.IntType(8), 0)
        where = builder.inttoptr(args[0], _pointer)
        builder.call(function, [where, nothing, args[1], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic(prefer_literal=True)
def dot_tile(
    typing_context: Any,
    vectors: Any,
    sources: Any,
    shift: Any,
    source_step: Any,
    shift_step: Any,
    segments: Any,
    run: Any,
    weights: Any,
    starts: Any,
    floor: Any,
    targets: Any,
    target_shift: Any,
    columns: Any,
) -> Any:
    """One tile of a matrix product whose left rows lie in pieces anywhere in memory.

    ``dot_tile(vectors, sources, …, columns)`` writes, for the
    6 rows m and the columns l < ``columns``,

        target[m][l] = max(floor, start[m][l] + Σ_{s < segments} Σ_{r < run} source[s][m][r] · weights[s·run + r][l])

    Args:
        vectors: Literal 1 or 2: vectors per row.
        sources: Address of the 6 addresses of the rows' first pieces.
        shift: Bytes to add to each of them.
        source_step: Bytes from there to the addresses of the next pieces; 0 where all rows' pieces lie evenly spaced
        shift_step: and this many bytes apart.
        segments: Pieces of a row.
        run: Elements in a piece.
        weights: Address of the ``(segments·run, panel_width)`` packed panel.
        starts: Address of the 6 addresses of the values that the rows' sums start from.
        floor: Of the arrays' dtype; 0 for a fused ReLU, −inf for none. NaN passes.
        targets: Address of the 6 addresses to write to. Rows that the caller doesn't need repeat another row, in
            ``sources`` and here: the same bits are written twice, which is cheaper than a branch.
        target_shift: Bytes to add to each of them.
        columns: How many columns to write, at least 1.
    """
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    width = vectors.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (
            _,
            sources,
            shift,
            source_step,
            shift_step,
            segments,
            run,
            weights,
            starts,
            floor,
            targets,
            target_shift,
            columns,
        ) = args
        emit = Emitter(builder, signature.args[9])
        panel_bytes = VECTORS * VECTOR_BYTES

        def one_segment(s: Any, state: list[Any]) -> list[Any]:
            row = builder.add(sources, builder.mul(s, source_step))
            move = builder.add(shift, builder.mul(s, shift_step))
            pieces = [builder.add(emit.load_i64(row, 8 * m), move) for m in range(ROWS)]

            def one_term(r: Any, state: list[Any]) -> list[Any]:
                panel, sums = state[0], state[1:]
                columns_of = [emit.load(panel, v * VECTOR_BYTES) for v in range(width)]
                offset = builder.mul(r, emit.i64(emit.itemsize))
                values = [emit.spread(builder.add(piece, offset)) for piece in pieces]
                sums = [
                    emit.fma(values[m], columns_of[v], sums[m * width + v]) for m in range(ROWS) for v in range(width)
                ]
                return [builder.add(panel, emit.i64(panel_bytes)), *sums]

            return emit.loop(run, state, one_term)

        origins = [emit.load_i64(starts, 8 * m) for m in range(ROWS)]
        first = [emit.load(origin, v * VECTOR_BYTES) for origin in origins for v in range(width)]
        state = emit.loop(segments, [weights, *first], one_segment)
        lowest = emit.splat(floor)
        sums = [emit.at_least(lowest, value) for value in state[1:]]
        places = [builder.add(emit.load_i64(targets, 8 * m), target_shift) for m in range(ROWS)]
        full = builder.icmp_signed(">=", columns, emit.i64(width * emit.lanes))
        with builder.if_else(full, likely=True) as (then, otherwise):
            with then:
                for m in range(ROWS):
                    for v in range(width):
                        emit.store(sums[m * width + v], places[m], v * VECTOR_BYTES)
            with otherwise:
                for v in range(width):
                    mask = emit.first_lanes(builder.sub(columns, emit.i64(v * emit.lanes)))
                    for m in range(ROWS):
                        emit.store_masked(sums[m * width + v], places[m], v * VECTOR_BYTES, mask)
        return context.get_dummy_value()

    arguments = (
        vectors,
        sources,
        shift,
        source_step,
        shift_step,
        segments,
        run,
        weights,
        starts,
        floor,
        targets,
        target_shift,
        columns,
    )
    return types.void(*arguments), generate


@intrinsic(prefer_literal=True)
def outer_tile(
    typing_context: Any,
    vectors: Any,
    sources: Any,
    shift: Any,
    offsets: Any,
    rows: Any,
    count: Any,
    zero: Any,
    tile: Any,
) -> Any:
    """A sum of outer products, added to a tile.

    ``outer_tile(vectors, sources, shift, offsets, rows, count, zero, tile)``:

        tile[m][l] += Σ_{t < count} source[t][offset_m] · rows[t][l]

    Args:
        vectors: Literal 1 or 2: vectors per row of the tile.
        sources: Address of the ``count`` addresses of the pixels to read.
        shift: Bytes to add to each of them.
        offsets: Address of 6 offsets in bytes from there. Unneeded ones repeat another.
        rows: Address of the ``(count, panel_width)`` packed rows.
        count: Terms of the sum.
        zero: Any value of the arrays' dtype.
        tile: Address of the ``(6, panel_width)`` tile, read and written.
    """
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    width = vectors.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, sources, shift, offsets, rows, count, _, tile = args
        emit = Emitter(builder, signature.args[6])
        panel_bytes = VECTORS * VECTOR_BYTES
        steps = [builder.add(emit.load_i64(offsets, 8 * m), shift) for m in range(ROWS)]

        def one_pixel(t: Any, state: list[Any]) -> list[Any]:
            row, sums = state[0], state[1:]
            pixel = emit.load_i64(builder.add(sources, builder.mul(t, emit.i64(8))), 0)
            columns_of = [emit.load(row, v * VECTOR_BYTES) for v in range(width)]
            values = [emit.spread(builder.add(pixel, step)) for step in steps]
            sums = [emit.fma(values[m], columns_of[v], sums[m * width + v]) for m in range(ROWS) for v in range(width)]
            return [builder.add(row, emit.i64(panel_bytes)), *sums]

        places = [m * panel_bytes + v * VECTOR_BYTES for m in range(ROWS) for v in range(width)]
        state = emit.loop(count, [rows, *(emit.load(tile, place) for place in places)], one_pixel)
        for value, place in zip(state[1:], places):
            emit.store(value, tile, place)
        return context.get_dummy_value()

    return types.void(vectors, sources, shift, offsets, rows, count, zero, tile), generate


@intrinsic
def depthwise_tile(
    typing_context: Any,
    sources: Any,
    shift: Any,
    segments: Any,
    weights: Any,
    start: Any,
    floor: Any,
    targets: Any,
    columns: Any,
) -> Any:
    """`dot_tile` where every channel has a filter of its own: vectors of pixels instead of single elements.

    ``depthwise_tile(sources, shift, segments, weights, start, floor, targets, columns)`` writes, for 6 pixels m,

        target[m][l] = max(floor, start[l] + Σ_{s < segments} source[s][m][l] · weights[s][l])

    Args:
        sources: Address of the ``(segments, 6)`` addresses of the pixels.
        shift: Bytes to add to each of them, and to the targets: where the panel's channels begin.
        segments: Filter positions.
        weights: Address of the ``(segments, panel_width)`` packed panel.
        start: Address of the ``(panel_width,)`` values that the sums start from.
        floor: As in `dot_tile`.
        targets: Address of the 6 addresses to write to.
        columns: Channels from the panel's first one on; no memory is touched beyond them.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sources, shift, segments, weights, start, floor, targets, columns = args
        emit = Emitter(builder, signature.args[5])
        tile = [(m, v) for m in range(ROWS) for v in range(VECTORS)]

        def compute(masks: list[Any] | None) -> None:
            def one_segment(s: Any, sums: list[Any]) -> list[Any]:
                row = builder.add(sources, builder.mul(s, emit.i64(8 * ROWS)))
                panel = builder.add(weights, builder.mul(s, emit.i64(VECTORS * VECTOR_BYTES)))
                filters = emit.load_panel(panel, VECTORS, None)
                pixels = [
                    emit.load_panel(builder.add(emit.load_i64(row, 8 * m), shift), VECTORS, masks) for m in range(ROWS)
                ]
                return [emit.fma(pixels[m][v], filters[v], total) for (m, v), total in zip(tile, sums)]

            sums = emit.loop(segments, emit.load_panel(start, VECTORS, None) * ROWS, one_segment)
            lowest = emit.splat(floor)
            for m in range(ROWS):
                place = builder.add(emit.load_i64(targets, 8 * m), shift)
                for v in range(VECTORS):
                    value = emit.at_least(lowest, sums[m * VECTORS + v])
                    if masks is None:
                        emit.store(value, place, v * VECTOR_BYTES)
                    else:
                        emit.store_masked(value, place, v * VECTOR_BYTES, masks[v])

        emit.full_or_masked(columns, compute)
        return context.get_dummy_value()

    return types.void(sources, shift, segments, weights, start, floor, targets, columns), generate


TAPS = 3
"""Filter positions in a tile of `depthwise_outer_tile`: half of `ROWS`, because a third operand comes from memory."""


@intrinsic
def depthwise_outer_tile(
    typing_context: Any,
    sources: Any,
    source_step: Any,
    shift: Any,
    rows: Any,
    row_step: Any,
    count: Any,
    zero: Any,
    tile: Any,
    columns: Any,
) -> Any:
    """`outer_tile` where every channel has a filter of its own.

    ``depthwise_outer_tile(sources, source_step, shift, rows, row_step, count, zero, tile, columns)``, for 3 filter
    positions m,

        tile[m][l] += Σ_{t < count} source[m][t][l] · rows[t][l]

    Args:
        sources: Address of the first position's list of the pixels' addresses.
        source_step: Bytes from one position's list to the next.
        shift: Bytes to add to each pixel's address: where the panel's channels begin.
        rows: Address of the first row (of gradients), at the panel's first channel.
        row_step: Bytes from row to row.
        count: Rows.
        zero: Any value of the arrays' dtype.
        tile: Address of the ``(3, panel_width)`` tile, read and written.
        columns: Channels from the panel's first one on; no memory is touched beyond them.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sources, source_step, shift, rows, row_step, count, _, tile, columns = args
        emit = Emitter(builder, signature.args[6])
        lists = [builder.add(sources, builder.mul(source_step, emit.i64(m))) for m in range(TAPS)]
        cells = [(m, v) for m in range(TAPS) for v in range(VECTORS)]
        places = [(m * VECTORS + v) * VECTOR_BYTES for m, v in cells]

        def compute(masks: list[Any] | None) -> None:
            def one_pixel(t: Any, sums: list[Any]) -> list[Any]:
                right = emit.load_panel(builder.add(rows, builder.mul(t, row_step)), VECTORS, masks)
                offset = builder.mul(t, emit.i64(8))
                left = [
                    emit.load_panel(builder.add(emit.load_i64(builder.add(pixels, offset), 0), shift), VECTORS, masks)
                    for pixels in lists
                ]
                return [emit.fma(left[m][v], right[v], total) for (m, v), total in zip(cells, sums)]

            sums = emit.loop(count, [emit.load(tile, place) for place in places], one_pixel)
            for value, place in zip(sums, places):
                emit.store(value, tile, place)

        emit.full_or_masked(columns, compute)
        return context.get_dummy_value()

    arguments = (sources, source_step, shift, rows, row_step, count, zero, tile, columns)
    return types.void(*arguments), generate


@intrinsic
def transpose_block(
    typing_context: Any, source: Any, source_step: Any, target: Any, target_step: Any, zero: Any
) -> Any:
    """Write the transpose of a square block of ``lanes`` x ``lanes`` elements, in registers.

    ``transpose_block(source, source_step, target, target_step, zero)``: addresses, bytes from row to row, and any
    value of the dtype. Element by element, a transposing copy touches a new cache line with every load.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, source_step, target, target_step, _ = args
        emit = Emitter(builder, signature.args[4])
        count = emit.lanes
        rows = [emit.load(builder.add(source, builder.mul(source_step, emit.i64(m)))) for m in range(count)]
        # Interleave row m with row m + count/2, log2(count) times: each round moves one bit of the column number
        # into the row number.
        low = [lane for i in range(count // 2) for lane in (i, count + i)]
        high = [lane + count // 2 for lane in low]
        half = count // 2
        for _ in range(count.bit_length() - 1):
            rows = [emit.shuffle(rows[m], rows[m + half], side) for m in range(half) for side in (low, high)]
        for m, row in enumerate(rows):
            emit.store(row, builder.add(target, builder.mul(target_step, emit.i64(m))))
        return context.get_dummy_value()

    return types.void(source, source_step, target, target_step, zero), generate


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
        return ir.Constant(_int64, value)

    def constant(self, value: Any) -> Any:
        """A vector with the number ``value`` in every lane."""
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def pointer(self, where: Any, offset: int = 0) -> Any:
        if offset:
            where = self.builder.add(where, self.i64(offset))
        return self.builder.inttoptr(where, _pointer)

    def load_i64(self, where: Any, offset: int) -> Any:
        return self.builder.load(self.pointer(where, offset), typ=_int64, align=8)

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

    def first_lanes(self, count: Any) -> Any:
        """The mask whose first ``count`` lanes are on."""
        wide = ir.VectorType(_int64, self.lanes)
        number = ir.Constant(wide, list(range(self.lanes)))
        undefined = ir.Constant(wide, ir.Undefined)
        one = self.builder.insert_element(undefined, count, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.icmp_signed("<", number, self.builder.shuffle_vector(one, undefined, zeros))

    def load_masked(self, where: Any, offset: int, mask: Any) -> Any:
        """A vector with zeros, and no access to memory, where the mask is off."""
        kind = ir.FunctionType(self.vector, [_pointer, ir.IntType(32), mask.type, self.vector])
        name = f"llvm.masked.load.{self.suffix}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        alignment = ir.Constant(ir.IntType(32), self.itemsize)
        nothing = ir.Constant(self.vector, None)
        return self.builder.call(function, [self.pointer(where, offset), alignment, mask, nothing])

    def load_panel(self, where: Any, vectors: int, masks: list[Any] | None) -> list[Any]:
        """``vectors`` vectors side by side; with masks, only what they allow."""
        if masks is None:
            return [self.load(where, v * VECTOR_BYTES) for v in range(vectors)]
        return [self.load_masked(where, v * VECTOR_BYTES, masks[v]) for v in range(vectors)]

    def full_or_masked(self, columns: Any, compute: Callable[[list[Any] | None], None]) -> None:
        """Emit ``compute`` twice: for a full panel, and with masks for one of fewer ``columns``."""
        full = self.builder.icmp_signed(">=", columns, self.i64(VECTORS * self.lanes))
        with self.builder.if_else(full, likely=True) as (then, otherwise):
            with then:
                compute(None)
            with otherwise:
                compute([self.first_lanes(self.builder.sub(columns, self.i64(v * self.lanes))) for v in range(VECTORS)])

    def store_masked(self, value: Any, where: Any, offset: int, mask: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [self.vector, _pointer, ir.IntType(32), mask.type])
        name = f"llvm.masked.store.{self.suffix}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        alignment = ir.Constant(ir.IntType(32), self.itemsize)
        self.builder.call(function, [value, self.pointer(where, offset), alignment, mask])

    def load_some(self, where: Any, mask: Any) -> Any:
        """A whole vector, or what the mask allows and zeros."""
        return self.load(where) if mask is None else self.load_masked(where, 0, mask)

    def store_some(self, value: Any, where: Any, offset: int, mask: Any) -> None:
        """A whole vector, or what the mask allows."""
        if mask is None:
            self.store(value, where, offset)
        else:
            self.store_masked(value, where, offset, mask)

    def for_channels(self, channels: Any, one_vector: Callable[[Any, Any], None]) -> None:
        """``one_vector(channel, mask)`` for every whole vector of channels (mask None), then for the rest."""
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
        index = builder.phi(_int64)
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
