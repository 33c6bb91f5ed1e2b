"""The micro-kernels of max pooling: a row of windows, all channels, in registers.

    max_windows     out[j][c] = max over window j of pixel[c];  place[j][c] = which pixel that was; ReLU too if wanted
    spread_windows  pixel[c] = grad[j][c] where place[j][c] is this pixel of window j, else 0
    sum_winners     pixel[c] = Σ grad[j][c] over the windows j that it won: for windows that overlap

Written as vector code, because a compiler vectorises the loop over channels only from 8 or 16 channels on, and LeNet's
first pooling layer has 6. There a vector holds 6 numbers and the first 2 of the next window, which is written next: so
whole vectors are stored, and only the last window of a row takes care not to. Against masked vectors everywhere that
is 4 times as fast on Zen 3 (256 images of 6 channels of 28x28).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ._emitter import VECTOR_BYTES, Emitter, Part, intrinsic

BLOCKS = (4, 2)
"""Vectors of a pixel that `sum_winners` adds up at a time, as long as there are so many: windows are few, and each
costs as much as a vector. With pairs of vectors, gradients of 32 channels take half as long on Zen 4 with AVX-512."""

_int32 = ir.IntType(32)


@intrinsic(prefer_literal=True)
def max_windows(
    typing_context: Any,
    KH: Any,
    KW: Any,
    source: Any,
    window_step: Any,
    row_step: Any,
    column_step: Any,
    count: Any,
    whole: Any,
    first: Any,
    row_places: Any,
    none: Any,
    channels: Any,
    out: Any,
    places: Any,
    zero: Any,
    number: Any,
) -> Any:
    """The largest pixel of each window, channel by channel, and its place; the first of equal ones, and NaN before all.

    Args:
        KH, KW: Rows and columns of a window, at least 1; literals where the loops shall be unrolled.
        source: Address of the first window's first pixel.
        window_step, row_step, column_step: Bytes from window to window, from row to row, and from pixel to pixel.
        count: Windows.
        whole: The first so many windows may read and write on to the end of a vector.
        first: The first pixel's place.
        row_places: Places from one row to the next.
        none: Where the maximum is 0 or less, write 0 and this place instead; negative: don't.
        channels: At least 0.
        out: Address of ``(count, channels)`` values, written.
        places: Address of ``(count, channels)`` places, written; 0: they are not wanted.
        zero: Any value of the values' dtype.
        number: Any value of the places' dtype, uint8 or int32.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        KH, KW, source, window_step, row_step, column_step, count, whole, first, row_places, none = args[:11]
        channels, out, places = args[11:14]
        sizes = [_literal(kind) for kind in signature.args[:2]]
        emit = _WindowEmitter(builder, signature.args[14], signature.args[15])
        with_relu = emit.all_lanes(builder.icmp_signed(">=", none, emit.i64(0)))
        with_places = builder.icmp_signed("!=", places, emit.i64(0))

        def one_vector(window: Any, channel: Any, part: Part | None) -> None:
            origin = builder.add(builder.add(source, builder.mul(window, window_step)), emit.bytes(channel))
            start = [emit.load_some(origin, part), emit.splat_place(first)]

            def one_row(p: Any, state: list[Any]) -> list[Any]:
                row = builder.add(origin, builder.mul(p, row_step))
                place = builder.add(first, builder.mul(p, row_places))

                def one_pixel(q: Any, state: list[Any]) -> list[Any]:
                    value = emit.load_some(builder.add(row, builder.mul(q, column_step)), part)
                    wins = builder.or_(
                        builder.fcmp_ordered(">", value, state[0]), builder.fcmp_unordered("uno", value, value)
                    )
                    number = emit.splat_place(builder.add(place, q))
                    return [builder.select(wins, value, state[0]), builder.select(wins, number, state[1])]

                return emit.repeat(sizes[1], KW, state, one_pixel)

            best, place = emit.repeat(sizes[0], KH, start, one_row)
            dead = builder.and_(builder.fcmp_ordered("<=", best, emit.constant(0)), with_relu)
            target = builder.add(builder.mul(window, channels), channel)
            emit.store_some(builder.select(dead, emit.constant(0), best), builder.add(out, emit.bytes(target)), 0, part)
            with builder.if_then(with_places):
                place = builder.select(dead, emit.splat_place(none), place)
                emit.store_places(place, builder.add(places, emit.place_bytes(target)), part)

        emit.for_windows(count, whole, channels, one_vector)
        return context.get_dummy_value()

    arguments = (
        KH, KW, source, window_step, row_step, column_step, count, whole, first, row_places, none, channels, out,
        places, zero, number,
    )  # fmt: skip
    return types.void(*arguments), generate


@intrinsic(prefer_literal=True)
def spread_windows(
    typing_context: Any,
    KH: Any,
    KW: Any,
    grad: Any,
    places: Any,
    count: Any,
    whole: Any,
    first: Any,
    row_places: Any,
    channels: Any,
    out: Any,
    window_step: Any,
    row_step: Any,
    column_step: Any,
    zero: Any,
    number: Any,
) -> Any:
    """Write each window's gradient to the pixel that won, channel by channel, and 0 to its other pixels.

    Args:
        KH, KW: Rows and columns of a window, at least 1; literals where the loops shall be unrolled.
        grad: Address of ``(count, channels)`` values.
        places: Address of ``(count, channels)`` places, `max_windows`'s.
        count, whole, first, row_places, channels: As there.
        out: Address of the first window's first pixel; windows share no pixel.
        window_step, row_step, column_step: Bytes from window to window, from row to row, and from pixel to pixel.
        zero: Any value of the values' dtype.
        number: Any value of the places' dtype, uint8 or int32.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        KH, KW, grad, places, count, whole, first, row_places, channels, out = args[:10]
        window_step, row_step, column_step = args[10:13]
        sizes = [_literal(kind) for kind in signature.args[:2]]
        emit = _WindowEmitter(builder, signature.args[13], signature.args[14])

        def one_vector(window: Any, channel: Any, part: Part | None) -> None:
            where = builder.add(builder.mul(window, channels), channel)
            value = emit.load_some(builder.add(grad, emit.bytes(where)), part)
            place = emit.load_places(builder.add(places, emit.place_bytes(where)), part)
            origin = builder.add(builder.add(out, builder.mul(window, window_step)), emit.bytes(channel))

            def one_row(p: Any, _: list[Any]) -> list[Any]:
                row = builder.add(origin, builder.mul(p, row_step))
                here = builder.add(first, builder.mul(p, row_places))

                def one_pixel(q: Any, _: list[Any]) -> list[Any]:
                    won = builder.icmp_signed("==", place, emit.splat_place(builder.add(here, q)))
                    pixel = builder.add(row, builder.mul(q, column_step))
                    emit.store_some(builder.select(won, value, emit.constant(0)), pixel, 0, part)
                    return []

                return emit.repeat(sizes[1], KW, [], one_pixel)

            emit.repeat(sizes[0], KH, [], one_row)

        emit.for_windows(count, whole, channels, one_vector, last_first=True)
        return context.get_dummy_value()

    arguments = (
        KH, KW, grad, places, count, whole, first, row_places, channels, out, window_step, row_step, column_step,
        zero, number,
    )  # fmt: skip
    return types.void(*arguments), generate


@intrinsic
def sum_winners(
    typing_context: Any,
    grad: Any,
    places: Any,
    place: Any,
    rows: Any,
    row_step: Any,
    row_places: Any,
    columns: Any,
    column_step: Any,
    column_places: Any,
    channels: Any,
    out: Any,
    zero: Any,
    number: Any,
) -> Any:
    """Write the sum of the gradients that one pixel won, channel by channel.

    It lies in ``rows`` x ``columns`` windows, in each at another place.

    Args:
        grad: Address of the first window's ``channels`` values.
        places: Address of its places, `max_windows`'s.
        place: The pixel's place in it.
        rows, columns: Of windows, at least 0.
        row_step, column_step: Windows from one to the next in memory.
        row_places, column_places: What the pixel's place becomes larger by.
        channels: At least 0.
        out: Address of the pixel, written.
        zero: Any value of the values' dtype.
        number: Any value of the places' dtype, uint8 or int32.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        grad, places, place, rows, row_step, row_places, columns, column_step, column_places, channels, out = args[:11]
        emit = _WindowEmitter(builder, signature.args[11], signature.args[12])

        def some_vectors(channel: Any, vectors: int, part: Part | None) -> None:
            def one_row(i: Any, totals: list[Any]) -> list[Any]:
                first_window = builder.mul(i, row_step)
                first_place = builder.add(place, builder.mul(i, row_places))

                def one_window(j: Any, totals: list[Any]) -> list[Any]:
                    here = emit.splat_place(builder.add(first_place, builder.mul(j, column_places)))
                    window = builder.add(first_window, builder.mul(j, column_step))
                    where = builder.add(builder.mul(window, channels), channel)
                    values, winners = builder.add(grad, emit.bytes(where)), builder.add(places, emit.place_bytes(where))
                    return [add_won(values, winners, v * emit.lanes, here, part, t) for v, t in enumerate(totals)]

                return emit.loop(columns, totals, one_window)

            totals = emit.loop(rows, [emit.constant(0)] * vectors, one_row)
            for v, total in enumerate(totals):
                emit.store_some(total, builder.add(out, emit.bytes(channel)), v * VECTOR_BYTES, part)

        def add_won(values: Any, winners: Any, ahead: int, here: Any, part: Part | None, total: Any) -> Any:
            value = emit.load_some(builder.add(values, emit.i64(ahead * emit.itemsize)), part)
            winner = emit.load_places(builder.add(winners, emit.i64(ahead * emit.place_size)), part)
            won = builder.icmp_signed("==", winner, here)
            return builder.fadd(total, builder.select(won, value, emit.constant(0)))

        def blocks_of(vectors: int, begin: Any) -> Any:
            """Whole blocks of channels from ``begin`` on; returns where they end."""
            in_block = emit.i64(vectors * emit.lanes)

            def one_block(i: Any, state: list[Any]) -> list[Any]:
                some_vectors(builder.add(begin, builder.mul(i, in_block)), vectors, None)
                return []

            blocks = builder.sdiv(builder.sub(channels, begin), in_block)
            emit.loop(blocks, [], one_block)
            return builder.add(begin, builder.mul(blocks, in_block))

        done = emit.i64(0)
        for vectors in BLOCKS:
            done = blocks_of(vectors, done)
        emit.for_channels(
            builder.sub(channels, done),
            lambda channel, part: some_vectors(builder.add(done, channel), 1, part),
        )
        return context.get_dummy_value()

    arguments = (
        grad, places, place, rows, row_step, row_places, columns, column_step, column_places, channels, out, zero,
        number,
    )  # fmt: skip
    return types.void(*arguments), generate


def _literal(kind: Any) -> int | None:
    return kind.literal_value if isinstance(kind, types.IntegerLiteral) else None


class _WindowEmitter(Emitter):
    """Vectors of places beside vectors of values, both whole or masked."""

    def __init__(self, builder: Any, dtype: Any, place_dtype: Any) -> None:
        super().__init__(builder, dtype)
        self.place_size = place_dtype.bitwidth // 8
        self.place = ir.VectorType(ir.IntType(place_dtype.bitwidth), self.lanes)
        self.wide_place = ir.VectorType(_int32, self.lanes)  # in registers, a place is as wide as a float32

    def place_bytes(self, channel: Any) -> Any:
        return self.builder.mul(channel, self.i64(self.place_size))

    def for_windows(
        self,
        count: Any,
        whole: Any,
        channels: Any,
        one_vector: Callable[[Any, Any, Part | None], None],
        last_first: bool = False,
    ) -> None:
        """``one_vector(window, channel, part)`` for all windows, of which the first ``whole`` need no parts.

        There a window's last vector goes on into the first channels of what comes next in memory. If that is the next
        window, it is written next. If it is a pixel of the same window, the last vector has to come first. Otherwise
        the channels ascend: Zen 3 fetches ahead what is read in order, and takes half as long as from the last to the
        first.
        """
        builder = self.builder
        last = builder.add(channels, self.i64(self.lanes - 1))
        vectors = builder.sdiv(last, self.i64(self.lanes))

        def freely(window: Any, state: list[Any]) -> list[Any]:
            def at(v: Any, state: list[Any]) -> list[Any]:
                if last_first:
                    first = builder.icmp_signed("==", v, self.i64(0))
                    v = builder.sub(builder.select(first, vectors, v), self.i64(1))
                one_vector(window, builder.mul(v, self.i64(self.lanes)), None)
                return []

            return self.loop(vectors, state, at)

        def carefully(after: Any, state: list[Any]) -> list[Any]:
            window = builder.add(whole, after)
            self.for_channels(channels, lambda channel, part: one_vector(window, channel, part))
            return state

        self.loop(whole, [], freely)
        self.loop(builder.sub(count, whole), [], carefully)

    def repeat(self, size: int | None, count: Any, state: list[Any], body: Callable[..., list[Any]]) -> list[Any]:
        """`loop`, unrolled where the number of rounds is known."""
        if size is None:
            return self.loop(count, state, body)
        for i in range(size):
            state = body(self.i64(i), state)
        return state

    def splat_place(self, value: Any) -> Any:
        """An int64 in every lane, as int32."""
        undefined = ir.Constant(self.wide_place, ir.Undefined)
        one = self.builder.insert_element(undefined, self.builder.trunc(value, _int32), ir.Constant(_int32, 0))
        zeros = ir.Constant(ir.VectorType(_int32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def all_lanes(self, condition: Any) -> Any:
        """A condition in every lane."""
        wide = ir.VectorType(ir.IntType(1), self.lanes)
        undefined = ir.Constant(wide, ir.Undefined)
        one = self.builder.insert_element(undefined, condition, ir.Constant(_int32, 0))
        zeros = ir.Constant(ir.VectorType(_int32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def load_places(self, where: Any, part: Part | None) -> Any:
        if part is None:
            found = self.builder.load(self.pointer(where), typ=self.place, align=self.place_size)
        elif self.has_masks:
            kind = ir.FunctionType(self.place, [ir.PointerType(), _int32, part.mask.type, self.place])
            nothing = ir.Constant(self.place, None)
            arguments = [self.pointer(where), ir.Constant(_int32, self.place_size), part.mask, nothing]
            found = self.builder.call(self._masked("load", kind), arguments)
        else:
            found = self.load_bytes(where, part.count)
        return found if self.place_size == 4 else self.builder.zext(found, self.wide_place)

    def store_places(self, value: Any, where: Any, part: Part | None) -> None:
        if self.place_size < 4:
            value = self.builder.trunc(value, self.place)
        if part is None:
            self.builder.store(value, self.pointer(where), align=self.place_size)
        elif self.has_masks:
            kind = ir.FunctionType(ir.VoidType(), [self.place, ir.PointerType(), _int32, part.mask.type])
            arguments = [value, self.pointer(where), ir.Constant(_int32, self.place_size), part.mask]
            self.builder.call(self._masked("store", kind), arguments)
        else:
            self.store_pieces(value, where, part.count, self.place_size)

    @property
    def has_masks(self) -> bool:
        """Whether masked loads and stores of places are left to the compiler; AVX2 has them of 4 bytes only."""
        return VECTOR_BYTES == 64 or self.place_size == 4

    def load_bytes(self, where: Any, count: Any) -> Any:
        """The first ``count`` places of one byte, fewer than all, in loads of powers of two; zeros beyond them."""
        builder, size = self.builder, self.lanes
        whole = ir.IntType(8 * self.lanes)
        found, shift = ir.Constant(whole, 0), self.i64(0)
        while size > 1:
            size //= 2
            before = builder.block
            fits = builder.icmp_signed("!=", builder.and_(count, self.i64(size)), self.i64(0))
            with builder.if_then(fits):
                piece = builder.load(self.pointer(where), typ=ir.IntType(8 * size), align=1)
                places = builder.zext(piece, whole)
                distance = shift if whole.width == 64 else builder.trunc(shift, whole)
                longer = builder.or_(found, builder.shl(places, distance))
                inside = builder.block
            merged = builder.phi(whole)
            merged.add_incoming(found, before)
            merged.add_incoming(longer, inside)
            found = merged
            where = builder.select(fits, builder.add(where, self.i64(size)), where)
            shift = builder.select(fits, builder.add(shift, self.i64(8 * size)), shift)
        return builder.bitcast(found, self.place)

    def _masked(self, what: str, kind: Any) -> Any:
        name = f"llvm.masked.{what}.v{self.lanes}i{8 * self.place_size}.p0"
        return cgutils.get_or_insert_function(self.builder.module, kind, name)
