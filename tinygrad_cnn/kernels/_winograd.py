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

from ._emitter import VECTOR_BYTES, Emitter, intrinsic
from ._image import Image
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
def run_at(tile, end, down, across, m):
    """(image, row, column) of a tile's first output pixel, and how many lie side by side from this one on.

    Args:
        tile: Its number; an image has ``down · across``.
        end: The number after the last that counts.
        m: Rows and columns of a tile.
    """
    image, place = tile // (down * across), tile % (down * across)
    return image, place // across * m, place % across * m, min(end - tile, across - place % across)


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
    image: Any,
    H: Any,
    W: Any,
    pixel: Any,
    zeros: Any,
    top: Any,
    left: Any,
    tiles: Any,
    target: Any,
    tile_step: Any,
    target_step: Any,
    zero: Any,
) -> Any:
    """``target[ξ][t][:] = (Bᵀ d_t B)[ξ]`` for the patches d_t that tiles side by side see, and all their channels.

    ``transform_input(m, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, zero)``

    Neighbouring patches share two columns. Half of the transform works on columns one by one, so what it makes of
    these two stays in registers for the next tile.

    Args:
        m: Literal 2 or 4.
        image: Address of an image (H, W).
        H, W: Its height and width.
        pixel: Bytes of a pixel, a multiple of a vector's.
        zeros: Address of a row of the image with zeros: what lies outside.
        top, left: Row and column of the first patch's first pixel, maybe outside.
        tiles: How many, each m pixels to the right of the last.
        target: Where ξ = 0 of the first goes.
        tile_step: Bytes from tile to tile there.
        target_step: Bytes from ξ to ξ + 1.
        zero: Any value of the arrays' dtype.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    size = m.literal_value
    matrix = matrices(size)[2]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, _ = args
        emit = Emitter(builder, signature.args[12])
        n = len(matrix)
        pixels = Image(emit, image, H, W, pixel, zeros, top, n)

        def one_vector(c: Any, state: list[Any]) -> list[Any]:
            offset = builder.mul(c, emit.i64(VECTOR_BYTES))

            def columns(count: int, first: Any) -> list[list[Any]]:
                numbers = _line(emit, count, first, emit.i64(1))
                return [_apply(emit, matrix, pixels.column(number, offset)) for number in numbers]

            def one_tile(t: Any, state: list[Any]) -> list[Any]:
                place, column, *shared = state
                halves = [shared[:n], shared[n:], *columns(size, column)]
                places = _line(emit, n * n, place, target_step)
                for row in zip(*halves):
                    for value in _apply(emit, matrix, list(row)):
                        emit.store(value, next(places))
                return [builder.add(place, tile_step), builder.add(column, emit.i64(size)), *halves[-2], *halves[-1]]

            first, second = columns(2, left)
            state = [builder.add(target, offset), builder.add(left, emit.i64(2)), *first, *second]
            emit.loop(tiles, state, one_tile)
            return []

        emit.loop(builder.udiv(pixel, emit.i64(VECTOR_BYTES)), [], one_vector)
        return context.get_dummy_value()

    arguments = (m, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, zero)
    return types.void(*arguments), generate


@inlined
def transform_windows(m, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, zero):
    """`transform_input` for an m that is no literal."""
    if m == 4:
        transform_input(4, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, zero)
    else:
        transform_input(2, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, zero)


@intrinsic(prefer_literal=True)
def transform_output(
    typing_context: Any,
    m: Any,
    source: Any,
    tile_step: Any,
    source_step: Any,
    start: Any,
    floor: Any,
    tiles: Any,
    target: Any,
    rows: Any,
    columns: Any,
    row_step: Any,
    pixel_step: Any,
) -> Any:
    """``target[i, t·m + j] = max(floor, start + (Aᵀ M_t A)[i, j])`` for one vector of channels of tiles side by side.

    ``transform_output(m, source, tile_step, …, pixel_step)``

    Args:
        m: Literal 2 or 4.
        source: Where M's ξ = 0 of the first tile lies.
        tile_step: Bytes from tile to tile there.
        source_step: Bytes from ξ to ξ + 1.
        start: Address of the bias' vector.
        floor: 0 for a fused ReLU, −inf for none.
        tiles: How many.
        target: Where the first tile's first pixel goes.
        rows, columns: Pixels of the image from there on, at least 1: what would lie beyond is not written.
        row_step: Bytes from row to row of them.
        pixel_step: Bytes from pixel to pixel.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    size = m.literal_value
    matrix = matrices(size)[0]

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, tile_step, source_step, start, floor, tiles, target, rows, columns, row_step, pixel_step = args
        emit = Emitter(builder, signature.args[5])
        n = len(matrix[0])
        lowest, bias, down = emit.splat(floor), emit.load(start), builder.mul(source_step, emit.i64(n))

        def offsets(step: Any, last: Any) -> list[Any]:
            """Bytes to each of m rows or columns, to the last one inside the image for those outside."""
            places = list(_line(emit, size, emit.i64(0), step))
            return [builder.select(builder.icmp_signed("<", place, last), place, last) for place in places]

        last_row = builder.mul(builder.sub(rows, emit.i64(1)), row_step)
        last_pixel = builder.mul(builder.sub(columns, emit.i64(1)), pixel_step)
        lines, tile_pixels = offsets(row_step, last_row), builder.mul(pixel_step, emit.i64(size))

        def one_tile(t: Any, state: list[Any]) -> list[Any]:
            place, out, last = state
            across = offsets(pixel_step, last)
            halves = [_apply(emit, matrix, column) for column in _columns(emit, n, place, down, source_step)]
            # From the last to the first: what is outside is written over by what is inside.
            for i, row in reversed(list(enumerate(zip(*halves)))):
                first = builder.add(out, lines[i])
                for j, value in reversed(list(enumerate(_apply(emit, matrix, list(row))))):
                    emit.store(emit.at_least(lowest, builder.fadd(value, bias)), builder.add(first, across[j]))
            return [builder.add(place, tile_step), builder.add(out, tile_pixels), builder.sub(last, tile_pixels)]

        emit.loop(tiles, [source, target, last_pixel], one_tile)
        return context.get_dummy_value()

    arguments = (
        m, source, tile_step, source_step, start, floor, tiles, target, rows, columns, row_step, pixel_step
    )  # fmt: skip
    return types.void(*arguments), generate


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
    typing_context: Any,
    m: Any,
    image: Any,
    H: Any,
    W: Any,
    pixel: Any,
    zeros: Any,
    top: Any,
    left: Any,
    tiles: Any,
    target: Any,
    tile_step: Any,
    target_step: Any,
    zero: Any,
) -> Any:
    """``target[ξ][t] = (A dy_t Aᵀ)[ξ]`` for one vector of channels of tiles side by side of the output's gradient.

    Args:
        image: Address of the vector in an image's first pixel.
        top, left: Row and column of the first tile's first pixel; a tile has m·m, maybe outside.
        m, H, W, pixel, zeros, tiles, target, tile_step, target_step, zero: As in `transform_input`.
    """
    if not isinstance(m, types.IntegerLiteral):
        return None
    size = m.literal_value
    matrix = [list(column) for column in zip(*matrices(size)[0])]  # A

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, _ = args
        emit = Emitter(builder, signature.args[12])
        pixels = Image(emit, image, H, W, pixel, zeros, top, size)

        def one_tile(t: Any, state: list[Any]) -> list[Any]:
            place, column = state
            columns = (pixels.column(number) for number in _line(emit, size, column, emit.i64(1)))
            places = _line(emit, len(matrix) ** 2, place, target_step)
            for row in _both_axes(emit, matrix, columns):
                for value in row:
                    emit.store(value, next(places))
            return [builder.add(place, tile_step), builder.add(column, emit.i64(size))]

        emit.loop(tiles, [target, left], one_tile)
        return context.get_dummy_value()

    arguments = (m, image, H, W, pixel, zeros, top, left, tiles, target, tile_step, target_step, zero)
    return types.void(*arguments), generate


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
