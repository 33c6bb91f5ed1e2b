"""The two micro-kernels that everything heavy stands on, emitted as vector code.

Compilers turn a simple loop into vector code, but they don't keep a tile of results in registers across a sum, and
that is what a matrix product needs: a processor core does two vector multiply-adds per cycle and can load only two
vectors in that time, so every value loaded must be used several times. The micro-kernels hold a tile of
`ROWS` x ``vectors`` accumulators in registers: 6 rows of 2 vectors are 12 of the 16 registers of AVX2, and 8 loads
(6 scalars spread over a vector, 2 vectors) feed 12 multiply-adds. Each accumulator waits 4 cycles for its last
addition, so at least 8 independent ones are needed to keep both units busy.

    dot_tile    tile[m, :] = start[m][:] + Σ_s Σ_r source_s[m][r] · weights[s, r, :]   (forward, input gradient)
    outer_tile  tile[m, :] += Σ_t source[t][offset_m] · rows[t, :]                    (weight gradient)

Reference: K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008;
F. Van Zee, R. van de Geijn, "BLIS: a framework for rapidly instantiating BLAS functionality", ACM TOMS 41(3), 2015.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from ._emitter import VECTOR_BYTES, VECTORS, Emitter, intrinsic

ROWS = 6
"""Rows of a micro-kernel's tile: pixels in `dot_tile`, filter positions in `outer_tile`."""


@intrinsic
def lowest_of(typing_context: Any, value: Any) -> Any:
    """``lowest_of(value)``: −inf of its dtype."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(args[0].type, float("-inf"))

    return value(value), generate


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
