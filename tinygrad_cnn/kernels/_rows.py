"""The micro-kernels of softmax: one row of logits, a vector at a time.

    row_max    max over c of x[c]
    row_exp    out[c] = exp(x[c] − top), and their sum
    row_scale  out[c] = x[c]·factor

Written as vector code, because a compiler calls the C library's exp for one number after the other: at 1,000 classes
that is 7 times as slow. The sums are added lane by lane in a fixed order, wherever the arrays lie.

**exp.** With n the integer nearest to x / ln 2 and r = x − n·ln 2, exp(x) = 2ⁿ·exp(r). As |r| ≤ ln 2 / 2, Taylor's
series reaches the last bit after 7 (float32) or 13 (float64) powers of r. ln 2 is subtracted in two parts, the first
with so few digits that n times it is exact; 2ⁿ is made of its exponent bits, in two factors, so that results below the
smallest normal number come out rounded and not as 0.

Reference: J.-M. Muller et al., "Handbook of floating-point arithmetic", 2nd ed., 2018, chapter 10 (range reduction).
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ._emitter import INT64, Emitter, Part, intrinsic


@intrinsic
def row_dot(typing_context: Any, a: Any, b: Any, count: Any, zero: Any) -> Any:
    """``row_dot(a, b, count, zero)``: ``Σ a[k]·b[k]`` of ``count`` elements at two addresses.

    In 4 vectors that take turns, because one addition takes 4 cycles; then these and their lanes are added up.
    """
    streams = 4

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, count, _ = args
        emit = Emitter(builder, signature.args[3])
        step = emit.i64(streams * emit.lanes)

        def add_product(place: Any, part: Part | None, total: Any) -> Any:
            offset = emit.bytes(place)
            left, right = (emit.load_some(builder.add(row, offset), part) for row in (a, b))
            return emit.fma(left, right, total)

        def one_round(i: Any, totals: list[Any]) -> list[Any]:
            first = builder.mul(i, step)
            places = [builder.add(first, emit.i64(v * emit.lanes)) for v in range(streams)]
            return [add_product(place, None, total) for place, total in zip(places, totals)]

        rounds = builder.sdiv(count, step)
        totals = emit.loop(rounds, [emit.constant(0)] * streams, one_round)
        done = builder.mul(rounds, step)
        offset, rest = emit.bytes(done), builder.sub(count, done)
        a, b = builder.add(a, offset), builder.add(b, offset)
        (last,) = _along(emit, rest, totals[:1], lambda place, part, state: [add_product(place, part, state[0])])
        total = builder.fadd(builder.fadd(last, totals[1]), builder.fadd(totals[2], totals[3]))
        return _across(emit, total, builder.fadd)

    return zero(a, b, count, zero), generate


@intrinsic
def row_max(typing_context: Any, x: Any, count: Any, zero: Any) -> Any:
    """``row_max(x, count, zero)``: the largest of ``count`` elements at address ``x``; NaN is passed over."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, count, _ = args
        emit = Emitter(builder, signature.args[2])
        lowest = emit.constant(-math.inf)

        def larger(place: Any, part: Part | None, state: list[Any]) -> list[Any]:
            value = emit.load_some(builder.add(x, emit.bytes(place)), part)
            if part is not None:
                value = builder.select(part.mask, value, lowest)
            return [emit.at_least(state[0], value)]

        (best,) = _along(emit, count, [lowest], larger)
        return _across(emit, best, emit.at_least)

    return zero(x, count, zero), generate


@intrinsic
def row_exp(typing_context: Any, x: Any, top: Any, out: Any, count: Any) -> Any:
    """``row_exp(x, top, out, count)``: write ``exp(x[c] − top)``; returns their sum.

    Args:
        x: Address of ``count`` elements.
        top: Not below any of them; of the arrays' dtype.
        out: Address, written.
        count: At least 0.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, top, out, count = args
        emit = Emitter(builder, signature.args[1])
        shift = emit.splat(top)

        def one_vector(place: Any, part: Part | None, state: list[Any]) -> list[Any]:
            value = emit.load_some(builder.add(x, emit.bytes(place)), part)
            result = _exp(emit, builder.fsub(value, shift))
            emit.store_some(result, builder.add(out, emit.bytes(place)), 0, part)
            if part is not None:
                result = builder.select(part.mask, result, emit.constant(0))
            return [builder.fadd(state[0], result)]

        (total,) = _along(emit, count, [emit.constant(0)], one_vector)
        return _across(emit, total, builder.fadd)

    return top(x, top, out, count), generate


@intrinsic
def row_scale(typing_context: Any, x: Any, factor: Any, out: Any, count: Any) -> Any:
    """``row_scale(x, factor, out, count)``: write ``x[c]·factor``; ``out`` may be ``x``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, factor, out, count = args
        emit = Emitter(builder, signature.args[1])
        scale = emit.splat(factor)

        def one_vector(place: Any, part: Part | None, state: list[Any]) -> list[Any]:
            value = emit.load_some(builder.add(x, emit.bytes(place)), part)
            emit.store_some(builder.fmul(value, scale), builder.add(out, emit.bytes(place)), 0, part)
            return state

        _along(emit, count, [], one_vector)
        return context.get_dummy_value()

    return types.void(x, factor, out, count), generate


def _along(emit: Emitter, count: Any, state: list[Any], body: Callable[[Any, Any, list[Any]], list[Any]]) -> list[Any]:
    """``state = body(place, part, state)`` for every whole vector of a row (part None), then for the rest."""
    builder = emit.builder
    lanes = emit.i64(emit.lanes)
    vectors = builder.sdiv(count, lanes)
    state = emit.loop(vectors, state, lambda v, carried: body(builder.mul(v, lanes), None, carried))
    done = builder.mul(vectors, lanes)
    rest = builder.sub(count, done)
    once = builder.zext(builder.icmp_signed(">", rest, emit.i64(0)), INT64)
    return emit.loop(once, state, lambda _, carried: body(done, emit.first_lanes(rest), carried))


def _across(emit: Emitter, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """All lanes of a vector as one number: halves are combined until one lane is left."""
    half = emit.lanes // 2
    while half:
        upper = [(lane + half) % emit.lanes for lane in range(emit.lanes)]
        vector = combine(vector, emit.shuffle(vector, vector, upper))
        half //= 2
    return emit.lane(vector, 0)


def _exp(emit: Emitter, x: Any) -> Any:
    """exp(x) for x ≤ 0, NaN for NaN; see the module's docstring."""
    builder = emit.builder
    info = np.finfo(np.float32 if emit.itemsize == 4 else np.float64)
    lowest = math.log(info.smallest_subnormal) - 1  # from here on the result is 0
    x = builder.select(builder.fcmp_ordered("<", x, emit.constant(lowest)), emit.constant(lowest), x)
    n = _nearest(emit, builder.fmul(x, emit.constant(1 / math.log(2))))
    upper, rest = _log_2(info.nmant - 11)  # n has at most 11 binary digits
    r = emit.fma(n, emit.constant(-upper), x)
    r = emit.fma(n, emit.constant(-rest), r)
    terms = 7 if emit.itemsize == 4 else 13
    result = emit.constant(1 / math.factorial(terms))
    for k in range(terms - 1, -1, -1):
        result = emit.fma(result, r, emit.constant(1 / math.factorial(k)))
    integer = ir.VectorType(ir.IntType(8 * emit.itemsize), emit.lanes)
    whole = builder.select(builder.fcmp_ordered("ord", n, n), n, emit.constant(0))  # a NaN is no integer
    exponent = builder.fptosi(whole, integer)
    one = ir.Constant(integer, [1] * emit.lanes)
    half = builder.ashr(exponent, one)
    for part in (half, builder.sub(exponent, half)):
        biased = builder.add(part, ir.Constant(integer, [info.maxexp - 1] * emit.lanes))
        bits = builder.shl(biased, ir.Constant(integer, [info.nmant] * emit.lanes))
        result = builder.fmul(result, builder.bitcast(bits, emit.vector))
    return result


def _log_2(digits: int) -> tuple[float, float]:
    """ln 2 as a number of so many binary digits, and what is left."""
    with decimal.localcontext(prec=50):
        exact = decimal.Decimal(2).ln()
        upper = math.floor(exact * 2**digits) / 2**digits
        return upper, float(exact - decimal.Decimal(upper))


def _nearest(emit: Emitter, x: Any) -> Any:
    """The nearest integer, as a float."""
    kind = ir.FunctionType(emit.vector, [emit.vector])
    function = cgutils.get_or_insert_function(emit.builder.module, kind, f"llvm.rint.{emit.suffix}")
    return emit.builder.call(function, [x])
