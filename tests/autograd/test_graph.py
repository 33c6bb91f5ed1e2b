"""The graph and the walk through it: backward, grad, hooks, leaves, retained gradients, saved arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.autograd import Op, backward, grad
from tinygrad_cnn.errors import GraphError


def leaf(*values):
    return tg.tensor(list(values), dtype=tg.float64, requires_grad=True)


# ------------------------------------------------------------------------------------------------ backward


@given(seed=st.integers(0, 1000), n=st.integers(1, 5))
def test_the_upstream_gradient(seed, n):
    draw = np.random.default_rng(seed)
    x, upstream = tg.tensor(draw.normal(size=n), requires_grad=True), tg.tensor(draw.normal(size=n))
    (x**2).backward(upstream)
    np.testing.assert_allclose(x.grad, 2 * x.detach().numpy() * upstream.numpy())
    x.grad = None
    (x**2).backward(gradient=tg.zeros(n, dtype=tg.float64))
    assert x.grad.tolist() == [0] * n


class BroadcastSum(Op):
    """x + y, of any two shapes; without parameters, so ``forward`` can be static."""

    broadcasts = True

    @staticmethod
    def forward(x, y):
        return x + y

    def backward(self, grad):
        return grad, grad


@pytest.mark.parametrize(("first", "second"), [((2, 1), (3,)), ((), (2, 3)), ((1, 1, 1), (2, 3)), ((2, 3), (2, 3))])
def test_the_walk_sums_what_was_broadcast(first, second):
    draw = np.random.default_rng(0)
    x, y = (tg.tensor(draw.normal(size=shape), requires_grad=True) for shape in (first, second))
    upstream = tg.tensor(draw.normal(size=np.broadcast_shapes(first, second)), requires_grad=True)
    by_x, by_y = grad(BroadcastSum.apply(x, y), [x, y], upstream, create_graph=True)
    assert (by_x.shape, by_y.shape) == (first, second)
    assert by_x.sum().item() == pytest.approx(upstream.sum().item())
    (again,) = grad(by_x.sum() + 2 * by_y.sum(), [upstream])  # the sum is recorded too
    np.testing.assert_array_equal(again, np.full(upstream.shape, 3.0))


def test_a_static_forward_needs_no_node_where_nothing_is_recorded():
    x, y = leaf(1.0), leaf(2.0)
    with tg.no_grad():
        out = BroadcastSum.apply(x, y)
    assert (out.tolist(), out.requires_grad, out.grad_fn) == ([3.0], False, None)
    assert BroadcastSum.apply(x, y).grad_fn.name() == "BroadcastSumBackward"
    with tg.inference_mode():
        assert BroadcastSum.apply(x, y)._inference


@given(first=st.floats(width=32), second=st.floats(width=32))
def test_sums_of_one_element_round_as_numpys(first, second):
    x = tg.tensor([1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        (x * first + x * second).backward()
        expected = np.float32(first) + np.float32(second)
    np.testing.assert_array_equal(x.grad, np.array([expected]))


def test_gradients_add_up_until_they_are_cleared():
    x = leaf(3.0)
    for expected in (6, 12, 18):
        (x * x).backward()
        assert x.grad.item() == expected
    x.grad = None
    (x * x).backward()
    assert x.grad.item() == 6


def test_a_graph_is_used_once_or_retained():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12
    with pytest.raises(GraphError, match="MulBackward: backward through a graph a second time"):
        y.backward()
    assert x.grad.item() == 12
    z = x + 1  # nothing is saved, so nothing is freed
    z.backward()
    z.backward()
    assert x.grad.item() == 14


def test_create_graph():
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.backward()
    assert x.grad.item() == 18
    x.grad = None  # first and x refer to each other
    assert not (x * x).backward()
    assert not x.grad.requires_grad


def test_create_graph_adds_to_an_existing_gradient():
    x = leaf(2.0)
    (x**2).backward(create_graph=True)
    before = x.grad
    (x**3).backward(create_graph=True)
    assert before.item() == 4
    assert x.grad.item() == 16
    (second,) = grad(x.grad, x)
    assert second.item() == 14
    x.grad = None


def test_inputs_restricts_where_gradients_go():
    x, w, unused = leaf(2.0), leaf(3.0), leaf(1.0)
    h = x * w
    (h * h).backward(inputs=[h, w], retain_graph=True)
    assert (x.grad, h.grad.item(), w.grad.item()) == (None, 12, 24)
    (h * h).backward(inputs=x)
    assert (x.grad.item(), h.grad.item(), w.grad.item()) == (36, 12, 24)
    (x * 2).backward(inputs=[x, unused])
    assert unused.grad is None


def test_several_roots():
    x = leaf(2.0, 3.0)
    backward([x.sum(), x * x], [None, tg.tensor([1.0, 10.0], dtype=tg.float64)])
    assert x.grad.tolist() == [5, 61]
    y = x.prod()
    backward([y, y])
    assert x.grad.tolist() == [11, 65]


def test_a_leaf_may_be_the_root():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1
    assert grad(x, x)[0].item() == 1


def test_no_two_gradients_share_memory():
    x, y, upstream = leaf(1.0, 2.0), leaf(3.0, 4.0), tg.ones(2, dtype=tg.float64)
    total = x + y
    total.retain_grad()
    total.backward(upstream)
    arrays = [x.grad, y.grad, total.grad, upstream]
    for i, a in enumerate(arrays):
        for b in arrays[:i]:
            assert not np.shares_memory(a.numpy(), b.numpy())


# ------------------------------------------------------------------------------------------------ grad


def test_grad_leaves_grad_alone():
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    found = grad(h * h, [x, h, w])
    assert [g.item() for g in found] == [36, 12, 24]
    assert (x.grad, h.grad, w.grad) == (None, None, None)
    assert isinstance(grad(x * 2, x), tuple)


def test_grad_of_unused_inputs():
    x, unused = leaf(2.0), leaf(1.0, 1.0)
    found = grad(x * x, [x, unused], allow_unused=True)
    assert found[0].item() == 4
    assert found[1] is None
    found = grad(x * x, [x, unused], materialize_grads=True)
    assert found[1].tolist() == [0, 0]
    assert found[1].dtype is tg.float64
    with pytest.raises(GraphError, match=r"inputs\[1\] of shape \(2,\) was not used"):
        grad(x * x, [x, unused])


def test_grad_runs_only_what_leads_to_the_inputs():
    ran = []

    class Noted(Op):
        def forward(self, x):
            return x * 1

        def backward(self, grad):
            ran.append(True)
            return (grad,)

    x, w = leaf(2.0), leaf(3.0)
    y = Noted.apply(x) * w
    grad(y, w, retain_graph=True)
    assert not ran
    grad(y, [w, x])
    assert ran


def test_grad_with_upstream_gradients_and_create_graph():
    x = leaf(1.0, 2.0)
    upstream = leaf(3.0, 4.0)
    (first,) = grad(x**2, x, upstream, create_graph=True)
    assert first.tolist() == [6, 16]
    (by_x, by_upstream) = grad(first.sum(), [x, upstream])
    assert by_x.tolist() == [6, 8]
    assert by_upstream.tolist() == [2, 4]


# ------------------------------------------------------------------------------------------------ leaves and nodes


def test_leaves_and_nodes():
    x, constant = leaf(1.0, 2.0), tg.ones(2, dtype=tg.float64)
    y = x * constant
    assert x.is_leaf
    assert constant.is_leaf
    assert not y.is_leaf
    assert x.grad_fn is None
    assert y.requires_grad
    assert not (constant * 2).requires_grad
    assert (constant * 2).is_leaf
    assert repr(y.grad_fn) == "<MulBackward>"
    (accumulate, index), (nothing, _) = y.grad_fn.next_functions
    assert (accumulate.name(), index, nothing) == ("AccumulateGrad", 0, None)
    assert accumulate.variable is x
    assert accumulate.next_functions == ()
    z = y + y
    assert [node for node, _ in z.grad_fn.next_functions] == [y.grad_fn, y.grad_fn]
    _, indices = x.sort()
    assert indices.is_leaf
    assert not indices.requires_grad


def test_outputs_of_one_node_are_numbered():
    parts = leaf(1.0, 2.0, 3.0).sort()
    assert parts[0].output_nr == 0
    mean, variance = tg.ops.reduction.var_mean(leaf(1.0, 2.0), dim=0)
    assert mean.requires_grad
    assert variance.requires_grad


def test_detach():
    x = leaf(1.0, 2.0)
    y = (x * 2).detach()
    assert y.is_leaf
    assert not y.requires_grad
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [1, 2]
    z = x * 2
    assert z.detach_() is z
    assert z.is_leaf
    assert not z.requires_grad
    assert x.detach().requires_grad_().requires_grad


def test_retain_grad():
    x = leaf(1.0, 2.0)
    h = x * 3
    assert not h.retains_grad
    h.retain_grad()
    h.retain_grad()
    assert h.retains_grad
    (h * h).sum().backward(retain_graph=True)
    former = h.grad
    assert former.tolist() == [6, 12]
    (h + 1).sum().backward()
    assert h.grad.tolist() == [7, 13]
    assert former.tolist() == [6, 12]
    x.retain_grad()  # nothing to do for a leaf
    assert not x.retains_grad


def test_retained_gradients_of_grad_and_inputs_as_in_pytorch():
    x = leaf(1.0)
    h = x * 2
    h.retain_grad()
    h.register_hook(lambda g: g * 10)  # a retained gradient is that after all hooks
    (found,) = grad(h * h, x, retain_graph=True)
    assert found.item() == 80
    assert h.grad.item() == 40
    h.grad = None
    (h * h).backward(inputs=[h])
    assert h.grad.item() == 40


# ------------------------------------------------------------------------------------------------ hooks


def test_hooks_see_and_replace_gradients():
    x = leaf(1.0, 2.0)
    seen = []
    h = x * 3
    first = h.register_hook(lambda g: seen.append(g.tolist()))
    h.register_hook(lambda g: g * 2)
    last = h.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g + 1)
    h.sum().backward()
    assert seen == [[1, 1], [2, 2]]
    assert x.grad.tolist() == [7, 7]
    first.remove()
    first.remove()
    with last:
        pass
    (x * 3).sum().backward()
    assert len(seen) == 2
    assert x.grad.tolist() == [11, 11]


def test_a_hook_sees_the_whole_gradient_once():
    seen = []
    x = leaf(2.0)
    h = x * 1
    h.register_hook(lambda g: seen.append(g.item()))
    x.register_hook(lambda g: seen.append(g.item()))
    (h * 2 + h * 3 + x * 4).backward()
    assert seen == [5, 9]


def test_hooks_on_nodes():
    x = leaf(2.0)
    y = x * 3
    handle = y.grad_fn.register_hook(lambda g: g * 5)
    y.backward(retain_graph=True)
    handle.remove()
    y.backward()
    assert x.grad.item() == 18


def test_hooks_after_accumulation():
    x = leaf(2.0)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.item())))
    (x * 3).backward()
    (x * 3).backward()
    handle.remove()
    (x * 3).backward()
    assert seen == [(True, 3), (True, 6)]


def test_hooks_take_part_in_higher_derivatives():
    x = leaf(2.0)
    y = x * 1
    y.register_hook(lambda g: g * y)
    (first,) = grad(y * y, x, create_graph=True)
    assert first.item() == 8
    assert grad(first, x)[0].item() == 16  # 4 y, and the hook again


def test_an_error_in_a_hook_changes_no_gradient():
    x, w = leaf(2.0), leaf(3.0)

    def fail(_):
        raise ZeroDivisionError("hook")

    handle = x.register_hook(fail)
    h = w * 2
    h.retain_grad()
    with pytest.raises(ZeroDivisionError, match="hook"):
        (x * h).backward()
    assert (x.grad, w.grad, h.grad) == (None, None, None)
    handle.remove()
    h = w * 2
    h.retain_grad()
    (x * h).backward()
    assert (x.grad.item(), w.grad.item(), h.grad.item()) == (6, 4, 2)


# ------------------------------------------------------------------------------------------------ saved arrays


def write_to(tensor):
    with tg.no_grad():
        tensor.add_(1)


@pytest.mark.parametrize(
    ("name", "operation", "written"),
    [
        ("MulBackward", lambda x, y: x * y, "y"),
        ("ExpBackward", lambda x, y: x.exp(), "out"),
        ("SinBackward", lambda x, y: x.sin(), "x"),
        ("MatMulBackward", lambda x, y: x @ y, "y"),
    ],
)
def test_a_saved_array_that_was_written_to(name, operation, written):
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    out = operation(x, y)
    write_to({"x": x, "y": y, "out": out}[written])
    with pytest.raises(GraphError, match=r"a tensor of shape .* was modified by an in-place operation") as caught:
        out.sum().backward()
    assert str(caught.value).startswith(f"{name}: ")
    assert "it is at version 1, expected version 0" in str(caught.value)
    assert x.grad is None


def test_a_saved_array_that_was_written_to_through_a_view():
    x = leaf(1.0, 2.0)
    h = x * 1
    y = h * h
    h[0] = 5.0
    with pytest.raises(GraphError, match="MulBackward: a tensor"):
        y.sum().backward()


def test_a_write_that_no_gradient_needs_is_allowed():
    x, y = leaf(1.0, 2.0), tg.tensor([3.0, 4.0], dtype=tg.float64)
    out = x * y
    write_to(x)  # only y is needed for the gradient of x
    write_to(out)
    out.sum().backward()
    assert x.grad.tolist() == [3, 4]


# ------------------------------------------------------------------------------------------------ PyTorch


def program(library):
    """What backward, grad, hooks and retained gradients give on one small graph."""
    x = library.tensor([0.5, -1.5, 2.0], dtype=library.float64, requires_grad=True)
    w = library.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=library.float64, requires_grad=True)
    found = []
    h = (w * x).tanh()
    h.retain_grad()
    h.register_hook(lambda g: found.append(g))
    x.register_hook(lambda g: g * 2)
    w.register_post_accumulate_grad_hook(lambda t: found.append(t.grad * 1))
    y = (h * h + x).sum(1)
    y.backward(library.tensor([1.0, -2.0], dtype=library.float64), retain_graph=True)
    found += [x.grad, w.grad, h.grad]
    first = library.autograd.grad(y.sum(), [x, w], create_graph=True)
    found += [*first, h.grad]
    found += library.autograd.grad((first[0] * first[1]).sum(), [x, w])
    h2 = x * 2
    (h2 * h2).sum().backward(inputs=[h2])
    found.append(h2.grad)
    return found


def test_a_program_gives_what_pytorch_gives():
    torch = pytest.importorskip("torch")
    ours, theirs = program(tg), program(torch)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
