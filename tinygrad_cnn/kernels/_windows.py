"""The micro-kernels of max pooling: one window of pixels, all channels, in registers.

    max_window      out[c] = max over the window of pixel[c];  place[c] = which pixel that was; ReLU too if wanted
    spread_window   pixel[c] = grad[c] where place[c] is this pixel, else 0, for every pixel of the window

Written as vector code, because a compiler vectorises the loop over channels only from 8 or 16 channels on, and LeNet's
first pooling layer has 6: there this is 4 times as fast. The last vector of channels is masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ._emitter import Emitter, intrinsic

_int32 = ir.IntType(32)


@intrinsic(prefer_literal=True)
def max_window(
    typing_context: Any,
    KH: Any,
    KW: Any,
    source: Any,
    row_step: Any,
    column_step: Any,
    first: Any,
    row_places: Any,
    none: Any,
    channels: Any,
    out: Any,
    places: Any,
    zero: Any,
    number: Any,
) -> Any:
    """The largest pixel of a window, channel by channel, and its place; the first of equal ones, and NaN before all.

    Args:
        KH, KW: Rows and columns of the window, at least 1; literals where the loops shall be unrolled.
        source: Address of the window's first pixel.
        row_step, column_step: Bytes from row to row and from pixel to pixel.
        first: The first pixel's place.
        row_places: Places from one row to the next.
        none: Where the maximum is 0 or less, write 0 and this place instead; negative: don't.
        channels: At least 0.
        out: Address of ``channels`` values, written.
        places: Address of ``channels`` places, written.
        zero: Any value of the values' dtype.
        number: Any value of the places' dtype, uint8 or int32.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        KH, KW, source, row_step, column_step, first, row_places, none, channels, out, places, _, _ = args
        sizes = [_literal(kind) for kind in signature.args[:2]]
        emit = _WindowEmitter(builder, signature.args[11], signature.args[12])
        relu = builder.icmp_signed(">=", none, emit.i64(0))

        def one_vector(channel: Any, mask: Any) -> None:
            origin = builder.add(source, emit.bytes(channel))
            start = [emit.load_some(origin, mask), emit.splat_place(first)]

            def one_row(p: Any, state: list[Any]) -> list[Any]:
                row = builder.add(origin, builder.mul(p, row_step))
                place = builder.add(first, builder.mul(p, row_places))

                def one_pixel(q: Any, state: list[Any]) -> list[Any]:
                    value = emit.load_some(builder.add(row, builder.mul(q, column_step)), mask)
                    wins = builder.or_(
                        builder.fcmp_ordered(">", value, state[0]), builder.fcmp_unordered("uno", value, value)
                    )
                    number = emit.splat_place(builder.add(place, q))
                    return [builder.select(wins, value, state[0]), builder.select(wins, number, state[1])]

                return emit.repeat(sizes[1], KW, state, one_pixel)

            best, place = emit.repeat(sizes[0], KH, start, one_row)
            dead = builder.and_(builder.fcmp_ordered("<=", best, emit.constant(0)), emit.all_lanes(relu))
            best = builder.select(dead, emit.constant(0), best)
            place = builder.select(dead, emit.splat_place(none), place)
            emit.store_some(best, builder.add(out, emit.bytes(channel)), 0, mask)
            emit.store_places(place, builder.add(places, emit.place_bytes(channel)), mask)

        emit.for_channels(channels, one_vector)
        return context.get_dummy_value()

    arguments = (KH, KW, source, row_step, column_step, first, row_places, none, channels, out, places, zero, number)
    return types.void(*arguments), generate


@intrinsic(prefer_literal=True)
def spread_window(
    typing_context: Any,
    KH: Any,
    KW: Any,
    grad: Any,
    places: Any,
    channels: Any,
    out: Any,
    row_step: Any,
    column_step: Any,
    zero: Any,
    number: Any,
) -> Any:
    """Write a window's gradient to the pixel that won, channel by channel, and 0 to its other pixels.

    Args:
        KH, KW: Rows and columns of the window, literals.
        grad: Address of ``channels`` values.
        places: Address of ``channels`` places, `max_window`'s with ``first`` 0 and ``row_places`` KW.
        channels: At least 0.
        out: Address of the window's first pixel.
        row_step, column_step: Bytes from row to row and from pixel to pixel of ``out``.
        zero: Any value of the values' dtype.
        number: Any value of the places' dtype, uint8 or int32.
    """
    if _literal(KH) is None or _literal(KW) is None:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, grad, places, channels, out, row_step, column_step, _, _ = args
        rows, columns = (kind.literal_value for kind in signature.args[:2])
        emit = _WindowEmitter(builder, signature.args[8], signature.args[9])

        def one_vector(channel: Any, mask: Any) -> None:
            value = emit.load_some(builder.add(grad, emit.bytes(channel)), mask)
            place = emit.load_places(builder.add(places, emit.place_bytes(channel)), mask)
            origin = builder.add(out, emit.bytes(channel))
            for p in range(rows):
                for q in range(columns):
                    won = builder.icmp_signed("==", place, emit.splat_place(emit.i64(p * columns + q)))
                    where = builder.add(origin, builder.mul(row_step, emit.i64(p)))
                    where = builder.add(where, builder.mul(column_step, emit.i64(q)))
                    emit.store_some(builder.select(won, value, emit.constant(0)), where, 0, mask)

        emit.for_channels(channels, one_vector)
        return context.get_dummy_value()

    arguments = (KH, KW, grad, places, channels, out, row_step, column_step, zero, number)
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

    def load_places(self, where: Any, mask: Any) -> Any:
        if mask is None:
            found = self.builder.load(self.pointer(where), typ=self.place, align=self.place_size)
        else:
            kind = ir.FunctionType(self.place, [ir.PointerType(), _int32, mask.type, self.place])
            function = self._masked("load", kind)
            nothing = ir.Constant(self.place, None)
            found = self.builder.call(
                function, [self.pointer(where), ir.Constant(_int32, self.place_size), mask, nothing]
            )
        return found if self.place_size == 4 else self.builder.zext(found, self.wide_place)

    def store_places(self, value: Any, where: Any, mask: Any) -> None:
        if self.place_size < 4:
            value = self.builder.trunc(value, self.place)
        if mask is None:
            self.builder.store(value, self.pointer(where), align=self.place_size)
            return
        kind = ir.FunctionType(ir.VoidType(), [self.place, ir.PointerType(), _int32, mask.type])
        function = self._masked("store", kind)
        self.builder.call(function, [value, self.pointer(where), ir.Constant(_int32, self.place_size), mask])

    def _masked(self, what: str, kind: Any) -> Any:
        name = f"llvm.masked.{what}.v{self.lanes}i{8 * self.place_size}.p0"
        return cgutils.get_or_insert_function(self.builder.module, kind, name)
