"""Memory at bare addresses, plain int64: read, write, copy, add up.

A tile gathers its rows from unrelated places, so task kernels compute with addresses instead of arrays.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ._emitter import INT64, POINTER, VECTOR_BYTES, VECTORS, Emitter, Part, intrinsic


@intrinsic
def address(typing_context: Any, array: Any) -> Any:
    """``address(array)``: where its first element lies, as int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, INT64)

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
        itemsize = ir.Constant(INT64, signature.args[3].bitwidth // 8)
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(builder.add(where, builder.mul(begin, itemsize)), array.data.type)
        populate_array(array, data, [count], [itemsize], itemsize, None)
        return array._getvalue()

    return kind(where, begin, count, zero), generate


@intrinsic
def get(typing_context: Any, where: Any) -> Any:
    """``get(where)``: the int64 at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], POINTER), typ=INT64, align=8)

    return types.int64(where), generate


@intrinsic
def get_real(typing_context: Any, where: Any) -> Any:
    """``get_real(where)``: the float64 at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], POINTER), typ=ir.DoubleType(), align=8)

    return types.float64(where), generate


@intrinsic
def cast(typing_context: Any, value: Any, zero: Any) -> Any:
    """``cast(value, zero)``: a number, rounded to the dtype of ``zero``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], *signature.args)

    return zero(value, zero), generate


@intrinsic
def size_of(typing_context: Any, value: Any) -> Any:
    """``size_of(value)``: bytes of a float32 or float64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(INT64, signature.args[0].bitwidth // 8)

    return types.int64(value), generate


@intrinsic
def put(typing_context: Any, where: Any, value: Any) -> Any:
    """``put(where, value)``: write an int64 to an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], POINTER), align=8)
        return context.get_dummy_value()

    return types.void(where, types.int64), generate


@intrinsic
def prefetch(typing_context: Any, where: Any) -> Any:
    """``prefetch(where)``: ask for the cache line at an address, into the L2 cache. No address is an error."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _prefetch(builder, args[0], to_write=0, closeness=2)
        return context.get_dummy_value()

    return types.void(where), generate


@intrinsic
def prefetch_to_write(typing_context: Any, where: Any) -> Any:
    """``prefetch_to_write(where)``: ask for the cache line at an address, and for the sole right to it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _prefetch(builder, args[0], to_write=1, closeness=3)
        return context.get_dummy_value()

    return types.void(where), generate


def _prefetch(builder: Any, where: Any, to_write: int, closeness: int) -> None:
    """LLVM's instruction for a line of data; the closest, 3, is the L1 cache."""
    word = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [POINTER, word, word, word])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    numbers = (ir.Constant(word, number) for number in (to_write, closeness, 1))
    builder.call(function, [builder.inttoptr(where, POINTER), *numbers])


@intrinsic
def copy_element(typing_context: Any, source: Any, target: Any, zero: Any) -> Any:
    """``copy_element(source, target, zero)``: one element of ``zero``'s dtype from address to address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit = Emitter(builder, signature.args[2])
        value = builder.load(emit.pointer(args[0]), typ=emit.element, align=emit.itemsize)
        builder.store(value, emit.pointer(args[1]), align=emit.itemsize)
        return context.get_dummy_value()

    return types.void(source, target, zero), generate


@intrinsic(prefer_literal=True)
def copy_row(typing_context: Any, vectors: Any, source: Any, target: Any, columns: Any, zero: Any) -> Any:
    """``copy_row(vectors, source, target, columns, zero)``: a row of 1 or 2 vectors from ``columns`` elements.

    Elements beyond the columns are zeros; ``vectors`` is a literal.
    """
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    width = vectors.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, target, columns, _ = args
        emit = Emitter(builder, signature.args[4])

        def copy(parts: list[Part] | None) -> None:
            for v, value in enumerate(emit.load_panel(source, width, parts)):
                emit.store(value, target, v * VECTOR_BYTES)

        emit.full_or_part(columns, copy, width)
        return context.get_dummy_value()

    return types.void(vectors, source, target, columns, zero), generate


@intrinsic
def add_rows(typing_context: Any, rows: Any, step: Any, columns: Any, count: Any, target: Any, zero: Any) -> Any:
    """``add_rows(rows, step, columns, count, target, zero)``: add rows of a panel's width at most up, into another.

    ``target[l] += Σ_{t < count} rows[t][l]`` for l < ``columns``, rows lying ``step`` bytes apart.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, step, columns, count, target, _ = args
        emit = Emitter(builder, signature.args[5])

        def sum_up(parts: list[Part] | None) -> None:
            def one_row(t: Any, state: list[Any]) -> list[Any]:
                row = emit.load_panel(builder.add(rows, builder.mul(t, step)), VECTORS, parts)
                return [builder.fadd(total, value) for total, value in zip(state, row)]

            totals = emit.loop(count, emit.load_panel(target, VECTORS, parts), one_row)
            for v, total in enumerate(totals):
                emit.store_some(total, target, v * VECTOR_BYTES, None if parts is None else parts[v])

        emit.full_or_part(columns, sum_up)
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
            part = emit.first_lanes(rest)
            offset = builder.mul(done, emit.i64(emit.itemsize))
            left, right = builder.add(target, offset), builder.add(source, offset)
            both = [emit.load_part(where, 0, part) for where in (left, right)]
            emit.store_part(builder.fadd(*both), left, 0, part)
        return context.get_dummy_value()

    return types.void(source, target, count, zero), generate


@intrinsic
def copy_bytes(typing_context: Any, source: Any, target: Any, count: Any) -> Any:
    """``copy_bytes(source, target, count)``: C's memcpy."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target, count = args
        kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, INT64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memcpy.p0.p0.i64")
        places = [builder.inttoptr(where, POINTER) for where in (target, source)]
        builder.call(function, [*places, count, ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def zero_bytes(typing_context: Any, target: Any, count: Any) -> Any:
    """``zero_bytes(target, count)``: C's memset with 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [POINTER, ir.IntType(8), INT64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memset.p0.i64")
        nothing = ir.Constant(ir.IntType(8), 0)
        where = builder.inttoptr(args[0], POINTER)
        builder.call(function, [where, nothing, args[1], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
