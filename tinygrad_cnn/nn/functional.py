"""The operations that layers are made of, by PyTorch's names: ``import tinygrad_cnn.nn.functional as F``."""

# ruff: noqa: F401  (this file does nothing but re-export)

from ..ops.activation import leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus
from ..ops.conv import conv2d
from ..ops.dropout import dropout
from ..ops.elementwise import tanh
from ..ops.linear import linear
from ..ops.loss import cross_entropy, l1_loss, mse_loss, nll_loss
from ..ops.norm import batch_norm
from ..ops.padding import pad
from ..ops.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
