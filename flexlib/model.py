"""The network (paper, Section 3.2): a mirrored, fully connected autoencoder over the rows of a rating matrix.

encode: c = f(W x + b) for each layer (Equation 2), then dropout on the bottleneck
decode: the same layers mirrored, f on the output layer too unless `output_activation` is off
f(x) = decode(encode(x)) (Equation 1)
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATION_FUNCTIONS = {
    "selu": F.selu,
    "relu": F.relu,
    "relu6": F.relu6,
    "elu": F.elu,
    "lrelu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "swish": F.silu,
    "gelu": F.gelu,
    "mish": F.mish,
    "softplus": F.softplus,
    "hardtanh": F.hardtanh,
}


class Autoencoder(nn.Module):
    """Maps a batch of rows (B, n_columns) to their reconstruction (B, n_columns).

    Weights are Xavier-uniform (Glorot and Bengio 2010) from `generator`, biases zero. Encoder weights are
    stored as (inputs, outputs) and decoder weights as (outputs, inputs), so that a layer and its mirror
    image have one shape, and tied weights (DeC) are one tensor without a copy. The decoder's weights are
    drawn even where they are tied, so that a seed gives the same encoder either way.
    """

    def __init__(self, n_columns, config, generator):
        super().__init__()
        sizes = [n_columns, *config.hidden_layers]
        shapes = list(itertools.pairwise(sizes))
        encoder = [_xavier(shape, generator) for shape in shapes]
        decoder = [_xavier(shape, generator) for shape in reversed(shapes)]
        self.encoder_weights = nn.ParameterList(encoder)
        self.encoder_biases = nn.ParameterList([torch.zeros(size) for size in sizes[1:]])
        self.decoder_weights = nn.ParameterList([] if config.decoder_constraint else decoder)
        self.decoder_biases = nn.ParameterList([torch.zeros(size) for size in reversed(sizes[:-1])])
        self.config = config
        self.activation = ACTIVATION_FUNCTIONS[config.activation]

    def halves(self):
        """Encoder and decoder, each as its weights, its biases and whether the weights are (inputs, outputs)."""
        outwards = list(self.decoder_weights) or list(reversed(self.encoder_weights))
        return (self.encoder_weights, self.encoder_biases, True), (outwards, self.decoder_biases, False)

    def activate_output(self, values):
        """What the output layer does to its sums (B, n_columns), or to any of them."""
        return self.activation(values) if self.config.output_activation else values

    def forward(self, inputs):
        """Reconstruct `inputs` (B, n_columns), without dropout. `flexlib.backprop` has the passes of training."""
        hidden = inputs
        for weight, bias in zip(self.encoder_weights, self.encoder_biases, strict=True):
            hidden = self.activation(torch.addmm(bias, hidden, weight))
        *inner, last = zip(*self.halves()[1][:2], strict=True)
        for weight, bias in inner:
            hidden = self.activation(F.linear(hidden, weight, bias))
        return self.activate_output(F.linear(hidden, *last))


def _xavier(shape, generator):
    bound = (6 / sum(shape)) ** 0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def dropout_factors(values, probability, generator):
    """As `values`, with 0 at a share of `probability` and 1 / (1 - probability) elsewhere (Srivastava et al. 2014)."""
    kept = torch.rand(values.shape, generator=generator, device=values.device) >= probability
    return kept / (1 - probability)


def dropout(values, probability, generator):
    """Zero each value with `probability`, and scale the rest by 1 / (1 - probability)."""
    return values * dropout_factors(values, probability, generator) if probability else values
