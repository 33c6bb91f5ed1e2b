"""tinygrad_cnn: automatic differentiation for convolutional networks, small enough to read, fast on a CPU.

The flat namespace of PyTorch's: every name here is defined and documented in the module it is imported from.
"""

# ruff: noqa: F401, I001  (sections by family; this file does nothing but re-export)

from . import ops  # importing it gives Tensor its methods
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
    is_grad_enabled,
    is_inference_mode_enabled,
    manual_seed,
    no_grad,
    set_default_dtype,
    set_grad_enabled,
)
from .autograd.dtype import bool_ as bool
from .autograd.dtype import float32, float64, int32, int64, uint8
from .autograd.random import get_rng_state, initial_seed, seed, set_rng_state

# ---- arithmetic
from .ops.arithmetic import add, mul

# ---- elementwise functions and comparisons

# ---- reductions

# ---- matrix products

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
from .ops.formatting import set_printoptions
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

double = float64
float = float32
int = int32
long = int64
