"""Whether operations are recorded: ``no_grad``, ``enable_grad``, ``inference_mode``, ``set_grad_enabled``.

The state belongs to the thread.  Every context restores what it found, also when it is left by an exception, and
each can be used as a decorator, on generator functions too.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Mode(threading.local):
    enabled = True
    inference = False
    anomaly = False


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside ``inference_mode``."""
    return mode.inference


class _ModeContext:
    """Sets fields of the thread's mode on entry and restores them on exit; usable as a context and as a decorator."""

    def __init__(self, **fields: bool) -> None:
        self._fields = fields
        self._previous: list[dict[str, bool]] = []

    def __enter__(self) -> None:
        self._previous.append({name: getattr(mode, name) for name in self._fields})
        for name, value in self._fields.items():
            setattr(mode, name, value)

    def __exit__(self, *exception: object) -> None:
        for name, value in self._previous.pop().items():
            setattr(mode, name, value)

    def _clone(self) -> _ModeContext:
        return _ModeContext(**self._fields)

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._clone():
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    def _wrap_generator(self, function: F) -> F:
        """The mode holds while the generator's own code runs, not while its consumer does."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            resume, argument = generator.send, None
            while True:
                try:
                    with self._clone():
                        item = resume(argument)
                except StopIteration as stop:
                    return stop.value
                try:
                    argument = yield item
                    resume = generator.send
                except GeneratorExit:
                    with self._clone():
                        generator.close()
                    raise
                except BaseException as error:
                    resume, argument = generator.throw, error

        return wrapper  # type: ignore[return-value]


class no_grad(_ModeContext):
    """Context or decorator under which nothing is recorded, as ``torch.no_grad``."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        self = super().__new__(cls)
        if function is None:
            return self
        self.__init__()  # type: ignore[misc]
        return self(function)  # used as ``@no_grad`` without parentheses

    def __init__(self) -> None:
        super().__init__(enabled=False)


class enable_grad(_ModeContext):
    """Context or decorator under which operations are recorded, also inside ``no_grad``, as ``torch.enable_grad``."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        self = super().__new__(cls)
        if function is None:
            return self
        self.__init__()  # type: ignore[misc]
        return self(function)

    def __init__(self) -> None:
        super().__init__(enabled=True)


class inference_mode(_ModeContext):
    """As ``no_grad``; tensors made inside can never be saved for a gradient later, as ``torch.inference_mode``.

    Args:
        mode: False switches back to the ordinary recording of operations.
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(enabled=not mode, inference=mode)


class set_grad_enabled(_ModeContext):
    """Switch recording on or off: at once when called, restored on exit when used as a context.

    Args:
        mode: whether operations are recorded.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(enabled=bool(mode))
        self._before_call: dict[str, bool] | None = {"enabled": is_grad_enabled()}
        self._set()

    def _set(self) -> None:
        mode.enabled = self._fields["enabled"]

    def __enter__(self) -> None:
        # The call already switched; what to restore is the state before the call.
        if self._before_call is None:
            super().__enter__()
        else:
            self._previous.append(self._before_call)
            self._before_call = None
            self._set()

    def __call__(self, function: F) -> F:
        if self._before_call is not None:  # used as a decorator: the call must not have switched anything
            mode.enabled = self._before_call["enabled"]
        return super().__call__(function)


class detect_anomaly(_ModeContext):
    """Inside, backward raises at the first operation that makes a NaN, naming it and the line that recorded it.

    Slow: every recorded operation keeps the stack it was called from.  As ``torch.autograd.detect_anomaly``.
    """

    def __init__(self) -> None:
        super().__init__(anomaly=True)
