"""Winograd's transforms: their matrices, from the points they evaluate polynomials at, and their vector code.

A filter of 3 taps slid over n = m + 2 inputs gives m outputs with n instead of 3·m multiplications:

    y = Aᵀ [(G w) ⊙ (Bᵀ d)]          F(m, 3), applied along both axes for images

The gradient by the filter is the same form read backwards, summed over all tiles t of the image:

    dw = Gᵀ [Σ_t (A dy_t Aᵀ) ⊙ (Bᵀ d_t B)] G

Both sides are polynomials, multiplied by evaluating them at n − 1 points and "at infinity" and interpolating (Cook and
Toom). The rounding error grows with the matrices' entries, which the points decide. Median error of F(4x4) relative to
Σ|x||w|, 64 channels, forward and weight gradient:

    0, ±1, ±2 (Lavin and Gray)                             7 to 10 times that of a direct sum
    0, ±1, ½, −2 (Barabasz et al.)                         4.9e-7      2.8e-7
    0, ±11/16, ±11/8: near 1, in pairs, exact in binary    2.8e-7      1.8e-7

Points in pairs ±p also halve the arithmetic: the rows of a matrix for p and −p differ in the signs of the odd powers
only, so the sums over even and odd powers are computed once, and added and subtracted.

Reference: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; B. Barabasz, A. Anderson,
K. Soodhalter, D. Gregg, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks",
ACM TOMS 46(4), 2020; S. Alam, A. Anderson, B. Barabasz, D. Gregg, "Winograd convolution for deep neural networks:
efficient point selection", ACM TECS 21(6), 2022 (points that are no small integers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import prod
from typing import Any

from numba import types

from ._addresses import size_of
from ._blocks import see_square
from ._emitter import VECTOR_BYTES, Emitter, intrinsic
from ._jit import helper, inlined

POINTS: dict[int, list[Fraction]] = {
    2: [Fraction(p) for p in (0, 1, -1)],
    4: [Fraction(p) for p in ("0", "11/16", "-11/16", "11/8", "-11/8")],
}
"""Where F(m, 3) evaluates, besides infinity; p and −p side by side."""

GAP = 16
"""Elements, a cache line, between the transformed tiles of one position and the next. Without it a tile's n·n vectors
would lie multiples of 2 KB apart, and an L1 cache has room for few such lines (Zen 3: 16). It saves F(2x2) of 32
channels a tenth to a sixth of its time, weight gradients of 64 and 128 channels a seventh."""

OWN_BYTES = 5 * 1024 * VECTOR_BYTES
"""Bytes of transformed tiles that a worker's own block has, if it is not to be too small: with filters, products or
sums they stay in the L2 cache, of 512 KB with AVX2 and from 1 MB on with AVX-512. With twice as many, Zen 3 takes 1.05
times as long for 64→64 @32 by F(4x4), and 1.2 times for the weight gradient of 32→32 @16 by F(2x2)."""

Matrix = list[list[Fraction]]


def matrices(m: int) -> tuple[Matrix, Matrix, Matrix]:
    """(Aᵀ, G, Bᵀ) of F(m, 3), of shapes (m, n), (n, 3), (n, n) with n = m + 2."""
    points = POINTS[m]
    n = m + 2
    evaluate = [[point**i for point in points] + [Fraction(i == m - 1)] for i in range(m)]
    filters = []
    for j, point in enumerate(points):
        scale = prod((point - other for other in points[:j] + points[j + 1 :]), start=Fraction(1))
        filters.append([point**k / scale for k in range(3)])
    filters.append([Fraction(0), Fraction(0), Fraction(1)])
    interpolate = [_polynomial(points[:j] + points[j + 1 :], n) for j in range(len(points))]
    interpolate.append(_polynomial(points, n))
    return evaluate, filters, interpolate


def _polynomial(roots: list[Fraction], length: int) -> list[Fraction]:
    """Coefficients of Π (x − root), constant first, zero-filled to ``length``."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)])]
    return coefficients + [Fraction(0)] * (length - len(coefficients))


def _apply(emit: Emitter, matrix: Matrix, values: list[Any]) -> list[Any]:
    """``matrix @ values`` for vectors as values, with the points ±p taken together, be they rows or columns."""
    columns = [list(column) for column in zip(*matrix)]
    pairs = [j for j in range(len(columns) - 1) if _mirrored(columns[j], columns[j + 1])]
    sums, differences = list(values), list(values)  # of pairs of columns: what even and odd rows see
    for j in pairs:
        sums[j], differences[j] = emit.builder.fadd(*values[j : j + 2]), emit.builder.fsub(*values[j : j + 2])
    second = {j + 1 for j in pairs}
    results: list[Any] = []
    while len(results) < len(matrix):
        i = len(results)
        row = [Fraction(0) if j in second else factor for j, factor in enumerate(matrix[i])]
        if i + 1 < len(matrix) and _mirrored(row, matrix[i + 1]):
            # even ± c·odd; the sum over odd powers is divided by one of its factors, c, so that this one is 1.
            c = next(factor for factor in reversed(row[1::2]) if factor)
            even = _sum(emit, row[::2], values[::2])
            odd = _sum(emit, [factor / c for factor in row[1::2]], values[1::2])
            results += [_add_multiple(emit, even, factor, odd) for factor in (c, -c)]
        else:
            results.append(_sum(emit, row, differences if i % 2 else sums))
    return results


def _mirrored(first: list[Fraction], second: list[Fraction]) -> bool:
    """Whether two rows (or columns) are those of points p and −p: the odd powers have opposite signs."""
    return any(first[1::2]) and second == [-factor if k % 2 else factor for k, factor in enumerate(first)]


def _sum(emit: Emitter, factors: list[Fraction], values: list[Any]) -> Any:
    """``Σ factors[k]·values[k]``; a factor of 1 starts the sum without an operation."""
    total = None
    for factor, value in sorted(zip(factors, values), key=lambda pair: pair[0] != 1):
        if factor == 0:
            continue
        if total is None:
            total = value if factor == 1 else emit.builder.fmul(value, emit.constant(factor))
        else:
            total = _add_multiple(emit, total, factor, value)
    return total


def _add_multiple(emit: Emitter, total: Any, factor: Fraction, value: Any) -> Any:
    """``total + factor·value``."""
    if factor == 1:
        return emit.builder.fadd(total, value)
    if factor == -1:
        return emit.builder.fsub(total, value)
    return emit.fma(value, emit.constant(factor), total)


def _both_axes(emit: Emitter, matrix: Matrix, columns: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """The rows of ``matrix @ values @ matrixᵀ``, from the columns of the values.

    Each column is used up before the next is made, and each row made when it is asked for: registers are few.
    """
    halves = [_apply(emit, matrix, column) for column in columns]
    for row in zip(*halves):
        yield _apply(emit, matrix, list(row))


def _line(emit: Emitter, count: int, first: Any, step: Any) -> Iterator[Any]:
    """Addresses ``step`` bytes apart."""
    for _ in range(count):
        yield first
        first = emit.builder.add(first, step)


def _columns(emit: Emitter, side: int, first: Any, row_step: Any, column_step: Any) -> Iterator[list[Any]]:
    """The columns of side x side vectors, loaded when they are asked for."""
    for column in _line(emit, side, first, column_step):
        yield [emit.load(place) for place in _line(emit, side, column, row_step)]


@helper
def tile_at(tile, down, across, m):
    """(image, row, column) of a tile's first output pixel; an image has ``down · across`` tiles."""
    image, place = tile // (down * across), tile % (down * across)
    return image, place // across * m, place % across * m


@helper
def new_row(tile, down, across, m, margin, height):
    """The first row of pixels, counted through all images, that no tile in the rows of tiles before this one's sees.

    Args:
        tile: Its number; an image has ``down · across``.
        m: Rows from one row of tiles to the next.
        margin: How far a tile sees beyond its m rows.
        height: Rows of an image.
    """
    row = tile // across
    image, row = row // down, row % down
    return image * height + (min(height, row * m + margin) if row else 0)


@intrinsic(prefer_literal=True)
def transform_input(
    typing_context: Any,
    m: Any,
    source: Any,
    row_step: Any,
    pixel_step: Any,
    vectors: Any,
    target: Any,
    target_step: Any,
    zero: Any,
) -> Any:
    """``target[ξ][:] = Bᵀ d B`` of one patch, for all its channels.

    ``transform_input(m, source, row_step, pixel_step, vectors, target, target_step, zero)``

    Args:
        m: Literal 2 or 4.
        source: Address of the patch's first pixel.
        row_step: Bytes from row to row of its n·n pixels.
        pixel_step: Bytes from pixel to pixel.
        vectors: Vectors of channels.
        target: Where ξ = 0 goes.
        target_step: Bytes from ξ to ξ + 1.
        zero: Any value of the arrays' dtype.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    matrix = matrices(m.literal_value)[2]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, row_step, pixel_step, vectors, target, target_step, _ = args
        emit = Emitter(builder, signature.args[7])
        n = len(matrix)

        def one_vector(c: Any, state: list[Any]) -> list[Any]:
            offset = builder.mul(c, emit.i64(VECTOR_BYTES))
            patch = _columns(emit, n, builder.add(source, offset), row_step, pixel_step)
            places = _line(emit, n * n, builder.add(target, offset), target_step)
            for row in _both_axes(emit, matrix, patch):
                for value in row:
                    emit.store(value, next(places))
            return []

        emit.loop(vectors, [], one_vector)
        return context.get_dummy_value()

    return types.void(m, source, row_step, pixel_step, vectors, target, target_step, zero), generate


@inlined
def transform_window(m, image, H, W, channels, top, left, patch, target, target_step, zero):
    """`transform_input` of the patch of an image (H, W) that begins in row ``top`` and column ``left``.

    Where it reaches beyond the image there are zeros; it is copied to ``patch`` then, (n, n, channels).
    """
    pixel = channels * size_of(zero)
    source, line = see_square(image, H, W, pixel, top, left, m + 2, patch)
    if m == 4:
        transform_input(4, source, line, pixel, pixel // VECTOR_BYTES, target, target_step, zero)
    else:
        transform_input(2, source, line, pixel, pixel // VECTOR_BYTES, target, target_step, zero)


@intrinsic(prefer_literal=True)
def transform_output(
    typing_context: Any,
    m: Any,
    source: Any,
    source_step: Any,
    start: Any,
    floor: Any,
    target: Any,
    row_step: Any,
    pixel_step: Any,
) -> Any:
    """``target[i, j] = max(floor, start + (Aᵀ M A)[i, j])`` for one vector of channels of one tile.

    ``transform_output(m, source, source_step, start, floor, target, row_step, pixel_step)``

    Args:
        m: Literal 2 or 4.
        source: Where M's ξ = 0 lies.
        source_step: Bytes from ξ to ξ + 1.
        start: Address of the bias' vector.
        floor: 0 for a fused ReLU, −inf for none.
        target: Where the first of the tile's m·m pixels goes.
        row_step: Bytes from row to row of them.
        pixel_step: Bytes from pixel to pixel.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    matrix = matrices(m.literal_value)[0]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, source_step, start, floor, target, row_step, pixel_step = args
        emit = Emitter(builder, signature.args[4])
        n = len(matrix[0])
        products = _columns(emit, n, source, builder.mul(source_step, emit.i64(n)), source_step)
        lowest, bias = emit.splat(floor), emit.load(start)
        for row, first in zip(_both_axes(emit, matrix, products), _line(emit, len(matrix), target, row_step)):
            for value, place in zip(row, _line(emit, len(matrix), first, pixel_step)):
                emit.store(emit.at_least(lowest, builder.fadd(value, bias)), place)
        return context.get_dummy_value()

    return types.void(m, source, source_step, start, floor, target, row_step, pixel_step), generate


@intrinsic(prefer_literal=True)
def transform_filter(
    typing_context: Any, m: Any, source: Any, source_step: Any, target: Any, target_step: Any, zero: Any
) -> Any:
    """``target[ξ] = G w Gᵀ`` for one vector of channels of one 3x3 filter.

    ``transform_filter(m, source, source_step, target, target_step, zero)``

    Args:
        m: Literal 2 or 4.
        source: Address of the first position's channels.
        source_step: Bytes from position to position; negative from the last one on turns the filter around.
        target: Where ξ = 0 goes.
        target_step: Bytes from ξ to ξ + 1.
        zero: Any value of the arrays' dtype.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    matrix = matrices(m.literal_value)[1]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, source_step, target, target_step, _ = args
        emit = Emitter(builder, signature.args[5])
        taps = _columns(emit, 3, source, builder.mul(source_step, emit.i64(3)), source_step)
        places = _line(emit, len(matrix) ** 2, target, target_step)
        for row in _both_axes(emit, matrix, taps):
            for value in row:
                emit.store(value, next(places))
        return context.get_dummy_value()

    return types.void(m, source, source_step, target, target_step, zero), generate


@intrinsic(prefer_literal=True)
def transform_grad(
    typing_context: Any, m: Any, source: Any, row_step: Any, pixel_step: Any, target: Any, target_step: Any, zero: Any
) -> Any:
    """``target[ξ] = A dy Aᵀ`` for one vector of channels of one tile of the output's gradient.

    ``transform_grad(m, source, row_step, pixel_step, target, target_step, zero)``

    Args:
        m: Literal 2 or 4.
        source: Address of the first of the tile's m·m pixels.
        row_step: Bytes from row to row of them.
        pixel_step: Bytes from pixel to pixel.
        target: Where ξ = 0 goes.
        target_step: Bytes from ξ to ξ + 1.
        zero: Any value of the arrays' dtype.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    size = m.literal_value
    matrix = [list(column) for column in zip(*matrices(size)[0])]  # A

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, row_step, pixel_step, target, target_step, _ = args
        emit = Emitter(builder, signature.args[6])
        places = _line(emit, len(matrix) ** 2, target, target_step)
        for row in _both_axes(emit, matrix, _columns(emit, size, source, row_step, pixel_step)):
            for value in row:
                emit.store(value, next(places))
        return context.get_dummy_value()

    return types.void(m, source, row_step, pixel_step, target, target_step, zero), generate


@intrinsic(prefer_literal=True)
def transform_sums(
    typing_context: Any, m: Any, source: Any, source_step: Any, target: Any, lane_step: Any, tap_step: Any, zero: Any
) -> Any:
    """``target[lane][tap] = (Gᵀ S G)[tap]`` for one vector of filters: the weight gradient from its sums.

    ``transform_sums(m, source, source_step, target, lane_step, tap_step, zero)``

    Args:
        m: Literal 2 or 4.
        source: Where S's ξ = 0 lies.
        source_step: Bytes from ξ to ξ + 1.
        target: Where the first filter's first position goes.
        lane_step: Bytes from filter to filter.
        tap_step: Bytes from position to position.
        zero: Any value of the arrays' dtype.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    matrix = [list(column) for column in zip(*matrices(m.literal_value)[1])]  # Gᵀ

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, source_step, target, lane_step, tap_step, _ = args
        emit = Emitter(builder, signature.args[6])
        n = len(matrix[0])
        sums = _columns(emit, n, source, builder.mul(source_step, emit.i64(n)), source_step)
        taps = [value for row in _both_axes(emit, matrix, sums) for value in row]
        for lane in range(emit.lanes):
            place = builder.add(target, builder.mul(lane_step, emit.i64(lane)))
            for value in taps:
                builder.store(emit.lane(value, lane), emit.pointer(place), align=emit.itemsize)
                place = builder.add(place, tap_step)
        return context.get_dummy_value()

    return types.void(m, source, source_step, target, lane_step, tap_step, zero), generate
