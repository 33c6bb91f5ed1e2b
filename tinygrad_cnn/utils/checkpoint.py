"""``torch.utils.checkpoint``: see ``tinygrad_cnn.autograd.checkpoint``."""

from ..autograd.checkpoint import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
