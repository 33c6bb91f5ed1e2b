"""Are the gradients right?  ``gradcheck`` and ``gradgradcheck`` compare backward with differences.

Every check uses a random upstream gradient, because a sum as loss hides faults.  The tolerance comes from the
differences themselves (``_differences.py``), so that an element that is off by 0.01 % is found without false alarms;
where the function is linear in an input, which is found by trying, the check is exact (``_linearity.py``); a kink at
the very point is reported as a kink, and a failure names the likely kind of fault (``_diagnosis.py``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import GradcheckError
from ._check import Check, Options
from ._gradient_report import GradientReport, Kink, KinkWarning, Mismatch
from .engine import grad
from .tensor import Tensor, wrap

__all__ = ["GradcheckError", "GradientReport", "Kink", "KinkWarning", "Mismatch", "gradcheck", "gradgradcheck"]


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check the gradients of ``func`` by every input that requires grad against differences.

    Up to 256 elements of an input are moved one by one, and up to 24 output elements get an upstream gradient each: the
    whole Jacobian.  Larger inputs move along random directions, larger outputs get random upstream gradients; a random
    one is always among them.  Where ``func`` has a kink at the very inputs, so that left and right slope differ, a
    ``KinkWarning`` says so, and the gradient only has to lie between the two.  It also names elements at which no
    derivative was found.

    Args:
        func: takes the inputs, returns a Tensor or several, of any shapes; floating-point ones are checked.
        inputs: a Tensor or a sequence; Tensors that require grad are checked and must be float64, any shape, any
            strides.
        eps: the first step of the differences.  Default: chosen by size and linearity.
        atol, rtol: accept an error of ``atol + rtol * |difference|`` even where the differences are more exact than
            that.  Default: only what the differences' own noise and truncation justify.
        raise_exception: raise on a wrong gradient; otherwise return False.
        nondet_tol: how much two calls, or two backwards, with the same inputs may differ.
        check_undefined_grad: with several outputs, check that leaving out an upstream gradient equals zeros.
        check_grad_dtypes: has no effect: backward never accepts a gradient of another dtype than its input's.
        check_batched_grad, check_batched_forward_grad, check_forward_ad: must be False: there is neither vmap nor
            forward mode here.
        check_backward_ad: must be True.
        fast_mode: random directions and upstream gradients also where the whole Jacobian would be affordable.
        masked: must be None or False: there are no sparse tensors.

    Returns:
        True if all gradients are right (False only with ``raise_exception=False``).

    Raises:
        GradcheckError: a gradient is wrong: names input, index, both numbers and the likely kind of fault.
        DTypeError: an input that requires grad is not float64; func returns something else than Tensors.
        GraphError: no input requires grad.
        NotImplementedError: an option that asks for forward mode, vmap or sparse tensors.
        ValueError: an eps that is not positive, a negative tolerance.
    """
    _check_numbers("gradcheck", eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol)
    _refuse("gradcheck", check_batched_grad=check_batched_grad, check_batched_forward_grad=check_batched_forward_grad,
            check_forward_ad=check_forward_ad, check_backward_ad=not check_backward_ad, masked=masked)  # fmt: skip
    options = Options(
        "gradcheck", _input_name, eps, atol or 0.0, rtol or 0.0, nondet_tol, check_undefined_grad, fast_mode
    )
    return _conclude(Check(func, inputs, options).run(), raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the second derivatives of ``func``: ``gradcheck`` of its gradient by inputs and upstream gradient.

    Args:
        func, inputs: as for ``gradcheck``.
        grad_outputs: one upstream gradient per floating-point output, of its shape.  Default: random ones.
        eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes: as for ``gradcheck``.
        gen_non_contig_grad_outputs: let the random upstream gradients have non-contiguous memory.
        check_batched_grad, check_fwd_over_rev: must be False, as for ``gradcheck``.
        check_rev_over_rev: must be True.
        fast_mode, masked: as for ``gradcheck``.

    Returns:
        True if all second derivatives are right.

    Raises:
        GradcheckError, DTypeError, GraphError, NotImplementedError, ValueError: as ``gradcheck``.
    """
    _check_numbers("gradgradcheck", eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol)
    _refuse("gradgradcheck", check_batched_grad=check_batched_grad, check_fwd_over_rev=check_fwd_over_rev,
            check_rev_over_rev=not check_rev_over_rev, masked=masked)  # fmt: skip
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    upstream = _upstream(func, arguments, grad_outputs, gen_non_contig_grad_outputs)
    count = len(arguments)

    def first_gradient(*everything: Any) -> tuple[Tensor, ...]:
        given, received = everything[:count], everything[count:]
        outputs = _differentiable(func(*given))
        pairs = [(out, g) for out, g in zip(outputs, received) if out.requires_grad]
        wanted = [t for t in given if isinstance(t, Tensor) and t.requires_grad]
        if not pairs:
            return ()
        found = grad([p[0] for p in pairs], wanted, [p[1] for p in pairs], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    options = Options(
        "gradgradcheck",
        lambda i: f"inputs[{i}]" if i < count else f"grad_outputs[{i - count}]",
        eps,
        atol or 0.0,
        rtol or 0.0,
        nondet_tol,
        check_undefined_grad,
        fast_mode,
    )
    return _conclude(Check(first_gradient, (*arguments, *upstream), options).run(), raise_exception)


def _input_name(position: int) -> str:
    return f"inputs[{position}]"


def _differentiable(result: Any) -> list[Tensor]:
    results = tuple(result) if isinstance(result, tuple | list) else (result,)
    return [out for out in results if isinstance(out, Tensor) and out._array.dtype.kind == "f"]


def _upstream(func: Callable[..., Any], inputs: tuple[Any, ...], given: Any, strided: bool) -> list[Tensor]:
    """The upstream gradients, as leaves that require grad."""
    if given is not None:
        tensors = [given] if isinstance(given, Tensor) else [g for g in given if g is not None]
        return [g.detach().requires_grad_() for g in tensors]
    rng = np.random.default_rng(1)
    found = []
    for out in _differentiable(func(*inputs)):
        array = rng.standard_normal(out._array.shape)
        if strided and array.ndim:
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        found.append(wrap(array).requires_grad_())
    return found


def _check_numbers(name: str, eps: float | None, **tolerances: float | None) -> None:
    if eps is not None and not eps > 0:
        raise ValueError(f"{name}: eps must be positive, got {eps}")
    for option, value in tolerances.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name}: {option} must not be negative, got {value}")


def _refuse(name: str, **asked: Any) -> None:
    for option, value in asked.items():
        if value:
            meant = {"check_backward_ad": "False", "check_rev_over_rev": "False"}.get(option, repr(value))
            raise NotImplementedError(
                f"{name}: {option}={meant} is not supported: there is no forward mode, vmap or sparse tensor here"
            )


def _conclude(report: GradientReport, raise_exception: bool) -> bool:
    _warn(f"{report.name}: kinks at these very inputs, where no difference confirms a gradient", report.kinks)
    _warn(f"{report.name}: no derivative found (a jump, an infinite slope, the edge of a domain)", report.undefined)
    if not report.ok and raise_exception:
        raise GradcheckError(str(report))
    return report.ok


def _warn(message: str, places: Sequence[object]) -> None:
    """Warn the caller of the check, naming up to five places, if there are any."""
    if places:
        shown = [str(place) for place in places[:5]] + ([f"and {len(places) - 5} more"] if len(places) > 5 else [])
        warnings.warn(f"{message}:\n  " + "\n  ".join(shown), KinkWarning, stacklevel=4)
