"""tinygrad_cnn: automatic differentiation for convolutional networks, small enough to read, fast on a CPU.

The flat namespace of PyTorch's: every name here is defined and documented in the module it is imported from.
"""

# ruff: noqa: F401, I001, E402  (sections by family; but for one filter, this file does nothing but re-export)

import warnings as _warnings

# inf - inf is NaN, and exp(1000) is inf: in PyTorch silently, in NumPy with a RuntimeWarning.  What our own modules
# compute is silent too, while the user's own NumPy code goes on warning.  A filter looks at the module that called the
# ufunc, so operations call ufuncs (np.add.reduce, not x.sum(), which is a Python function in NumPy's own module).
# np.errstate would do it too, but costs 0.5 µs per operation, a quarter of what recording one costs.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tinygrad_cnn\.")

from . import ops  # importing it gives Tensor its methods
from . import autograd, nn, optim, utils
from ._version import __version__
from .autograd import (
    Generator,
    Size,
    Tensor,
    default_generator,
    dtype,
    enable_grad,
    get_default_dtype,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    manual_seed,
    no_grad,
    set_default_dtype,
    set_grad_enabled,
)
from .autograd.dtype import bool_ as bool
from .autograd.dtype import float32, float64, int32, int64, uint8
from .autograd.formatting import set_printoptions
from .autograd.random import get_rng_state, initial_seed, seed, set_rng_state

from .captured import capture
from .serialization import load, save
from .threads import get_num_threads, set_num_threads

# ---- arithmetic
from .ops.arithmetic import add, div, floor_divide, fmod, mul, neg, remainder, rsub, sub
from .ops.arithmetic import div as divide
from .ops.arithmetic import div as true_divide
from .ops.arithmetic import mul as multiply
from .ops.arithmetic import neg as negative
from .ops.arithmetic import sub as subtract
from .ops.power import pow
from .ops.selection import clamp, maximum, minimum, where
from .ops.selection import clamp as clip

# ---- elementwise functions and comparisons
from .ops.activation import log_softmax, relu, sigmoid, softmax
from .ops.comparison import (
    all,
    allclose,
    any,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    nonzero,
)
from .ops.elementwise import (
    abs,
    ceil,
    cos,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)

# ---- reductions
from .ops.ordering import argmax, argmin, argsort, max, median, min, sort, topk
from .ops.reduction import (
    amax,
    amin,
    count_nonzero,
    cumprod,
    cumsum,
    logsumexp,
    mean,
    norm,
    prod,
    std,
    sum,
    var,
    var_mean,
)

# ---- matrix products
from .ops.linalg import addmm, addmv, baddbmm, bmm, dot, einsum, matmul, mm, mv, outer

# ---- creation and random numbers
from .ops.copies import channels_last, clone, contiguous_format, memory_format, preserve_format
from .ops.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .ops.random import (
    bernoulli,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)

# ---- shape
from .ops.shape import (
    broadcast_to,
    flatten,
    moveaxis,
    movedim,
    permute,
    ravel,
    reshape,
    squeeze,
    swapaxes,
    swapdims,
    t,
    transpose,
    unflatten,
    unsqueeze,
)
from .ops.joining import (
    cat,
    chunk,
    concat,
    concatenate,
    hstack,
    narrow,
    select,
    split,
    stack,
    unbind,
    vstack,
)
from .ops.rearrange import (
    broadcast_tensors,
    diagonal,
    flip,
    fliplr,
    flipud,
    meshgrid,
    repeat_interleave,
    roll,
    tile,
    tril,
    triu,
)

# ---- indexing
from .ops.gathering import (
    gather,
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_select,
    masked_fill,
    masked_select,
    scatter,
    scatter_add,
    take,
    take_along_dim,
)
from .ops.interop import can_cast, from_dlpack, is_floating_point, is_tensor, numel, promote_types, result_type

# ---- networks
from .ops.conv import conv2d, get_float32_matmul_precision, set_float32_matmul_precision
from .ops.dropout import dropout
from .ops.norm import batch_norm
from .ops.pooling import max_pool2d

# ---- constants and second names
from math import e, inf, nan, pi

newaxis = None
double = float64
float = float32
int = int32
long = int64
