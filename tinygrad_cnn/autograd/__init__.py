"""Automatic differentiation: Tensor, Op, the backward walk and the grad modes.  Knows no operation."""

from . import functional
from .checkpoint import checkpoint, checkpoint_sequential
from .dtype import dtype, get_default_dtype, set_default_dtype
from .engine import backward, grad
from .function import Function, FunctionCtx, once_differentiable
from .grad_mode import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from .gradcheck import GradcheckError, KinkWarning, gradcheck, gradgradcheck
from .op import Op, RemovableHandle
from .random import Generator, default_generator, manual_seed
from .tensor import Size, Tensor, wrap

__all__ = [
    "Function",
    "FunctionCtx",
    "Generator",
    "GradcheckError",
    "KinkWarning",
    "Op",
    "RemovableHandle",
    "Size",
    "Tensor",
    "backward",
    "checkpoint",
    "checkpoint_sequential",
    "default_generator",
    "detect_anomaly",
    "dtype",
    "enable_grad",
    "functional",
    "get_default_dtype",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "manual_seed",
    "no_grad",
    "once_differentiable",
    "set_default_dtype",
    "set_detect_anomaly",
    "set_grad_enabled",
    "wrap",
]
