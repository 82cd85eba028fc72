"""Forward and backward passes of an `Autoencoder` in training, written out instead of recorded by autograd.

All weights are views of one flat tensor, and so are their gradients: an optimizer steps one tensor, and no step
allocates gradients. The tests hold every pass to plain loops (`tests/reference.py`) and to autograd.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from flexlib.activations import FUNCTIONS
from flexlib.fast.entries import Entries
from flexlib.model import Autoencoder, input_scales


def dropout(values: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zero each value with a probability, and scale the others by 1 / (1 - probability) (Srivastava et al. 2014)."""
    return values * dropout_factors(values, probability, generator) if probability else values


def dropout_factors(values: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Draw what `dropout` multiplies each value by: 0, or 1 / (1 - probability)."""
    kept = torch.rand(values.shape, generator=generator, device=values.device) >= probability
    return kept / (1 - probability)


class Layer(NamedTuple):
    """One layer: weights (inputs, outputs) and bias (outputs,), and the gradient of each."""

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor


class Visit(NamedTuple):
    """What a forward pass leaves for the backward one at a hidden layer.

    inputs: what the layer was given. sums: W x + b. result: the activation of these. dropout_factors: None where the
    layer has no dropout. Of the first layer alone: entries, places of the inputs; rated, the implicit input (ImI);
    scales, what its sums were multiplied by before the bias was added (InN).
    """

    inputs: Tensor
    sums: Tensor
    result: Tensor
    dropout_factors: Tensor | None
    entries: Entries | None = None
    rated: Tensor | None = None
    scales: Tensor | None = None


class Backprop:
    """Passes over one network.

    Parameters
    ----------
    network
        Its weights become views of `parameters`.
    generator
        Draws dropout.

    Attributes
    ----------
    parameters
        All weights and biases as one flat tensor; `backward` fills its gradient.
    """

    def __init__(self, network: Autoencoder, generator: torch.Generator) -> None:
        self.network, self.generator = network, generator
        self.gradient = FUNCTIONS[network.config.activation].gradient
        self.tied, self.drop = network.config.decoder_constraint, network.config.drop_probability
        own = list(network.parameters())
        self.parameters = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in own]), requires_grad=False)
        self.parameters.grad = torch.zeros_like(self.parameters)
        sizes = [p.numel() for p in own]
        gradients: dict[Tensor, Tensor] = {}
        parts = torch.split(self.parameters.detach(), sizes), torch.split(self.parameters.grad, sizes)
        for p, data, gradient in zip(own, *parts, strict=True):
            p.data = data.view_as(p)
            gradients[p] = gradient.view_as(p)
        encoder = zip(network.encoder_weights, network.encoder_biases, strict=True)
        self.layers = [Layer(w.data, b.data, gradients[w], gradients[b]) for w, b in encoder]
        decoder = zip(network.outward_weights(), network.decoder_biases, strict=True)
        self.layers += [Layer(w.data.t(), b.data, gradients[w].t(), gradients[b]) for w, b in decoder]
        self.bottleneck = len(network.config.hidden_layers) - 1
        self.rated = [(w.data, gradients[w]) for w in network.rated_weights]
        self.weights = [(p.data, gradients[p]) for p in own if p.ndim == 2]

    def forward(
        self, inputs: Tensor, entries: Entries | None = None, rated: Tensor | None = None
    ) -> tuple[Tensor, list[Visit]]:
        """Run all layers but the output layer, with dropout on the bottleneck (DrP).

        Parameters
        ----------
        inputs
            (B, width) rows, or the (k,) values at `entries` of rows that are 0 elsewhere.
        entries
            Places of these values.
        rated
            What stands for "rated" at each value, in the shape of `inputs`: 1, or `dropout_factors`. By default 1
            wherever the input is not 0.

        Returns
        -------
        hidden, trace
            (B, h) last hidden layer, and a `Visit` of each layer.
        """
        trace = []
        for depth, layer in enumerate(self.layers[:-1]):
            scales = None
            if depth == 0:
                sums, rated, scales = self._first_sums(inputs, entries, rated)
            else:
                sums, rated = torch.addmm(layer.bias, inputs, layer.weight), None
            result, factors = self.network.activation(sums), None
            outputs = result
            if depth == self.bottleneck and self.drop:
                factors = dropout_factors(result, self.drop, self.generator)
                outputs = result * factors
            trace.append(Visit(inputs, sums, result, factors, None if depth else entries, rated, scales))
            inputs = outputs
        return inputs, trace

    def _first_sums(
        self, inputs: Tensor, entries: Entries | None, rated: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Give the sums of the first layer, its implicit input where it has one, and its scales where it has them."""
        layer, scales = self.layers[0], None
        if not self.network.reads_rated:
            if entries:
                return entries.times(inputs, layer.weight).add_(layer.bias), None, None
            return torch.addmm(layer.bias, inputs, layer.weight), None, None
        if rated is None:
            rated = (inputs != 0).to(inputs.dtype)
        sums = entries.times(inputs, layer.weight) if entries else torch.mm(inputs, layer.weight)
        for weight, _ in self.rated:
            sums += entries.times(rated, weight) if entries else torch.mm(rated, weight)
        if self.network.config.input_normalization:
            scales = input_scales(entries.row_sums(rated) if entries else rated.sum(1))
            sums *= scales
        return sums.add_(layer.bias), rated, scales

    def outputs(self, hidden: Tensor, entries: Entries | None = None) -> tuple[Tensor, Tensor]:
        """Run the output layer.

        Parameters
        ----------
        hidden
            (B, h), of `forward`.
        entries
            The cells that are needed; all where None.

        Returns
        -------
        outputs, sums
            The layer's result and what its activation was given: (B, width), or (k,) at `entries`.
        """
        layer = self.layers[-1]
        if entries:
            sums = entries.sample(hidden, layer.weight) + layer.bias[entries.columns]
        else:
            sums = torch.addmm(layer.bias, hidden, layer.weight)
        return self.network.activate_output(sums), sums

    def backward(
        self,
        gradient: Tensor,
        outputs: Tensor,
        sums: Tensor,
        hidden: Tensor,
        trace: list[Visit],
        entries: Entries | None = None,
    ) -> None:
        """Fill the gradients of all weights and biases.

        Parameters
        ----------
        gradient
            Of the loss by the outputs: (B, width), or (k,) at `entries`.
        outputs, sums
            Of `outputs`, in the shape of `gradient`.
        hidden, trace
            Of `forward`.
        entries
            Places of the gradient, where the loss is confined to some.
        """
        if self.network.config.output_activation:
            gradient = self.gradient(gradient, sums, outputs)
        output = self.layers[-1]
        if entries:
            entries.times_transposed(gradient, hidden, output.weight_gradient.t())
            output.bias_gradient.zero_().index_add_(0, entries.columns, gradient)
            gradient = entries.times(gradient, output.weight.t())
        else:
            output.weight_gradient.addmm_(hidden.t(), gradient, beta=0)
            torch.sum(gradient, 0, out=output.bias_gradient)
            gradient = torch.mm(gradient, output.weight.t())
        for depth in reversed(range(len(self.layers) - 1)):
            layer, visit = self.layers[depth], trace[depth]
            if visit.dropout_factors is not None:
                gradient = gradient * visit.dropout_factors
            gradient = self.gradient(gradient, visit.sums, visit.result)
            torch.sum(gradient, 0, out=layer.bias_gradient)
            if visit.scales is not None:
                gradient = gradient * visit.scales
            if depth == 0 and visit.rated is not None:
                for _, total in self.rated:
                    if visit.entries:
                        visit.entries.times_transposed(visit.rated, gradient, total)
                    else:
                        torch.mm(visit.rated.t(), gradient, out=total)
            shared = self.tied and depth <= self.bottleneck  # the decoder has added its part already
            if visit.entries:
                visit.entries.times_transposed(visit.inputs, gradient, layer.weight_gradient, add=shared)
            else:
                layer.weight_gradient.addmm_(visit.inputs.t(), gradient, beta=1 if shared else 0)
            if depth:
                gradient = torch.mm(gradient, layer.weight.t())

    def add_decay(self, factor: float | Tensor) -> None:
        """Add the weights (not the biases), times `factor`, to their gradients."""
        times = torch.as_tensor(factor, dtype=self.parameters.dtype, device=self.parameters.device)
        for weight, gradient in self.weights:
            gradient.addcmul_(weight, times)
