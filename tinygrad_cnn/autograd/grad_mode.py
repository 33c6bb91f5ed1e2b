"""Whether operations are recorded: ``no_grad``, ``enable_grad``, ``inference_mode``, ``set_grad_enabled``.

The state belongs to the thread (and to the asyncio task): a few context variables, which are also the quickest
per-thread state there is to read, 20 ns against 90 for ``threading.local``.  Every context restores what it found,
also when it is left by an exception, and each can be used as a decorator, on generator functions too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


recording: ContextVar[bool] = ContextVar("recording", default=True)
inference: ContextVar[bool] = ContextVar("inference", default=False)
anomaly: ContextVar[bool] = ContextVar("anomaly", default=False)
nan_check: ContextVar[bool] = ContextVar("nan_check", default=True)


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return recording.get()


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside ``inference_mode``."""
    return inference.get()


def is_anomaly_enabled() -> bool:
    """Whether this thread is inside ``detect_anomaly``."""
    return anomaly.get()


def is_anomaly_check_nan_enabled() -> bool:
    """Whether ``detect_anomaly`` would look for NaN in this thread."""
    return nan_check.get()


class _ModeContext:
    """Sets some of the variables on entry and restores them on exit; usable as a context and as a decorator."""

    def __init__(self, *settings: tuple[ContextVar[bool], bool]) -> None:
        self._settings = settings
        self._previous: list[list[bool]] = []

    def __enter__(self) -> None:
        self._previous.append([variable.get() for variable, _ in self._settings])
        for variable, value in self._settings:
            variable.set(value)

    def __exit__(self, *exception: object) -> None:
        for (variable, _), value in zip(self._settings, self._previous.pop()):
            variable.set(value)

    def _clone(self) -> _ModeContext:
        return _ModeContext(*self._settings)

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
        super().__init__((recording, False))


class enable_grad(_ModeContext):
    """Context or decorator under which operations are recorded, also inside ``no_grad``, as ``torch.enable_grad``."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        self = super().__new__(cls)
        if function is None:
            return self
        self.__init__()  # type: ignore[misc]
        return self(function)

    def __init__(self) -> None:
        super().__init__((recording, True))


class inference_mode(_ModeContext):
    """As ``no_grad``; tensors made inside can never be saved for a gradient later, as ``torch.inference_mode``.

    Args:
        mode: False switches back to the ordinary recording of operations.
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__((recording, not mode), (inference, mode))


class _Switch(_ModeContext):
    """Sets the variables at once when it is called, and restores them on exit when it is used as a context."""

    def __init__(self, *settings: tuple[ContextVar[bool], bool]) -> None:
        super().__init__(*settings)
        self._before_call: list[bool] | None = [variable.get() for variable, _ in settings]
        for variable, value in settings:
            variable.set(value)

    def _clone(self) -> _ModeContext:
        return _ModeContext(*self._settings)

    def __enter__(self) -> None:
        super().__enter__()
        if self._before_call is not None:  # the call already switched; what to restore is the state before the call
            self._previous[-1] = self._before_call
            self._before_call = None

    def __call__(self, function: F) -> F:
        if self._before_call is not None:  # used as a decorator: the call must not have switched anything
            for (variable, _), value in zip(self._settings, self._before_call):
                variable.set(value)
        return super().__call__(function)


class set_grad_enabled(_Switch):
    """Switch recording on or off: at once when called, restored on exit when used as a context.

    Args:
        mode: whether operations are recorded.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__((recording, bool(mode)))


class detect_anomaly(_ModeContext):
    """Inside, backward raises at the first NaN, naming the operation that made it and the line that called it.

    Slow: every recorded operation keeps the stack it was called from.  As ``torch.autograd.detect_anomaly``, which
    however looks at gradients only; a loss that is NaN raises here too, as soon as backward starts from it.

    Args:
        check_nan: look for NaN; False only adds to errors in backward where the operation was called.
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__((anomaly, True), (nan_check, bool(check_nan)))


class set_detect_anomaly(_Switch):
    """Switch ``detect_anomaly`` on or off: at once when called, restored on exit when used as a context.

    Args:
        mode: whether anomalies are looked for.
        check_nan: see ``detect_anomaly``.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__((anomaly, bool(mode)), (nan_check, bool(check_nan)))
