"""RMSprop with momentum, piece by piece: the arithmetic of `torch.optim.RMSprop`, which has no fused form.

PyTorch's version passes through main memory eight times a step; here a piece of the weights stays in the cache.
"""

import torch
from torch import Tensor


class ChunkedRMSprop:
    """RMSprop with momentum over one tensor that has a gradient.

    Parameters
    ----------
    parameters
        (n,) weights; `parameters.grad` must be set, and stay the same tensor.
    lr, weight_decay, momentum
        As in PyTorch.

    Attributes
    ----------
    state
        The mean squares and the velocities of `parameters`, by PyTorch's names.

    References
    ----------
    Tieleman and Hinton (2012).
    """

    PIECE = 32_768  # weights
    SMOOTHING, EPSILON = 0.99, 1e-8

    def __init__(self, parameters: Tensor, lr: float, weight_decay: float, momentum: float) -> None:
        assert parameters.grad is not None
        self.lr, self.weight_decay, self.momentum = lr, weight_decay, momentum
        squares, velocities = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.state = {parameters: {"square_avg": squares, "momentum_buffer": velocities}}
        size = self.PIECE if parameters.device.type == "cpu" else parameters.numel()
        state = parameters.detach(), parameters.grad, squares, velocities
        self.pieces = list(zip(*(torch.split(tensor, size) for tensor in state), strict=True))

    def step(self) -> None:
        """Update every weight once."""
        for weight, gradient, square, velocity in self.pieces:
            if self.weight_decay:
                gradient = gradient.add(weight, alpha=self.weight_decay)
            square.mul_(self.SMOOTHING).addcmul_(gradient, gradient, value=1 - self.SMOOTHING)
            velocity.mul_(self.momentum).addcdiv_(gradient, square.sqrt().add_(self.EPSILON))
            weight.add_(velocity, alpha=-self.lr)
