"""PyTorch's behaviour at kinks, special values and zero, for every pair of dtypes, and on numbers and nothing."""

from __future__ import annotations

import itertools
import math
import operator

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.errors import DTypeError

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about the infinities asked for here

INF, NAN = math.inf, math.nan
SPECIAL = [-INF, -20.0, -2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, 25.0, 1e30, INF, NAN]


def gradient(function, *values):
    """The gradients by float64 vectors, or a list of them."""
    leaves = [tg.tensor(v, dtype=tg.float64, requires_grad=True) for v in values]
    function(*leaves).sum().backward()
    found = [leaf.grad.tolist() for leaf in leaves]
    return found[0] if len(found) == 1 else found


# ---------------------------------------------------------------- kinks


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        pytest.param(tg.relu, [-1.0, 0.0, -0.0, 2.0, NAN], [0, 0, 0, 1, 1], id="relu"),
        pytest.param(F.leaky_relu, [-1.0, 0.0, 2.0], [0.01, 0.01, 1], id="leaky_relu"),
        pytest.param(tg.abs, [-1.0, 0.0, 2.0, NAN], [-1, 0, 1, 0], id="abs"),
        pytest.param(tg.sign, [-1.0, 0.0, 2.0], [0, 0, 0], id="sign"),
        pytest.param(lambda x: x.clamp(-1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0, NAN], [0, 1, 1, 1, 0, 0], id="clamp"),
        pytest.param(lambda x: x.clamp(min=0), [-1.0, 0.0, 1.0], [0, 1, 1], id="clamp-min"),
        pytest.param(lambda x: x.clamp(1, -1), [-2.0, 0.0, 2.0], [0, 0, 0], id="clamp-crossed"),
        pytest.param(lambda x: x**0, [0.0, 2.0, -1.0], [0, 0, 0], id="pow-0"),
        pytest.param(lambda x: x**1, [0.0, 2.0, -1.0], [1, 1, 1], id="pow-1"),
        pytest.param(lambda x: x**3, [0.0, 2.0, -1.0], [0, 12, 3], id="pow-3"),
        pytest.param(lambda x: x**0.5, [0.0, 4.0], [INF, 0.25], id="pow-half"),
        pytest.param(lambda x: 0.0**x, [-1.0, 0.0, 2.0], [-INF, 0, 0], id="pow-of-0"),
        pytest.param(tg.sqrt, [0.0, 4.0], [INF, 0.25], id="sqrt"),
        pytest.param(tg.log, [0.0, 0.5], [INF, 2], id="log"),
        pytest.param(F.softplus, [-1000.0, 0.0, 1000.0], [0, 0.5, 1], id="softplus"),
        pytest.param(tg.sigmoid, [-1000.0, 0.0, 1000.0], [0, 0.25, 0], id="sigmoid"),
    ],
)
def test_gradient_at(function, values, expected):
    np.testing.assert_allclose(gradient(function, values), expected, rtol=1e-12)


def test_ties_share_the_gradient():
    a, b = [1.0, 2.0, 3.0, NAN], [1.0, 3.0, 2.0, 0.0]
    assert gradient(tg.maximum, a, b) == [[0.5, 0, 1, 1], [0.5, 1, 0, 1]]
    assert gradient(tg.minimum, a, b) == [[0.5, 1, 0, 1], [0.5, 0, 1, 1]]


def test_clamp_by_tensors_on_the_edges():
    x, low, high = [0.0, 1.0, 2.0, 3.0, 4.0], [1.0] * 5, [3.0] * 5
    assert gradient(tg.clamp, x, low, high) == [[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]


def test_where_keeps_nan_of_the_other_branch_out_of_the_gradient():
    condition = tg.tensor([True, False])
    assert gradient(lambda a, b: tg.where(condition, a, b), [1.0, NAN], [INF, 2.0]) == [[1, 0], [0, 1]]
    # Not so for the chain rule behind it: 0 * inf is NaN, in PyTorch too.
    assert math.isnan(gradient(lambda x: tg.where(x > 0, x.sqrt(), x), [0.0])[0])


def test_where_takes_uint8_conditions():
    assert tg.where(tg.tensor([2, 0], dtype=tg.uint8), 1, 5).tolist() == [1, 5]


def test_where_with_the_condition_alone_gives_indices():
    rows, columns = tg.where(tg.tensor([[True, False], [False, True]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [0, 1])


# ---------------------------------------------------------------- division and powers


def test_integer_division_rounds_as_asked():
    a, b = tg.tensor([7, -7, 7, -7]), tg.tensor([2, 2, -2, -2])
    assert (a // b).tolist() == [3, -4, -4, 3]
    assert tg.div(a, b, rounding_mode="trunc").tolist() == [3, -3, -3, 3]
    assert (a % b).tolist() == [1, 1, -1, -1]
    assert tg.fmod(a, b).tolist() == [1, -1, 1, -1]
    assert (a / b).tolist() == [3.5, -3.5, -3.5, 3.5]
    assert (a / b).dtype is tg.float32


def test_floats_divided_by_zero():
    x = tg.tensor([1.0, -1.0, 0.0])
    assert str((x / 0).tolist()) == "[inf, -inf, nan]"
    assert str((x // 0).tolist()) == "[inf, -inf, nan]"
    assert str((x % 0).tolist()) == "[nan, nan, nan]"


def test_negative_base():
    assert str((tg.tensor([-8.0, -2.0]) ** (1 / 3)).tolist()) == "[nan, nan]"
    assert (tg.tensor([-2.0]) ** tg.tensor([3.0, -2.0])).tolist() == [-8.0, 0.25]


# ---------------------------------------------------------------- operators


@pytest.mark.parametrize(
    "symbol",
    [
        *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow),
        *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
    ],
)
def test_operators_on_either_side(symbol):
    values = [0.5, 2.0, 3.0]
    x = tg.tensor(values, dtype=tg.float64)
    np.testing.assert_allclose(symbol(x, 2).numpy(), [symbol(v, 2) for v in values], rtol=1e-15)
    np.testing.assert_allclose(symbol(2, x).numpy(), [symbol(2, v) for v in values], rtol=1e-15)


@pytest.mark.parametrize("symbol", [operator.and_, operator.or_, operator.xor])
def test_bit_operators_on_either_side(symbol):
    x = tg.tensor([5, 3])
    assert symbol(x, 6).tolist() == symbol(6, x).tolist() == [symbol(5, 6), symbol(3, 6)]


def test_unary_operators():
    x = tg.tensor([1.5, -2.0])
    assert (-x).tolist() == [-1.5, 2.0]
    assert (+x).tolist() == [1.5, -2.0]
    assert abs(x).tolist() == [1.5, 2.0]
    assert (~tg.tensor([True, False])).tolist() == [False, True]


def test_alpha():
    x, y = tg.tensor([1.0]), tg.tensor([2.0])
    assert tg.add(x, y, alpha=3).tolist() == [7.0]
    assert tg.sub(x, y, alpha=3).tolist() == [-5.0]
    assert tg.rsub(x, y, alpha=3).tolist() == [-1.0]
    assert x.add(2, alpha=3).tolist() == [7.0]


def test_equality_with_other_things():
    x = tg.tensor([1.0])
    assert (x == "a") is False
    assert (x != None) is True  # noqa: E711
    assert tg.equal(x, tg.tensor([1.0]))
    assert not tg.equal(x, tg.tensor([1]))
    assert not tg.equal(x, tg.tensor([[1.0]]))
    assert tg.allclose(x, x + 1e-9)
    assert not tg.allclose(x, x + 1e-3)


# ---------------------------------------------------------------- dtypes


def test_promotion_of_numbers():
    assert (tg.tensor([1], dtype=tg.uint8) + 1).dtype is tg.uint8
    assert (tg.tensor([1], dtype=tg.int32) + 1).dtype is tg.int32
    assert (tg.tensor([1]) + 1.0).dtype is tg.float32
    assert (tg.tensor([True]) + 1).dtype is tg.int64
    assert (tg.tensor([True]) + True).dtype is tg.bool
    for number in (np.float64(1), np.float32(1), np.int64(1), np.bool_(True)):  # as Python's numbers
        assert (tg.tensor([1.0]) + number).dtype is tg.float32
    assert (tg.tensor([1.0]) + tg.tensor(1.0, dtype=tg.float64)).dtype is tg.float32
    assert (tg.tensor([1.0]) + tg.tensor([1.0], dtype=tg.float64)).dtype is tg.float64
    assert (tg.tensor([1]) + tg.tensor(1.0, dtype=tg.float64)).dtype is tg.float64


def test_arrays_are_operands():
    assert (tg.tensor([1.0]) + np.array([2.0], np.float32)).tolist() == [3.0]


def test_default_dtype_decides_for_integers():
    tg.set_default_dtype(tg.float64)
    try:
        assert tg.exp(tg.tensor([0])).dtype is (tg.tensor([1]) / 2).dtype is tg.float64
    finally:
        tg.set_default_dtype(tg.float32)


def test_numbers_out_of_range_wrap():
    x = tg.tensor([1, 200], dtype=tg.uint8)
    assert (x + -3).tolist() == [254, 197]
    assert (x * 300).tolist() == [44, 96]
    assert (tg.tensor([1], dtype=tg.int32) + 2**40).tolist() == [1]


def test_gradient_is_cast_back():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.tensor([3.0, 4.0], dtype=tg.float64, requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (tg.float32, [3, 4])
    assert (y.grad.dtype, y.grad.tolist()) == (tg.float64, [1, 2])


def test_softmax_converts_first():
    assert tg.softmax(tg.tensor([0, 0]), 0, dtype=tg.float64).tolist() == [0.5, 0.5]
    assert tg.log_softmax(tg.tensor([0.0]), 0, tg.float64).dtype is tg.float64


def test_square_and_rounding_of_integers():
    assert tg.square(tg.tensor([True, False])).dtype is tg.int64
    assert tg.sign(tg.tensor([True, False])).dtype is tg.bool
    whole = tg.tensor([3])
    assert tg.floor(whole).tolist() == [3]
    assert tg.floor(whole) is not whole


UNARY = [
    "exp",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "square",
    "sin",
    "cos",
    "tan",
    "tanh",
    "erf",
    "abs",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "neg",
    "sigmoid",
    "relu",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "bitwise_not",
    "all",
    "any",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "floor_divide",
    "remainder",
    "fmod",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
]
DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
NUMBERS = [True, 2, -3, 0, 2.5, 0.0]


def values_of(dtype):
    if dtype == "bool":
        return np.array([True, False])
    if dtype == "uint8":
        return np.array([0, 1, 3, 255], dtype)
    return np.array([-7, 0, 3, 1000] if dtype.startswith("int") else SPECIAL, dtype)


def outcome(library, name, operands):
    """(dtype, values, gradients) or the kind of failure, for arrays and numbers given to a function of a library."""
    leaves = [library.tensor(a) if isinstance(a, np.ndarray) else a for a in operands]
    for leaf, array in zip(leaves, operands):
        if isinstance(array, np.ndarray) and array.dtype.kind == "f":
            leaf.requires_grad_()
    function = getattr(library, name, None) or getattr(library.nn.functional, name)
    try:
        result = function(*leaves)
    except ZeroDivisionError:
        return "by zero"
    except (RuntimeError, TypeError) as error:
        return "by zero" if "ZeroDivisionError" in str(error) else "refused"
    gradients = []
    # PyTorch has no gradient of floor_divide.
    if result.requires_grad and name != "floor_divide":
        result.backward(library.ones_like(result))
        gradients = [leaf.grad for leaf in leaves if getattr(leaf, "requires_grad", False)]
    plain = [np.zeros(()) if g is None else np.asarray(g.detach().numpy()) for g in gradients]
    return str(result.dtype).split(".")[-1], result.detach().numpy(), plain


def assert_same_outcome(name, *operands):
    torch = pytest.importorskip("torch")
    ours, theirs = outcome(tg, name, operands), outcome(torch, name, operands)
    assert isinstance(ours, str) == isinstance(theirs, str), f"{name}{operands}: {ours}, PyTorch {theirs}"
    if isinstance(theirs, str):
        assert ours == theirs, (name, operands)
        return
    assert ours[0] == theirs[0], f"{name}{operands}: {ours[0]}, PyTorch {theirs[0]}"
    single = "float32" in (ours[0], *(a.dtype.name for a in operands if isinstance(a, np.ndarray)))
    tolerance = {"rtol": 1e-5, "atol": 1e-7} if single else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(ours[1], theirs[1], **tolerance, err_msg=f"{name}{operands}")
    for mine, right in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(
            mine, np.broadcast_to(right, mine.shape), **tolerance, err_msg=f"gradient of {name}{operands}"
        )


@pytest.mark.parametrize("name", [*UNARY, "leaky_relu", "silu", "softplus"])
def test_unary_function_on_special_values_of_every_dtype(name):
    for dtype in DTYPES:
        values = values_of(dtype)
        assert_same_outcome(name, values)
        assert_same_outcome(name, np.array(values[1]))
        assert_same_outcome(name, values[:0].reshape(0, 3))


@pytest.mark.parametrize("name", BINARY)
def test_binary_function_on_special_values_of_every_pair_of_dtypes(name):
    for one, two in itertools.product(DTYPES, DTYPES):
        a, b = values_of(one), values_of(two)
        assert_same_outcome(name, a[:, None], b)  # every pair of values
        assert_same_outcome(name, a, np.array(b[-1]))  # 0-dimensional tensors weigh less
        assert_same_outcome(name, np.array(a[-1]), np.array(b[1]))
        assert_same_outcome(name, a[:0], b[:1])


@pytest.mark.parametrize("name", [name for name in BINARY if not name.startswith(("logical", "max", "min"))])
def test_binary_function_with_python_numbers(name):
    for dtype, number in itertools.product(DTYPES, NUMBERS):
        assert_same_outcome(name, values_of(dtype), number)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_power_of_special_values(dtype):
    values = values_of(dtype)
    assert_same_outcome("pow", values[:, None], values)
    for number in (-2, -1, -1.5, 0, 1, 2, 3, 2.0, 2.5):  # ±0.5 follow C's pow, not sqrt, where the base is -inf
        assert_same_outcome("pow", values, number)
        assert_same_outcome("pow", abs(float(number)), values)


# ---------------------------------------------------------------- numbers and nothing


def test_empty_tensors():
    empty = tg.zeros(0, 3, requires_grad=True)
    total = tg.softmax(empty, 0) + tg.log_softmax(empty, 1) + tg.maximum(empty, empty) + empty.clamp(0, 1)
    assert total.shape == (0, 3)
    total.sum().backward()
    assert empty.grad.shape == (0, 3)
    assert tg.zeros(3, 0).softmax(1).shape == (3, 0)
    assert tg.all(tg.zeros(0)).item() is True
    assert tg.any(tg.zeros(0)).item() is False
    assert tg.nonzero(tg.zeros(0, 2)).shape == (0, 2)


def test_results_on_numbers_stay_tensors():
    x = tg.tensor(4.0, requires_grad=True)
    for y in (x.exp(), x.relu(), x.sigmoid(), x.clamp(0, 1), x**2, x**x, x.sign(), x.erf(), x // 3, x.softmax(0)):
        assert isinstance(y._array, np.ndarray)
        assert y.shape == ()


# ---------------------------------------------------------------- large and in place


@pytest.mark.parametrize("layout", ["contiguous", "channels-last", "strided"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_of_large_tensors(dtype, layout):
    values = np.random.default_rng(0).standard_normal((4, 8, 32, 34)).astype(dtype)
    values[0, 0, 0, :4] = [NAN, INF, -INF, -0.0]
    if layout == "channels-last":
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    values = values[..., ::2] if layout == "strided" else values
    upstream = np.random.default_rng(1).standard_normal(values.shape).astype(dtype)
    x = tg.from_numpy(values).requires_grad_()
    out = F.relu(x)
    out.backward(tg.from_numpy(upstream))
    np.testing.assert_array_equal(out.detach().numpy(), np.where(values <= 0, 0, values))
    np.testing.assert_array_equal(x.grad.numpy(), np.where(values <= 0, 0, upstream))


@pytest.mark.parametrize("function", [F.relu, F.leaky_relu, F.silu])
def test_inplace_activations(function):
    values = [-1.0, 2.0]
    expected, slope = function(tg.tensor(values)).tolist(), gradient(function, values)
    x = tg.tensor(values, dtype=tg.float64, requires_grad=True)
    hidden = x * 1
    out = function(hidden, inplace=True)
    assert out is hidden
    np.testing.assert_allclose(out.tolist(), expected, rtol=1e-6)
    out.sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), slope, rtol=1e-12)


@pytest.mark.parametrize("symbol", [operator.ifloordiv, operator.imod])
def test_inplace_division_by_zero(symbol):
    whole = tg.tensor([1, 2])
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        symbol(whole, 0)
    assert whole.tolist() == [1, 2]


def test_inplace_subtraction_of_a_bool():
    with pytest.raises(DTypeError, match="sub_: not defined for bools"):
        tg.tensor([1, 2]).sub_(True)
