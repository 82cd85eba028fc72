"""The network: a mirrored autoencoder over the rows of a rating matrix.

f(x) = decode(encode(x)) (Equation 1). Each layer is c = activation(W x + b) (Equation 2); the decoder mirrors the
encoder.

References
----------
Tran et al. (2018), Section 3.2. Glorot and Bengio (2010) for the initial weights.
"""

import itertools
from typing import Protocol as Interface

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flexlib.activations import FUNCTIONS
from flexlib.config import FlexConfig
from flexlib.data import Ratings


class Rows(Interface):
    """Rows of a matrix, (B, n_columns): a tensor, or `flexlib.fast.entries.SparseRows`."""

    def __matmul__(self, weight: Tensor, /) -> Tensor: ...

    def sum(self, dim: int, /) -> Tensor:
        """Sum each row where `dim` is 1."""


class Autoencoder(nn.Module):
    """Maps rows of the rating matrix (B, n_columns) to their reconstruction (B, n_columns).

    Encoder weights are stored as (inputs, outputs) and decoder weights as (outputs, inputs): a layer and its mirror
    image have one shape, so tied weights (DeC) are one tensor without a copy. The decoder's weights are drawn even
    where they are tied, so that a seed gives the same encoder either way.

    Parameters
    ----------
    n_columns
        Width of the rating matrix.
    config
        Layers, activation and constraint.
    generator
        Draws the weights (Xavier uniform). Biases start at zero.
    """

    def __init__(self, n_columns: int, config: FlexConfig, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [n_columns, *config.hidden_layers]
        shapes = list(itertools.pairwise(sizes))
        encoder = [_xavier_uniform(shape, generator) for shape in shapes]
        decoder = [_xavier_uniform(shape, generator) for shape in reversed(shapes)]
        self.encoder_weights = nn.ParameterList(encoder)
        self.encoder_biases = nn.ParameterList([torch.zeros(size) for size in sizes[1:]])
        self.decoder_weights = nn.ParameterList([] if config.decoder_constraint else decoder)
        self.decoder_biases = nn.ParameterList([torch.zeros(size) for size in reversed(sizes[:-1])])
        rated = [_xavier_uniform(shapes[0], generator)] if config.implicit_input else []
        self.rated_weights = nn.ParameterList(rated)
        self.config = config
        self.activation = FUNCTIONS[config.activation].function
        self.reads_rated = config.implicit_input or config.input_normalization

    def forward(self, inputs: Rows, rated: Rows | None = None) -> Tensor:
        """Reconstruct rows (B, n_columns), without dropout; `flexlib.fast.backprop` has the passes of training."""
        return self.decode(self.encode(inputs, rated))

    def encode(self, inputs: Rows, rated: Rows | None = None) -> Tensor:
        """Map rows (B, n_columns) to the bottleneck (B, last hidden layer).

        Parameters
        ----------
        inputs
            Centred ratings, 0 elsewhere.
        rated
            (B, n_columns) 1 at the ratings, 0 elsewhere; needed where the network `reads_rated`.
        """
        first, *others = zip(self.encoder_weights, self.encoder_biases, strict=True)
        sums = inputs @ first[0]
        if rated is not None:
            for rated_weight in self.rated_weights:
                sums = sums + rated @ rated_weight
            sums = sums * input_scales(rated.sum(1)) if self.config.input_normalization else sums
        hidden = self.activation(sums + first[1])
        for weight, bias in others:
            hidden = self.activation(torch.addmm(bias, hidden, weight))
        return hidden

    def decode(self, hidden: Tensor) -> Tensor:
        """Map the bottleneck (B, last hidden layer) to rows (B, n_columns)."""
        weight, bias = self.outward_weights()[-1], self.decoder_biases[-1]
        return self.activate_output(F.linear(self.decode_inner(hidden), weight, bias))

    def decode_inner(self, hidden: Tensor) -> Tensor:
        """Map the bottleneck (B, last hidden layer) to what the output layer is given (B, first hidden layer)."""
        *inner, _ = zip(self.outward_weights(), self.decoder_biases, strict=True)
        for weight, bias in inner:
            hidden = self.activation(F.linear(hidden, weight, bias))
        return hidden

    def outward_weights(self) -> list[Tensor]:
        """Give the decoder's weights, each (outputs, inputs): its own, or the encoder's reversed where tied (DeC)."""
        return list(self.decoder_weights) or list(reversed(list(self.encoder_weights)))

    def activate_output(self, sums: Tensor) -> Tensor:
        """Apply the activation to sums of the output layer, unless `output_activation` is off."""
        return self.activation(sums) if self.config.output_activation else sums


def input_scales(counts: Tensor) -> Tensor:
    """Give what the first layer's sums are multiplied by (InN): (B, 1), from (B,) ratings in each row."""
    return counts.clamp(min=1).rsqrt().unsqueeze(1)


def _xavier_uniform(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    bound = (6 / sum(shape)) ** 0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def matrix_shape(ratings: Ratings, config: FlexConfig) -> tuple[int, int]:
    """Give the rows and columns of the rating matrix: (users, items), or (items, users) where item-based (PI)."""
    return (ratings.n_items, ratings.n_users) if config.item_based else (ratings.n_users, ratings.n_items)
