"""Tools to test differentiable code, which this package's own tests use too.

``gradcheck`` and ``gradgradcheck`` need nothing else; ``check_op`` and the submodule ``strategies`` draw examples with
Hypothesis (``pip install 'tinygrad_cnn[test]'``).
"""

from ..autograd.gradcheck import GradcheckError, KinkWarning, gradcheck, gradgradcheck
from .cases import Case, OpSample, torch_function
from .check_op import check_op, check_property
from .compare import assert_close
from .snippet import snippet

__all__ = [
    "Case",
    "GradcheckError",
    "KinkWarning",
    "OpSample",
    "assert_close",
    "check_op",
    "check_property",
    "gradcheck",
    "gradgradcheck",
    "snippet",
    "torch_function",
]
