"""The two micro-kernels that everything heavy stands on, emitted as vector code.

Compilers turn a simple loop into vector code, but they don't keep a tile of results in registers across a sum, and
that is what a matrix product needs: a processor core does two vector multiply-adds per cycle and can load only two
vectors in that time, so every value loaded must be used several times. The micro-kernels hold a tile of rows x
``vectors`` accumulators in registers: with the 16 registers of AVX2, 6 rows of 2 vectors, for whose 12 multiply-adds 8
loads are needed (6 scalars spread over a vector, 2 vectors); with the 32 of AVX-512 twice as many rows. Each
accumulator waits 4 cycles for its last addition, so at least 8 independent ones are needed to keep both units busy.

    dot_tile    tile[m, :] = start[m][:] + Σ_s Σ_r source_s[m][r] · weights[s, r, :]   (forward, input gradient)
    outer_tile  tile[m, :] += Σ_t source[t][offset_m] · rows[t, :]                    (weight gradient)

Measured on one core of Cascade Lake, whose units reach 152 GF/s, 64 channels x 9 positions, 2 vectors: 84 GF/s with 6
rows, 104 with two terms per round of the loop, which then has fewer instructions than the core can start, and 133 with
12 rows, which read the weights half as often from the L2 cache. `outer_tile` needs an address for each of its rows and
gains little beyond 8.

Reference: K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008;
F. Van Zee, R. van de Geijn, "BLIS: a framework for rapidly instantiating BLAS functionality", ACM TOMS 41(3), 2015.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from ._emitter import VECTOR_BYTES, VECTORS, Emitter, Part, intrinsic

ROWS = 12 if VECTOR_BYTES == 64 else 6
"""Rows of `dot_tile`'s tile: pixels."""

OUTER_ROWS = 8 if VECTOR_BYTES == 64 else 6
"""Rows of `outer_tile`'s tile: filter positions and channels."""

MORE_ROWS = 9 if VECTOR_BYTES == 64 else 6
"""Rows that it can have as well: filter positions of 3x3 filters fill tiles of 9."""


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
    rows: Any,
    origin: Any,
    pieces: Any,
    segments: Any,
    run: Any,
    weights: Any,
    start: Any,
    start_step: Any,
    floor: Any,
    targets: Any,
    target: Any,
    columns: Any,
) -> Any:
    """One tile of a matrix product whose left rows lie in pieces anywhere in memory.

    ``dot_tile(vectors, rows, …, columns)`` writes, for the `ROWS` rows m and the columns l < ``columns``,

        target[m][l] = max(floor, start[m][l] + Σ_{s < segments} Σ_{r < run} source[s][m][r] · weights[s·run + r][l])

    where source[s][m] begins ``origin + pieces[s] + rows[m]``.

    Args:
        vectors: Literal 1 or 2: vectors per row.
        rows: Address of one int64 per row: bytes from ``origin`` to its first piece.
        origin: Address.
        pieces: Address of one int64 per piece: bytes from a row's first piece to it.
        segments: Pieces of a row.
        run: Elements in a piece.
        weights: Address of the ``(segments·run, vectors)`` packed panel.
        start: Address of the values that the first row's sums start from.
        start_step: Bytes from there to those of the next row; 0 if all start from the same.
        floor: Of the arrays' dtype; 0 for a fused ReLU, −inf for none. NaN passes.
        targets: Address of one int64 per row: bytes from ``target`` to where it is written. Rows that the caller
            doesn't need repeat another one, in ``rows`` and here: the same bits are written twice, which is cheaper
            than a branch.
        target: Address.
        columns: How many columns to write, at least 1.
    """
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    width = vectors.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, rows, origin, pieces, segments, run, weights, start, start_step, floor, targets, target, columns = args
        emit = Emitter(builder, signature.args[9])

        def one_segment(s: Any, state: list[Any]) -> list[Any]:
            piece = builder.add(origin, emit.load_i64(builder.add(pieces, builder.mul(s, emit.i64(8))), 0))
            places = [builder.add(piece, emit.load_i64(rows, 8 * m)) for m in range(ROWS)]

            def terms(first: Any, count: int, state: list[Any]) -> list[Any]:
                panel, sums = state[0], state[1:]
                offset = builder.mul(first, emit.i64(emit.itemsize))
                for term in range(count):
                    columns_of = [emit.load(panel, (term * width + v) * VECTOR_BYTES) for v in range(width)]
                    there = builder.add(offset, emit.i64(term * emit.itemsize))
                    # A value is loaded right before its use: the compiler keeps this order, and all of them at once
                    # would drive sums out of the registers.
                    following = []
                    for m, place in enumerate(places):
                        value = emit.spread(builder.add(place, there))
                        following += [emit.fma(value, columns_of[v], sums[m * width + v]) for v in range(width)]
                    sums = following
                return [builder.add(panel, emit.i64(count * width * VECTOR_BYTES)), *sums]

            pairs, last = builder.lshr(run, emit.i64(1)), builder.sub(run, emit.i64(1))
            state = emit.loop(pairs, state, lambda pair, state: terms(builder.shl(pair, emit.i64(1)), 2, state))
            return emit.loop(builder.and_(run, emit.i64(1)), state, lambda _, state: terms(last, 1, state))

        begin = [builder.add(start, builder.mul(start_step, emit.i64(m))) for m in range(ROWS)]
        first = [emit.load(place, v * VECTOR_BYTES) for place in begin for v in range(width)]
        state = emit.loop(segments, [weights, *first], one_segment)
        lowest = emit.splat(floor)
        sums = [emit.at_least(lowest, value) for value in state[1:]]
        places = [builder.add(target, emit.load_i64(targets, 8 * m)) for m in range(ROWS)]
        full = builder.icmp_signed(">=", columns, emit.i64(width * emit.lanes))
        with builder.if_else(full, likely=True) as (then, otherwise):
            with then:
                for m in range(ROWS):
                    for v in range(width):
                        emit.store(sums[m * width + v], places[m], v * VECTOR_BYTES)
            with otherwise:
                for v in range(width):
                    part = emit.first_lanes(builder.sub(columns, emit.i64(v * emit.lanes)))
                    for m in range(ROWS):
                        emit.store_part(sums[m * width + v], places[m], v * VECTOR_BYTES, part)
        return context.get_dummy_value()

    arguments = (
        vectors, rows, origin, pieces, segments, run, weights, start, start_step, floor, targets, target, columns
    )  # fmt: skip
    return types.void(*arguments), generate


@intrinsic(prefer_literal=True)
def outer_tile(
    typing_context: Any,
    vectors: Any,
    height: Any,
    sources: Any,
    origin: Any,
    offsets: Any,
    rows: Any,
    count: Any,
    zero: Any,
    tile: Any,
) -> Any:
    """A sum of outer products, added to a tile.

    ``outer_tile(vectors, height, sources, origin, offsets, rows, count, zero, tile)``, for the rows m < ``height``:

        tile[m][l] += Σ_{t < count} source[t][m] · rows[t][l],   source[t][m] at ``origin + sources[t] + offsets[m]``

    Args:
        vectors: Literal 1 or 2: vectors per row of the tile.
        height: Literal, `OUTER_ROWS` or `MORE_ROWS`: rows of the tile.
        sources: Address of one int64 per pixel, bytes.
        origin: Address.
        offsets: Address of one int64 per row of the tile, bytes. Unneeded ones repeat another.
        rows: Address of the ``(count, vectors)`` packed rows.
        count: Terms of the sum.
        zero: Any value of the arrays' dtype.
        tile: Address of the ``(height, panel_width)`` tile, read and written.
    """
    if not isinstance(vectors, types.IntegerLiteral) or not isinstance(height, types.IntegerLiteral):
        return None
    width, row_count = vectors.literal_value, height.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, sources, origin, offsets, rows, count, _, tile = args
        emit = Emitter(builder, signature.args[7])
        steps = [builder.add(origin, emit.load_i64(offsets, 8 * m)) for m in range(row_count)]
        cells = [(m, v) for m in range(row_count) for v in range(width)]

        def one_pixel(t: Any, state: list[Any]) -> list[Any]:
            row, sums = state[0], state[1:]
            pixel = emit.load_i64(builder.add(sources, builder.mul(t, emit.i64(8))), 0)
            columns_of = [emit.load(row, v * VECTOR_BYTES) for v in range(width)]
            following = []
            for m, step in enumerate(steps):
                value = emit.spread(builder.add(pixel, step))
                following += [emit.fma(value, columns_of[v], sums[m * width + v]) for v in range(width)]
            return [builder.add(row, emit.i64(width * VECTOR_BYTES)), *following]

        places = [(m * VECTORS + v) * VECTOR_BYTES for m, v in cells]
        # From zero, not from the tile: nothing waits for it to arrive, and long sums are sums of short ones.
        state = emit.loop(count, [rows, *([emit.constant(0)] * len(cells))], one_pixel)
        for value, place in zip(state[1:], places):
            emit.store(builder.fadd(emit.load(tile, place), value), tile, place)
        return context.get_dummy_value()

    return types.void(vectors, height, sources, origin, offsets, rows, count, zero, tile), generate


DEPTHWISE_ROWS = 6
"""Rows of `depthwise_tile`'s tile: pixels."""


@intrinsic
def depthwise_tile(
    typing_context: Any,
    rows: Any,
    origin: Any,
    pieces: Any,
    segments: Any,
    weights: Any,
    weight_step: Any,
    start: Any,
    floor: Any,
    targets: Any,
    target: Any,
    columns: Any,
) -> Any:
    """`dot_tile` where every channel has a filter of its own: vectors of pixels instead of single elements.

    ``depthwise_tile(rows, origin, …, columns)`` writes, for `DEPTHWISE_ROWS` pixels m,

        target[m][l] = max(floor, start[l] + Σ_{s < segments} source[s][m][l] · weights[s][l])

    Args:
        rows, origin, pieces: As in `dot_tile`: where the pixels lie, from the panel's first channel on.
        segments: Filter positions.
        weights: Address of the packed panel's first filter position.
        weight_step: Bytes from one to the next.
        start: Address of the ``(panel_width,)`` values that the sums start from.
        floor, targets, target: As in `dot_tile`.
        columns: Channels from the panel's first one on; no memory is touched beyond them.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, origin, pieces, segments, weights, weight_step, start, floor, targets, target, columns = args
        emit = Emitter(builder, signature.args[7])
        tile = [(m, v) for m in range(DEPTHWISE_ROWS) for v in range(VECTORS)]

        def compute(parts: list[Part] | None) -> None:
            def one_segment(s: Any, sums: list[Any]) -> list[Any]:
                piece = builder.add(origin, emit.load_i64(builder.add(pieces, builder.mul(s, emit.i64(8))), 0))
                panel = builder.add(weights, builder.mul(s, weight_step))
                filters = emit.load_panel(panel, VECTORS, None)
                pixels = [
                    emit.load_panel(builder.add(piece, emit.load_i64(rows, 8 * m)), VECTORS, parts)
                    for m in range(DEPTHWISE_ROWS)
                ]
                return [emit.fma(pixels[m][v], filters[v], total) for (m, v), total in zip(tile, sums)]

            sums = emit.loop(segments, emit.load_panel(start, VECTORS, None) * DEPTHWISE_ROWS, one_segment)
            lowest = emit.splat(floor)
            for (m, v), total in zip(tile, sums):
                place = builder.add(target, emit.load_i64(targets, 8 * m))
                part = None if parts is None else parts[v]
                emit.store_some(emit.at_least(lowest, total), place, v * VECTOR_BYTES, part)

        emit.full_or_part(columns, compute)
        return context.get_dummy_value()

    arguments = (rows, origin, pieces, segments, weights, weight_step, start, floor, targets, target, columns)
    return types.void(*arguments), generate


TAPS = 3
"""Filter positions in a tile of `depthwise_outer_tile`."""


@intrinsic
def depthwise_outer_tile(
    typing_context: Any,
    sources: Any,
    origin: Any,
    offsets: Any,
    rows: Any,
    row_step: Any,
    count: Any,
    zero: Any,
    tile: Any,
    columns: Any,
) -> Any:
    """`outer_tile` where every channel has a filter of its own.

    ``depthwise_outer_tile(sources, origin, offsets, rows, row_step, count, zero, tile, columns)``, for `TAPS` filter
    positions m,

        tile[m][l] += Σ_{t < count} source[t][m][l] · rows[t][l]

    Args:
        sources, origin, offsets: As in `outer_tile`: where the pixels lie, from the panel's first channel on.
        rows: Address of the first row (of gradients), at the panel's first channel.
        row_step: Bytes from row to row.
        count: Rows.
        zero: Any value of the arrays' dtype.
        tile: Address of the ``(TAPS, panel_width)`` tile, read and written.
        columns: Channels from the panel's first one on; no memory is touched beyond them.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sources, origin, offsets, rows, row_step, count, _, tile, columns = args
        emit = Emitter(builder, signature.args[6])
        steps = [builder.add(origin, emit.load_i64(offsets, 8 * m)) for m in range(TAPS)]
        cells = [(m, v) for m in range(TAPS) for v in range(VECTORS)]
        places = [(m * VECTORS + v) * VECTOR_BYTES for m, v in cells]

        def compute(parts: list[Part] | None) -> None:
            def one_pixel(t: Any, sums: list[Any]) -> list[Any]:
                right = emit.load_panel(builder.add(rows, builder.mul(t, row_step)), VECTORS, parts)
                pixel = emit.load_i64(builder.add(sources, builder.mul(t, emit.i64(8))), 0)
                left = [emit.load_panel(builder.add(pixel, step), VECTORS, parts) for step in steps]
                return [emit.fma(left[m][v], right[v], total) for (m, v), total in zip(cells, sums)]

            sums = emit.loop(count, [emit.load(tile, place) for place in places], one_pixel)
            for value, place in zip(sums, places):
                emit.store(value, tile, place)

        emit.full_or_part(columns, compute)
        return context.get_dummy_value()

    arguments = (sources, origin, offsets, rows, row_step, count, zero, tile, columns)
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
