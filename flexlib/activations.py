"""Activations (Act): what each layer does to its sums, and the gradient of that."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_aten = torch.ops.aten
_SELU = 1.6732632423543772, 1.0507009873554805  # alpha and scale (Klambauer et al. 2017)


class Activation(NamedTuple):
    """An activation y = function(x).

    gradient: that of the loss by x, from that by y, called g, and from x and y; all of one shape.
    """

    function: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor, Tensor], Tensor]


# By the names that `flexlib.config` knows.
FUNCTIONS: dict[str, Activation] = {
    "selu": Activation(F.selu, lambda g, x, y: _aten.elu_backward.default(g, *_SELU, 1, False, x)),
    "relu": Activation(F.relu, lambda g, x, y: _aten.threshold_backward.default(g, x, 0)),
    "relu6": Activation(F.relu6, lambda g, x, y: _aten.hardtanh_backward.default(g, x, 0, 6)),
    "elu": Activation(F.elu, lambda g, x, y: _aten.elu_backward.default(g, 1, 1, 1, False, x)),
    "lrelu": Activation(F.leaky_relu, lambda g, x, y: _aten.leaky_relu_backward.default(g, x, 0.01, False)),
    "sigmoid": Activation(torch.sigmoid, lambda g, x, y: _aten.sigmoid_backward.default(g, y)),
    "tanh": Activation(torch.tanh, lambda g, x, y: _aten.tanh_backward.default(g, y)),
    "swish": Activation(F.silu, lambda g, x, y: _aten.silu_backward.default(g, x)),
    "gelu": Activation(F.gelu, lambda g, x, y: _aten.gelu_backward.default(g, x)),
    "mish": Activation(F.mish, lambda g, x, y: _aten.mish_backward.default(g, x)),
    "softplus": Activation(F.softplus, lambda g, x, y: _aten.softplus_backward.default(g, x, 1, 20)),
    "hardtanh": Activation(F.hardtanh, lambda g, x, y: _aten.hardtanh_backward.default(g, x, -1, 1)),
}
