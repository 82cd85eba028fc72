"""The update rules, over all weights of a network as one tensor."""

import torch

MOMENTUM = 0.9  # of SGD and RMSprop, as in the released code


def make_optimizer(parameters, config):
    """The configuration's optimizer of one tensor with a gradient; its `step` updates it."""
    common = dict(lr=config.learning_rate, weight_decay=config.weight_decay)
    on_cpu = parameters.device.type == "cpu"
    return {
        "adam": lambda: torch.optim.Adam([parameters], fused=True, **common),
        "adamw": lambda: torch.optim.AdamW([parameters], fused=True, **common),
        "adagrad": lambda: torch.optim.Adagrad([parameters], fused=on_cpu or None, **common),
        "adadelta": lambda: torch.optim.Adadelta([parameters], **common),
        "rmsprop": lambda: ChunkedRMSprop(parameters, momentum=MOMENTUM, **common),
        "sgd": lambda: torch.optim.SGD([parameters], momentum=MOMENTUM, fused=True, **common),
    }[config.optimizer]()


class ChunkedRMSprop:
    """RMSprop with momentum (Tieleman and Hinton 2012), the arithmetic of `torch.optim.RMSprop`, piece by piece.

    PyTorch's passes through main memory eight times a step, having no fused one; here a piece stays in the cache.
    """

    PIECE = 32_768
    SMOOTHING, EPSILON = 0.99, 1e-8

    def __init__(self, parameters, lr, weight_decay, momentum):
        self.lr, self.weight_decay, self.momentum = lr, weight_decay, momentum
        state = parameters.detach(), parameters.grad, torch.zeros_like(parameters), torch.zeros_like(parameters)
        piece = self.PIECE if parameters.device.type == "cpu" else parameters.numel()
        self.pieces = list(zip(*(tensor.split(piece) for tensor in state), strict=True))

    def step(self):
        """Update every parameter once."""
        for weight, gradient, square, velocity in self.pieces:
            if self.weight_decay:
                gradient = gradient.add(weight, alpha=self.weight_decay)
            square.mul_(self.SMOOTHING).addcmul_(gradient, gradient, value=1 - self.SMOOTHING)
            velocity.mul_(self.momentum).addcdiv_(gradient, square.sqrt().add_(self.EPSILON))
            weight.add_(velocity, alpha=-self.lr)
