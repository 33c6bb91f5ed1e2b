"""An operation of your own: written, checked, broken on purpose, and trained with.

Run it with ``python examples/custom_op.py``; docs/custom-ops.md explains every line.
"""

import numpy as np

import tinygrad_cnn as tg
from tinygrad_cnn import nn, optim
from tinygrad_cnn.autograd import GradcheckError, Op, gradcheck, gradgradcheck
from tinygrad_cnn.data import DataLoader
from tinygrad_cnn.testing import check_op
from tinygrad_cnn.testing.strategies import tensors
from tinygrad_cnn.vision.datasets import Digits
from tinygrad_cnn.vision.transforms import ToTensor


class Swish(Op):
    """x · sigmoid(beta · x), elementwise (P. Ramachandran et al., arXiv:1710.05941)."""

    saves_inputs = (0,)  # backward reads x
    beta: float  # static: given to apply by keyword

    def forward(self, x):  # NumPy arrays in and out
        return (x * (0.5 + 0.5 * np.tanh(self.beta / 2 * x))).astype(x.dtype)

    def backward(self, grad, x):  # Tensors in and out, so that it can be differentiated again
        gate = tg.sigmoid(self.beta * x)
        return (grad * gate * (1 + self.beta * x * (1 - gate)),)


class WrongSwish(Swish):
    def backward(self, grad, x):  # the last factor is forgotten
        gate = tg.sigmoid(self.beta * x)
        return (grad * gate,)


def swish(x):
    return Swish.apply(x, beta=1.5)


tg.manual_seed(0)
x = tg.randn(4, 3, dtype=tg.float64, requires_grad=True)
print("gradcheck:     ", gradcheck(swish, (x,)))
print("gradgradcheck: ", gradgradcheck(swish, (x,)))
check_op(swish, tensors(), reference=lambda x: x / (1 + np.exp(-1.5 * x)), max_examples=20)
print("check_op:       value, gradients, memory and graph are right on 20 drawn inputs")
try:
    gradcheck(lambda x: WrongSwish.apply(x, beta=1.5), (x,))
except GradcheckError as error:
    print("WrongSwish:    ", error)

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 10))
optimizer = optim.SGD(model.parameters(), lr=2.0)
images, labels = next(iter(DataLoader(Digits(transform=ToTensor(Digits.max_value)), batch_size=256)))
for step in range(5):
    loss = nn.functional.cross_entropy(model[2](swish(model[1](model[0](images)))), labels)
    optimizer.minimize(loss)
    print(f"step {step}: loss {loss.item():.4f}")
