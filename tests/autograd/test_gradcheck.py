"""gradcheck and gradgradcheck: PyTorch's arguments, what they refuse, what they report."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn.autograd import Op, gradcheck, gradgradcheck
from tinygrad_cnn.autograd._check import Check, Options
from tinygrad_cnn.autograd.gradcheck import GradcheckError, KinkWarning
from tinygrad_cnn.errors import DTypeError, GraphError
from tinygrad_cnn.testing.cases import leaf
from tinygrad_cnn.testing.strategies import normal


def numbers(*values):
    return leaf(np.array(values, float))


def report_of(func, *inputs, **options):
    """The report behind gradcheck's answer."""
    return Check(func, inputs, Options("gradcheck", lambda i: f"inputs[{i}]", **options)).run()


class Scaled(Op):
    """The identity with a gradient that is too large."""

    factor: float

    def forward(self, x):
        return x.copy()

    def backward(self, grad):
        return (grad * self.factor,)


def wrong_by(factor):
    return lambda x: Scaled.apply(x, factor=factor)


# ---------------------------------------------------------------------- arguments


@pytest.mark.parametrize("name", ["gradcheck", "gradgradcheck"])
def test_signature_is_pytorchs(name):
    """Names, order and kinds; only eps, atol and rtol have another default: chosen from the function."""
    torch = pytest.importorskip("torch")
    ours = inspect.signature(getattr(tg.autograd, name)).parameters
    theirs = inspect.signature(getattr(torch.autograd, name)).parameters
    assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in theirs.values()]
    differ = {p for p in ours if ours[p].default != theirs[p].default}
    assert differ == {"eps", "atol", "rtol"}


@pytest.mark.parametrize(
    ("check", "option"),
    [
        (gradcheck, {"check_forward_ad": True}),
        (gradcheck, {"check_batched_grad": True}),
        (gradcheck, {"check_batched_forward_grad": True}),
        (gradcheck, {"check_backward_ad": False}),
        (gradcheck, {"masked": True}),
        (gradgradcheck, {"check_fwd_over_rev": True}),
        (gradgradcheck, {"check_rev_over_rev": False}),
        (gradgradcheck, {"check_batched_grad": True}),
        (gradgradcheck, {"masked": True}),
    ],
)
def test_options_without_a_counterpart(check, option):
    name, value = next(iter(option.items()))
    with pytest.raises(NotImplementedError, match=f"{check.__name__}: {name}={value} is not supported"):
        check(tg.exp, numbers(1.0), **option)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("eps", 0, "eps must be positive, got 0"),
        ("eps", -1e-3, "eps must be positive, got -0.001"),
        ("atol", -1, "atol must not be negative, got -1"),
        ("rtol", -1, "rtol must not be negative, got -1"),
        ("nondet_tol", -1, "nondet_tol must not be negative, got -1"),
    ],
)
def test_numbers_out_of_range(check, option, value, message):
    with pytest.raises(ValueError, match=f"{check.__name__}: {message}"):
        check(tg.exp, numbers(1.0), **{option: value})


def test_no_input_requires_grad():
    with pytest.raises(GraphError, match="none of the 2 inputs is a Tensor that requires grad"):
        gradcheck(lambda x, y: x, (tg.ones(2, dtype=tg.float64), 3.0))


def test_float32_input():
    with pytest.raises(DTypeError, match=r"inputs\[1\] is .*float32.*\.double\(\)"):
        gradcheck(tg.mul, (numbers(1.0), tg.ones(1, requires_grad=True)))


@pytest.mark.parametrize(
    ("value", "shown"), [(3.0, "output 0 is a float"), ((numbers(1.0), None), "output 1 is a None")]
)
def test_function_must_return_tensors(value, shown):
    with pytest.raises(DTypeError, match=f"func must return Tensors, {shown}"):
        gradcheck(lambda x: value, numbers(1.0))


def test_raise_exception_false_returns_false():
    assert gradcheck(wrong_by(1.01), numbers(1.0, 2.0), raise_exception=False) is False
    assert gradgradcheck(lambda x: wrong_by(1.01)(x) * x, numbers(1.0, 2.0), raise_exception=False) is False


@pytest.mark.parametrize("eps", [1e-3, 1e-6])
def test_given_eps(eps):
    assert gradcheck(tg.exp, numbers(1.0, 2.0), eps=eps)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: tg.exp(wrong_by(1.01)(x)), numbers(1.0, 2.0), eps=eps)


def test_tolerances_can_only_be_widened():
    assert gradcheck(wrong_by(1.01), numbers(1.0, 2.0), rtol=0.02)
    assert gradcheck(wrong_by(1.01), numbers(1.0, 2.0), atol=0.1)
    with pytest.raises(GradcheckError):
        gradcheck(wrong_by(1.01), numbers(1.0, 2.0), atol=1e-6, rtol=1e-3)


# ---------------------------------------------------------------------- inputs and outputs


def test_inputs_that_are_not_differentiated():
    index = tg.tensor([0, 0, 1])
    assert gradcheck(lambda x, i, nothing, factor: x[i] * factor, (numbers(1.0, 2.0), index, None, 3.0))
    assert gradcheck(lambda x, c: x * c, (numbers(1.0, 2.0), tg.tensor([3.0, 4.0], dtype=tg.float64)))


def test_several_outputs_of_which_some_are_integers():
    report = report_of(lambda x: (x * 2, x.argmax(), (x * x).sum()), numbers(1.0, 2.0, 4.0))
    assert report.ok
    assert report.compared == 3 * (3 + 1 + 1)  # 3 + 1 output elements and a random upstream gradient


def test_several_outputs_a_wrong_one_is_found():
    with pytest.raises(GradcheckError, match=r"element \(\d,\) of output 2|a random upstream gradient"):
        gradcheck(lambda x: (x * 2, x.argmax(), wrong_by(1.001)(x)), numbers(1.0, 2.0))


def test_list_of_outputs_and_integer_outputs_only():
    assert gradcheck(lambda x: [x, x * x], numbers(1.0, 2.0))
    assert gradcheck(lambda x: x.argmax(), numbers(1.0, 2.0))
    assert gradgradcheck(lambda x: x.argmax(), numbers(1.0, 2.0))


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 1, 3)])
def test_shapes(shape):
    assert gradcheck(lambda x: x * x, leaf(normal(0, shape)))
    assert gradgradcheck(lambda x: x * x, leaf(normal(0, shape)))


def test_memory_of_inputs_does_not_matter():
    for array in (normal(0, (4, 6)).T, normal(0, (4, 6))[::2, ::-1], np.broadcast_to(normal(0, (1, 3)), (4, 3))):
        assert gradcheck(tg.tanh, leaf(array))


def test_one_tensor_given_twice():
    x = numbers(1.0, 2.0)
    assert gradcheck(tg.mul, (x, x))


def test_modules_can_be_checked():
    assert gradcheck(tg.nn.Linear(3, 2).double(), leaf(normal(0, (4, 3))))


def test_output_without_graph():
    assert gradcheck(lambda x: tg.ones(2, dtype=tg.float64), numbers(1.0, 2.0))
    with pytest.raises(GradcheckError, match="no gradient reaches this input"):
        gradcheck(lambda x: x.detach() * 2, numbers(1.0, 2.0))


def test_inputs_are_left_as_they_were():
    x = numbers(1.0, 2.0)
    gradcheck(tg.exp, x)
    gradgradcheck(tg.exp, x)
    assert x.grad is None
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("value", "shown"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_values_that_are_not_finite(value, shown):
    with pytest.raises(GradcheckError, match=f"func gives {shown} at these inputs"):
        gradcheck(lambda x: x * value, numbers(1.0, 2.0))


def test_shape_that_depends_on_values():
    with pytest.raises(GraphError, match="returns other shapes"):
        gradcheck(lambda x: x[x > 1.0], numbers(1.0, 2.0))


def test_tiny_and_huge_numbers():
    """No absolute tolerance: a fault of 0.01 % is found at any scale."""
    for scale in (1e-12, 1.0, 1e12):
        assert gradcheck(lambda x, scale=scale: tg.exp(x) * scale, numbers(0.5, 2.0))
        assert gradcheck(lambda x: x * x, numbers(0.5 * scale, 2.0 * scale))
        with pytest.raises(GradcheckError):
            gradcheck(lambda x, scale=scale: tg.exp(wrong_by(1.0001)(x)) * scale, numbers(0.5, 2.0))


@pytest.mark.parametrize("x", [1e-2, 1e-4, 1e-6])
def test_near_a_pole(x):
    assert gradcheck(tg.log, numbers(x, 1.0))
    assert gradcheck(tg.reciprocal, numbers(x, 1.0))


# ---------------------------------------------------------------------- determinism, absent gradients


def test_function_that_is_not_deterministic():
    with pytest.raises(GradcheckError, match="func is not deterministic: two calls with equal inputs differ"):
        gradcheck(lambda x: x * tg.rand(2, dtype=tg.float64), numbers(1.0, 2.0))


def test_nondet_tol():
    rng = np.random.default_rng(0)

    def func(x):
        return x + tg.from_numpy(rng.uniform(0, 1e-9, 2))

    with pytest.raises(GradcheckError, match="not deterministic"):
        gradcheck(func, numbers(1.0, 2.0), atol=1e-3)
    assert gradcheck(func, numbers(1.0, 2.0), nondet_tol=1e-8, atol=1e-3)


class Pair(Op):
    """x and 2x; with one upstream gradient absent, backward forgets the other."""

    def forward(self, x):
        return x.copy(), 2 * x

    def backward(self, first, second):
        if first is None or second is None:
            return (None,)
        return (first + 2 * second,)


def test_absent_upstream_gradient():
    with pytest.raises(GradcheckError, match="absent upstream gradient unlike zeros"):
        gradcheck(Pair.apply, numbers(1.0, 2.0))
    assert gradcheck(Pair.apply, numbers(1.0, 2.0), check_undefined_grad=False)


# ---------------------------------------------------------------------- kinks


@pytest.mark.parametrize(
    ("func", "x", "slopes"),
    [
        (tg.relu, numbers(0.0, 1.0, -1.0), "0 on the left and 1 on the right; backward gives 0"),
        (tg.abs, numbers(1.0, 0.0), "-1 on the left and 1 on the right; backward gives 0"),
        (lambda x: x.max(), numbers(1.0, 1.0, -1.0), "0 on the left and 1 on the right; backward gives 0.5"),
        (lambda x: F.max_pool2d(x, 2), leaf(np.ones((1, 1, 2, 2))), "0 on the left and 1 on the right"),
    ],
    ids=["relu", "abs", "max", "max_pool2d"],
)
def test_kink_at_the_inputs_is_reported_and_no_failure(func, x, slopes):
    with pytest.warns(KinkWarning, match=f"kinks at these very inputs.*\n.*{slopes}") as caught:
        assert gradcheck(func, x)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("distance", 10.0 ** -np.arange(1, 9))
def test_kink_nearby_is_no_kink(distance):
    with warnings.catch_warnings():
        warnings.simplefilter("error", KinkWarning)
        assert gradcheck(tg.relu, numbers(distance, -distance, 1.0))


def test_gradient_at_a_kink_must_lie_between_the_slopes():
    with pytest.raises(GradcheckError, match="at a kink the gradient must lie between the slopes -1 and 1"):
        gradcheck(lambda x: tg.abs(wrong_by(3.0)(x)) + 2.5 * x - 2.5 * wrong_by(0.0)(x), numbers(0.0))


def test_kink_among_many_elements_is_found():
    x = normal(0, (1000,))
    x[713] = 0
    with pytest.warns(KinkWarning, match=r"inputs\[0\], index \(713,\): the slope is 0 on"):
        assert gradcheck(tg.relu, leaf(x))


def test_fault_beside_a_kink_is_found():
    x = normal(0, (1000,))
    x[713] = 0
    with pytest.warns(KinkWarning), pytest.raises(GradcheckError):
        gradcheck(lambda x: tg.relu(wrong_by(1.001)(x)), leaf(x))


def test_element_without_derivative_is_named():
    with pytest.warns(KinkWarning, match=r"no derivative found \(a jump, .*\n  inputs\[0\], index \(1,\)"):
        assert gradcheck(tg.floor, numbers(2.5, 1.0))


def test_nothing_could_be_compared():
    with pytest.warns(KinkWarning), pytest.raises(GradcheckError, match="no derivative could be found"):
        gradcheck(lambda x: tg.floor(x).sum(), numbers(1.0, 2.0))


# ---------------------------------------------------------------------- linear functions


def test_linear_inputs_are_found_and_checked_exactly():
    inputs = [leaf(normal(i, shape)) for i, shape in enumerate([(2, 2, 4, 4), (3, 2, 2, 2), (3,)])]
    report = report_of(F.conv2d, *inputs)
    assert report.linear == [0, 1, 2]
    assert report.exact == [0, 1, 2]
    assert report.largest_tolerance < 1e-11


@pytest.mark.parametrize(
    "func", [tg.exp, lambda x: x * x, tg.relu, tg.abs, tg.round, lambda x: x.max()], ids=lambda f: f.__name__
)
def test_what_is_not_linear(func):
    report = report_of(func, leaf(normal(3, (5,))))
    assert report.ok
    assert report.linear == []


def test_affine_is_linear_enough():
    assert report_of(lambda x: 3 * x + 2, leaf(normal(0, (5,)))).exact == [0]


def test_step_function_that_looks_linear():
    """fmod's gradient is constant between steps: along some lines it looks linear, at integers it jumps."""
    for seed in range(20):
        assert gradgradcheck(tg.fmod, (leaf(normal(seed, ())), numbers(5.0)))


def test_steps_of_whole_numbers_look_linear_to_rounding():
    """A random step near 32, whose multiples among the probes are all nearly whole, looked like a slope of 1."""
    assert gradcheck(tg.round, leaf(np.array(25.661267780332224)))
    for seed in range(300):
        units = np.random.default_rng(seed)
        assert gradcheck(tg.round, leaf(units.integers(-30, 30) + units.uniform(-0.4, 0.4, ())))


def test_equal_integers_on_a_kink_are_no_failure():
    """With these numbers clamp is constant in x; in exact mode's first integers, an element equals both bounds."""
    x = leaf(np.linspace(-0.75, 0.75, 16))
    assert gradcheck(tg.clamp, [x, leaf(np.array(0.1)), leaf(np.array(0.075))])


def test_exact_mode_finds_what_hides_in_rounding():
    """A gradient that is off by 1e-14 of its value, far below any tolerance of differences."""
    with pytest.raises(GradcheckError, match="integers, where nothing is rounded"):
        gradcheck(wrong_by(1 + 1e-13), leaf(normal(0, (40,))))


# ---------------------------------------------------------------------- large inputs, fast mode


def test_large_inputs_take_few_calls():
    calls = []

    def func(x):
        calls.append(1)
        return (x * x).sum(1)

    assert gradcheck(func, leaf(normal(0, (100, 50))))
    assert len(calls) < 200


@pytest.mark.parametrize("linear", [True, False])
def test_one_wrong_element_of_many_is_found_and_named(linear):
    class OneWrong(Op):
        def forward(self, x):
            return x.copy()

        def backward(self, grad):
            array = np.array(grad._array)
            array[41, 7] *= 1.0001
            return (tg.from_numpy(array),)

    def func(x):
        y = OneWrong.apply(x)
        return y if linear else y * y

    with pytest.raises(GradcheckError, match=r"index \(41, 7\).*\n.*wrong by a factor of 1\.0001"):
        gradcheck(func, leaf(normal(0, (100, 50))))


def test_fast_mode():
    full, fast = (report_of(tg.tanh, leaf(normal(0, (20,))), fast_mode=fast) for fast in (False, True))
    assert full.ok
    assert fast.ok
    assert fast.compared < full.compared
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: tg.tanh(wrong_by(1.0001)(x)), leaf(normal(0, (20,))), fast_mode=True)


# ---------------------------------------------------------------------- messages


def test_message_names_input_index_both_numbers_and_kind():
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x, y: x * wrong_by(2.0)(y), (numbers(1.0, 2.0), numbers(3.0, 4.0)))
    assert str(caught.value).startswith("gradcheck: the gradient is wrong\ninputs[1], shape (2,), index (1,): backward")
    assert "everything is 2 times too large" in str(caught.value)
    mismatch = report_of(wrong_by(-1.0), numbers(1.0, 2.0)).mismatches[0]
    assert mismatch.backward == pytest.approx(-mismatch.differences)
    assert mismatch.fault == "the wrong sign"


def test_one_mismatch_per_input():
    report = report_of(lambda x, y: wrong_by(2.0)(x) * wrong_by(3.0)(y), numbers(1.0, 2.0), numbers(3.0, 4.0))
    assert [m.input for m in report.mismatches] == [0, 1]


def test_report_of_a_right_gradient():
    report = report_of(tg.exp, numbers(1.0, 2.0))
    assert str(report) == f"gradcheck: {report.compared} derivatives agree"
    assert report.largest_tolerance < 1e-9


# ---------------------------------------------------------------------- gradgradcheck


def test_given_upstream_gradients():
    x = leaf(normal(0, (2, 3)))
    assert gradgradcheck(lambda x: x * x, x, tg.ones(2, 3, dtype=tg.float64))
    assert gradgradcheck(lambda x: (x * x, x * 3), x, [tg.ones(2, 3, dtype=tg.float64)] * 2)


def test_non_contiguous_upstream_gradients():
    seen = []

    class Looks(Op):
        def forward(self, x):
            return x.copy()

        def backward(self, grad):
            seen.append(grad._array.flags.c_contiguous)
            return (grad,)

    gradgradcheck(lambda x: Looks.apply(x) * 1, leaf(normal(0, (2, 3))))
    assert all(seen)
    gradgradcheck(Looks.apply, leaf(normal(0, (2, 3))), gen_non_contig_grad_outputs=True)
    assert not all(seen)


def test_linear_function_has_no_second_derivative():
    assert gradgradcheck(lambda x: 3 * x, leaf(normal(0, (2, 3))))


def test_second_derivative_names_the_upstream_gradient():
    def func(x):
        return (wrong_second(x) * x).sum(1)

    class Detaches(Op):
        def forward(self, x):
            return x.copy()

        def backward(self, grad):
            return (grad.detach(),)

    wrong_second = Detaches.apply
    assert gradcheck(func, leaf(normal(0, (2, 3))))
    with pytest.raises(GradcheckError, match=r"gradgradcheck: .*\n(.*\n.*\n)?grad_outputs\[0\]"):
        gradgradcheck(func, leaf(normal(0, (2, 3))))
