"""``check_op``: every property of ``properties.py`` for a user's own operation, in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cases import OpSample, as_case
from .properties import PROPERTIES
from .snippet import snippet


def check_op(
    function: Callable[..., Any],
    strategy: Any,
    *,
    reference: Callable[..., Any] | None = None,
    torch: Callable[..., Any] | None = None,
    order: int = 2,
    exact: bool = False,
    max_examples: int = 50,
) -> None:
    """Test a differentiable operation on drawn inputs: value, gradients of two orders, memory, graph.

    Call it from a test::

        def test_scale():
            check_op(scale, tensors(), reference=lambda x: 2 * x)

    Args:
        function: takes Tensors, returns a Tensor or several.
        strategy: a Hypothesis strategy of what it is called with: a Tensor or float64 array, a tuple of them (None for
            an optional one that is left out), or a ``Case`` with keywords.
        reference: the same function on NumPy arrays, written another way.
        torch: the same function on torch Tensors; used where PyTorch is installed.
        order: how many times it can be differentiated, 1 or 2.
        exact: it is linear in every floating-point input by itself, so integers must give exact adjoints.
        max_examples: how many calls are drawn.

    Raises:
        AssertionError: a property does not hold; the example is added as code that can be pasted.
        ImportError: hypothesis is not installed.
    """
    try:
        from hypothesis import HealthCheck, Phase, given, settings
    except ImportError as error:
        raise ImportError("check_op needs hypothesis to draw examples: pip install 'tinygrad_cnn[test]'") from error
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", type(function).__name__)
    name = f"{owner.__name__}.{name}" if isinstance(owner, type) else name
    sample = OpSample(name, function, strategy, reference, torch, order, exact=exact)

    @settings(
        max_examples=max_examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate, Phase.shrink],  # explaining means tracing every line, and the snippet says more
    )
    @given(strategy)
    def check(drawn: Any) -> None:
        for property in PROPERTIES:
            check_property(property, sample, drawn)

    check()


def check_property(property: Any, sample: OpSample, drawn: Any) -> None:
    """Run one property; a failure carries its name and the example as code."""
    case = as_case(drawn)
    try:
        property(sample, case)
    except Exception as error:
        error.add_note(f"{sample.name}: {property.__name__} does not hold for\n\n{snippet(sample, case)}\n")
        raise
