"""Micro-kernels for filters that slide by one pixel: every pixel in a register meets a whole row of taps.

Neighbouring windows share all but one column. `_simd`'s tiles don't use that: they load a pixel once for every tap.
Here a pixel is spread over a vector once and multiplied with the KW weights (or gradients) of a filter row, for KW
different outputs, so one load feeds KW times as many multiply-adds. With KW = 3 and one vector of filters that is 3
instead of 1, which is the difference between loads and arithmetic as the bottleneck: 148 instead of 110 GF/s on one
core of Cascade Lake, whose units reach 152.

    sliding_tile         tile[m, :] = start[:] + Σ_p Σ_c Σ_q x[p, c, m + q] · weights[p, c, q, :]
    sliding_outer_tile   tile[q, c, :] += Σ_t x[t, c] · rows[t − q, :]
    depthwise_row        out[j, :] = start[:] + Σ_p Σ_q x[p, j + q, :] · weights[p, q, :]
    depthwise_outer_row  tile[p, q, :] += Σ_j x[p, j + q, :] · grad[j, :]

In the first two, rows of pixels lie one behind the other with a gap of KW − 1 pixels, filled with padding or with the
overhang of the row, so a block of rows is one long row: what is computed in the gaps is never looked at, or multiplied
by zero. In the other two, every channel has a 3x3 filter of its own, and both operands are vectors of channels. The
filter, or its gradient, stays in registers along a row, if there are 32: 3 or 4 loads for 9 multiply-adds instead of 10
or 12.

Reference: E. Georganas et al., "Anatomy of high-performance deep learning convolutions on SIMD architectures", SC 2018.
"""

from __future__ import annotations

from typing import Any

from numba import types

from ._emitter import VECTOR_BYTES, VECTORS, Emitter, Part, intrinsic
from ._image import Image

TAPS = (3, 5)
"""Widths of filters that there are kernels for."""

REGISTERS = 32 if VECTOR_BYTES == 64 else 16


def tile_pixels(taps: int) -> int:
    """Rows of `sliding_tile`'s tile: the weights of a filter row and a pixel need registers too."""
    return min(20, REGISTERS - taps - 2)


TILE_CHANNELS = 4 if REGISTERS == 32 else 3
"""Channels of `sliding_outer_tile`'s tile, which has ``taps`` rows for each.

Fewer than would find room: the compiler keeps all pixels and gradients of a step in registers at once.
"""


@intrinsic(prefer_literal=True)
def sliding_tile(
    typing_context: Any,
    taps: Any,
    x: Any,
    channel_step: Any,
    row_step: Any,
    rows: Any,
    channels: Any,
    weights: Any,
    start: Any,
    floor: Any,
    targets: Any,
    target: Any,
    dump: Any,
    columns: Any,
) -> Any:
    """`tile_pixels` neighbouring output pixels of one panel of filters.

    ``sliding_tile(taps, x, …, columns)`` writes, for the pixels m and the columns l < ``columns``,

        target[m][l] = max(floor, start[l] + Σ_{p < rows} Σ_{c < channels} Σ_{q < taps} x[p][c][m + q] · weights[…][l])

    Args:
        taps: Literal, of `TAPS`: the filter's width.
        x: Address of the first pixel that the first output sees, of the first channel; its row's next pixels follow.
        channel_step: Bytes to the same pixel of the next channel.
        row_step: Bytes to the pixel below.
        rows: The filter's height.
        channels: Number of channels.
        weights: Address of the ``(rows, channels, taps)`` packed vectors.
        start: Address of the values that the sums start from.
        floor: Of the arrays' dtype; 0 for a fused ReLU, −inf for none. NaN passes.
        targets: Address of one int64 per pixel: bytes from ``target`` to where it is written, −1 if it is not wanted.
        target: Address.
        dump: Address of a vector, where pixels that are not wanted go.
        columns: How many columns to write, at least 1.
    """
    if not isinstance(taps, types.IntegerLiteral):
        return None
    KW = taps.literal_value
    pixels = tile_pixels(KW)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, channel_step, row_step, rows, channels, weights, start, floor, targets, target, dump, columns = args[1:]
        emit = Emitter(builder, signature.args[8])

        def one_channel(_: Any, state: list[Any]) -> list[Any]:
            place, panel, *sums = state
            filters = [emit.load(panel, q * VECTOR_BYTES) for q in range(KW)]
            for k in range(pixels + KW - 1):
                pixel = emit.spread(builder.add(place, emit.i64(k * emit.itemsize)))
                for q in range(max(0, k - pixels + 1), min(KW, k + 1)):
                    sums[k - q] = emit.fma(pixel, filters[q], sums[k - q])
            return [builder.add(place, channel_step), builder.add(panel, emit.i64(KW * VECTOR_BYTES)), *sums]

        def one_row(p: Any, state: list[Any]) -> list[Any]:
            return emit.loop(channels, [builder.add(x, builder.mul(p, row_step)), *state], one_channel)[1:]

        sums = emit.loop(rows, [weights, *[emit.load(start)] * pixels], one_row)[1:]
        lowest = emit.splat(floor)
        sums = [emit.at_least(lowest, total) for total in sums]
        offsets = [emit.load_i64(targets, 8 * m) for m in range(pixels)]
        wanted = [builder.icmp_signed(">=", offset, emit.i64(0)) for offset in offsets]
        places = [builder.select(w, builder.add(target, offset), dump) for w, offset in zip(wanted, offsets)]

        def store(parts: list[Part] | None) -> None:
            for total, place in zip(sums, places):
                emit.store_some(total, place, 0, None if parts is None else parts[0])

        emit.full_or_part(columns, store, 1)
        return context.get_dummy_value()

    arguments = (
        taps, x, channel_step, row_step, rows, channels, weights, start, floor, targets, target, dump, columns
    )  # fmt: skip
    return types.void(*arguments), generate


@intrinsic(prefer_literal=True)
def sliding_outer_tile(
    typing_context: Any,
    taps: Any,
    x: Any,
    step: Any,
    rows: Any,
    count: Any,
    zero: Any,
    tile: Any,
) -> Any:
    """Outer products of a row of pixels with a row of gradients, for all taps of a filter row, added to a tile.

    ``sliding_outer_tile(taps, x, …, tile)``, for the taps q and `TILE_CHANNELS` channels c:

        tile[q][c][l] += Σ_{t < count} x[t][c] · rows[t − q][l]

    Args:
        taps: Literal, of `TAPS`: the filter's width.
        x: Address of the first pixel's first channel of the tile; the others follow.
        step: Bytes from pixel to pixel.
        rows: Address of the first of ``count`` packed vectors, which ``taps − 1`` others precede.
        count: Pixels.
        zero: Any value of the arrays' dtype.
        tile: Address of the ``(taps, TILE_CHANNELS, panel_width)`` tile, read and written: a vector of each row.
    """
    if not isinstance(taps, types.IntegerLiteral):
        return None
    KW = taps.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, step, rows, count, _, tile = args[1:]
        emit = Emitter(builder, signature.args[5])

        def one_pixel(_: Any, state: list[Any]) -> list[Any]:
            pixel, row, *sums = state
            grads = [emit.load(row, -q * VECTOR_BYTES) for q in range(KW)]
            for c in range(TILE_CHANNELS):
                value = emit.spread(builder.add(pixel, emit.i64(c * emit.itemsize)))
                for q in range(KW):
                    cell = q * TILE_CHANNELS + c
                    sums[cell] = emit.fma(value, grads[q], sums[cell])
            return [builder.add(pixel, step), builder.add(row, emit.i64(VECTOR_BYTES)), *sums]

        places = [cell * VECTORS * VECTOR_BYTES for cell in range(KW * TILE_CHANNELS)]
        sums = emit.loop(count, [x, rows, *(emit.load(tile, place) for place in places)], one_pixel)[2:]
        for value, place in zip(sums, places):
            emit.store(value, tile, place)
        return context.get_dummy_value()

    return types.void(taps, x, step, rows, count, zero, tile), generate


SIDE = 3
"""Rows and columns of the filters of `depthwise_row` and `depthwise_outer_row`."""


@intrinsic
def depthwise_row(
    typing_context: Any,
    image: Any,
    H: Any,
    W: Any,
    pixel: Any,
    zeros: Any,
    top: Any,
    left: Any,
    count: Any,
    weights: Any,
    weight_step: Any,
    start: Any,
    floor: Any,
    target: Any,
    columns: Any,
) -> Any:
    """A row of outputs of a 3x3 filter per channel, for one vector of channels.

    ``depthwise_row(image, H, W, …, columns)`` writes, for the pixels j < ``count`` and the channels l < ``columns``,

        target[j][l] = max(floor, start[l] + Σ_{q < 3} Σ_{p < 3} image[top + p][left + j + q][l] · weights[p][q][l])

    Each pixel that is loaded is added to three outputs at once; two of these are in registers, unfinished.

    Args:
        image: Address of the vector in the first pixel of an image.
        H, W: Its height and width.
        pixel: Bytes from pixel to pixel, of the image and of the target.
        zeros: Address of a row of the image with zeros: what lies outside.
        top, left: Row and column of the first pixel that the first output sees, maybe outside.
        count: Outputs.
        weights: Address of the first of 9 vectors.
        weight_step: Bytes from one to the next.
        start: Address of the vector that the sums start from.
        floor: Of the arrays' dtype; 0 for a fused ReLU, −inf for none. NaN passes.
        target: Address of the first output.
        columns: Channels from here on; no memory is touched beyond them.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        image, H, W, pixel, zeros, top, left, count, weights, weight_step, start, floor, target, columns = args
        emit = Emitter(builder, signature.args[11])
        pixels = Image(emit, image, H, W, pixel, zeros, top, SIDE)

        def compute(parts: list[Part] | None) -> None:
            part = None if parts is None else parts[0]
            places = [builder.add(weights, builder.mul(weight_step, emit.i64(k))) for k in range(SIDE * SIDE)]
            filters = [emit.load(place) for place in places]
            bias, lowest = emit.load(start), emit.splat(floor)

            def add(total: Any, q: int, seen: list[Any]) -> Any:
                for p, value in enumerate(seen):
                    total = emit.fma(value, filters[p * SIDE + q], total)
                return total

            def one_pixel(j: Any, state: list[Any]) -> list[Any]:
                column, place, last, second = state
                seen = pixels.column(column, part=part)
                emit.store_some(emit.at_least(lowest, add(last, 2, seen)), place, 0, part)
                following = builder.add(column, emit.i64(1)), builder.add(place, pixel)
                return [*following, add(second, 1, seen), add(bias, 0, seen)]

            first, next_column = pixels.column(left, part=part), builder.add(left, emit.i64(1))
            second = pixels.column(next_column, part=part)
            sums = [add(add(bias, 0, first), 1, second), add(bias, 0, second)]
            emit.loop(count, [builder.add(next_column, emit.i64(1)), target, *sums], one_pixel)

        emit.full_or_part(columns, compute, 1)
        return context.get_dummy_value()

    arguments = (
        image, H, W, pixel, zeros, top, left, count, weights, weight_step, start, floor, target, columns
    )  # fmt: skip
    return types.void(*arguments), generate


@intrinsic
def depthwise_outer_row(
    typing_context: Any,
    image: Any,
    H: Any,
    W: Any,
    pixel: Any,
    zeros: Any,
    top: Any,
    left: Any,
    count: Any,
    grads: Any,
    zero: Any,
    tile: Any,
    tile_step: Any,
    total: Any,
    columns: Any,
) -> Any:
    """The part of a row of gradients in the weights' gradients of a 3x3 filter per channel, for one vector of channels.

    ``depthwise_outer_row(image, H, W, …, columns)``, for the channels l < ``columns``:

        tile[p][q][l] += Σ_{j < count} image[top + p][left + j + q][l] · grads[j][l]
        total[l]      += Σ_{j < count} grads[j][l]

    Args:
        image, H, W, pixel, zeros, top, left, columns: As in `depthwise_row`.
        count: Gradients, at least 1.
        grads: Address of the first one's vector; the others are ``pixel`` bytes apart.
        zero: Any value of the arrays' dtype.
        tile: Address of the sums of p = q = 0. Rows of a panel lie between those of one q and the next.
        tile_step: Bytes from p to p + 1.
        total: Address of a vector.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        image, H, W, pixel, zeros, top, left, count, grads, _, tile, tile_step, total, columns = args
        emit = Emitter(builder, signature.args[9])
        pixels = Image(emit, image, H, W, pixel, zeros, top, SIDE)
        nothing = emit.constant(0)

        def compute(parts: list[Part] | None) -> None:
            part = None if parts is None else parts[0]

            def one_pixel(j: Any, state: list[Any]) -> list[Any]:
                column, place, summed, *rest = state
                seen, sums = [*rest[: 2 * SIDE], *pixels.column(column, part=part)], rest[2 * SIDE :]
                grad = emit.load_some(place, part)
                sums = [emit.fma(value, grad, total) for value, total in zip(seen, sums)]
                following = builder.add(column, emit.i64(1)), builder.add(place, pixel)
                return [*following, builder.fadd(summed, grad), *seen[SIDE:], *sums]

            second = builder.add(left, emit.i64(1))
            seen = [*pixels.column(left, part=part), *pixels.column(second, part=part)]
            state = [builder.add(second, emit.i64(1)), grads, nothing, *seen, *[nothing] * (SIDE * SIDE)]
            summed, *rest = emit.loop(count, state, one_pixel)[2:]
            emit.store(builder.fadd(emit.load(total), summed), total)
            for k, value in enumerate(rest[2 * SIDE :]):  # columns before rows, as the pixels were loaded
                place = builder.add(tile, builder.mul(tile_step, emit.i64(k % SIDE)))
                place = builder.add(place, emit.i64(k // SIDE * VECTORS * VECTOR_BYTES))
                emit.store(builder.fadd(emit.load(place), value), place)

        emit.full_or_part(columns, compute, 1)
        return context.get_dummy_value()

    arguments = (
        image, H, W, pixel, zeros, top, left, count, grads, zero, tile, tile_step, total, columns
    )  # fmt: skip
    return types.void(*arguments), generate
