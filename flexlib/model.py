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
        self.activation = ACTIVATION_FUNCTIONS[config.activation]
        self.drop_probability = config.drop_probability
        self.output_activation = config.output_activation

    def forward(self, inputs, generator=None):
        """Reconstruct `inputs` (B, n_columns). With a generator (of the inputs' device) the bottleneck is
        dropped out, as in training; without one nothing is random."""
        hidden = inputs
        for weight, bias in zip(self.encoder_weights, self.encoder_biases, strict=True):
            hidden = self.activation(torch.addmm(bias, hidden, weight))
        if generator is not None:
            hidden = dropout(hidden, self.drop_probability, generator)
        weights = list(self.decoder_weights) or list(reversed(self.encoder_weights))
        for depth, (weight, bias) in enumerate(zip(weights, self.decoder_biases, strict=True), 1):
            hidden = F.linear(hidden, weight, bias)
            if depth < len(weights) or self.output_activation:
                hidden = self.activation(hidden)
        return hidden


def _xavier(shape, generator):
    bound = (6 / sum(shape)) ** 0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def dropout(values, probability, generator):
    """Zero each value with `probability`, and scale the rest by 1 / (1 - probability) (Srivastava et al. 2014)."""
    if probability == 0:
        return values
    kept = torch.rand(values.shape, generator=generator, device=values.device) >= probability
    return values * kept / (1 - probability)
