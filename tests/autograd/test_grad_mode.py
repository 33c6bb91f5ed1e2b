"""no_grad, enable_grad, inference_mode and set_grad_enabled: as contexts, as decorators, per thread, after errors."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cnn as tg
from tinygrad_cnn.errors import GraphError


def state():
    return tg.is_grad_enabled(), tg.is_inference_mode_enabled()


MODES = {
    "no_grad": (tg.no_grad, (False, False)),
    "enable_grad": (tg.enable_grad, (True, False)),
    "inference_mode": (tg.inference_mode, (False, True)),
    "inference_mode(False)": (lambda: tg.inference_mode(False), (True, False)),
    "set_grad_enabled(False)": (lambda: tg.set_grad_enabled(False), (False, False)),
    "set_grad_enabled(True)": (lambda: tg.set_grad_enabled(True), (True, False)),
}
each_mode = pytest.mark.parametrize(("mode", "inside"), MODES.values(), ids=MODES)


@each_mode
def test_as_a_context(mode, inside):
    x = tg.ones(2, requires_grad=True)
    with mode():
        assert state() == inside
        assert (x * 2).requires_grad == inside[0]
        assert x.requires_grad
    assert state() == (True, False)


@each_mode
def test_restored_after_an_error(mode, inside):
    with pytest.raises(ZeroDivisionError), mode():
        raise ZeroDivisionError
    assert state() == (True, False)


@each_mode
def test_as_a_decorator(mode, inside):
    @mode()
    def function(a, *, b):
        """What it does."""
        if a == 0:
            raise ZeroDivisionError
        return (a, b, state()) if a == 1 else function(a - 1, b=b)

    assert state() == (True, False)
    assert (function.__name__, function.__doc__) == ("function", "What it does.")
    assert function(1, b=2) == (1, 2, inside)
    assert function(3, b=2) == (1, 2, inside)  # entered three times
    assert state() == (True, False)
    with pytest.raises(ZeroDivisionError):
        function(0, b=2)
    assert state() == (True, False)


@pytest.mark.parametrize("mode", [tg.no_grad, tg.enable_grad])
def test_as_a_decorator_without_parentheses(mode):
    @mode
    def function():
        return tg.is_grad_enabled()

    with tg.set_grad_enabled(mode is tg.no_grad):
        assert function() == (mode is tg.enable_grad)


@each_mode
def test_on_methods_and_reused(mode, inside):
    context = mode()
    if isinstance(context, tg.set_grad_enabled):
        with context:
            pass

    class Layer:
        @context
        def call(self):
            return state()

    assert Layer().call() == inside
    with context, context:
        assert state() == inside
    assert state() == (True, False)


def test_on_generators():
    """The mode holds in the generator's code, not in its consumer's."""

    @tg.no_grad()
    def generator():
        received = yield state()
        try:
            yield received, state()
        except KeyError:
            yield "caught", state()
        return "done"

    def consumer():
        result = yield from generator()
        yield result

    run = consumer()
    assert next(run) == (False, False)
    assert state() == (True, False)
    assert run.send("sent") == ("sent", (False, False))
    assert run.throw(KeyError()) == ("caught", (False, False))
    assert state() == (True, False)
    assert next(run) == "done"


def test_a_generator_that_is_closed():
    seen = []

    @tg.no_grad()
    def generator():
        try:
            yield 1
        finally:
            seen.append(state())

    run = generator()
    next(run)
    run.close()
    assert seen == [(False, False)]
    assert state() == (True, False)


@given(st.lists(st.sampled_from(sorted(MODES)), max_size=6))
def test_nested(names):
    def enter(remaining):
        before = state()
        if remaining:
            mode, _ = MODES[remaining[0]]
            with mode():
                enter(remaining[1:])
        assert state() == before

    enter(names)
    assert state() == (True, False)


def test_set_grad_enabled_switches_at_once():
    try:
        tg.set_grad_enabled(False)
        assert not tg.is_grad_enabled()
        with tg.set_grad_enabled(True):
            assert tg.is_grad_enabled()
        assert not tg.is_grad_enabled()
    finally:
        tg.set_grad_enabled(True)
    assert tg.is_grad_enabled()


def test_each_thread_has_its_own():
    seen = {}
    entered, leave = threading.Event(), threading.Event()

    def other():
        seen["start"] = state()
        with tg.inference_mode():
            seen["inside"] = state()
            entered.set()
            leave.wait()
        seen["end"] = state()

    with tg.no_grad():
        thread = threading.Thread(target=other, **_OWN_CONTEXT)
        thread.start()
        entered.wait()
        seen["main"] = state()
        leave.set()
        thread.join()
    assert seen == {"start": (True, False), "inside": (False, True), "end": (True, False), "main": (False, False)}


# From Python 3.14 a build without the global lock lets threads inherit context variables unless they get a context.
_TAKES_CONTEXT = "context" in inspect.signature(threading.Thread).parameters
_OWN_CONTEXT = {"context": contextvars.Context()} if _TAKES_CONTEXT else {}


def test_each_task_has_its_own():
    async def task(mode, rounds):
        with mode():
            for _ in range(rounds):
                inside = state()
                await asyncio.sleep(0)
                assert state() == inside
        return inside

    async def both():
        return await asyncio.gather(task(tg.no_grad, 3), task(tg.inference_mode, 4), task(tg.enable_grad, 2))

    assert asyncio.run(both()) == [(False, False), (False, True), (True, False)]
    assert state() == (True, False)


def test_no_grad_while_backward_runs():
    x = tg.ones(2, requires_grad=True)
    y = (x * x).sum()
    with tg.no_grad():
        y.backward()
    assert x.grad.tolist() == [2, 2]
    with tg.no_grad():
        (first,) = tg.autograd.grad(_square_sum(x), x, create_graph=True)
    assert first.requires_grad


@tg.enable_grad()
def _square_sum(x):
    return (x * x).sum()


def test_inference_tensors_are_never_saved():
    with tg.inference_mode():
        x = tg.ones(2) * 1
        x.mul_(3)
    w = tg.ones(2, requires_grad=True)
    assert (w + x).requires_grad  # nothing to save
    with pytest.raises(GraphError, match=r"cannot be saved for backward; clone\(\) it outside inference_mode"):
        w * x
    (w * x.clone()).sum().backward()
    assert w.grad.tolist() == [3, 3]
    with pytest.raises(GraphError, match="in-place write to an inference tensor outside inference_mode"):
        x.mul_(2)
    with tg.inference_mode(), tg.inference_mode(False):
        assert (w * 2).requires_grad
