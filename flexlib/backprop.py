"""Forward and backward passes of an `Autoencoder`, written out instead of recorded.

All weights are views of one flat tensor, and so are their gradients: an optimizer steps one tensor, and no step
allocates gradients.
"""

import torch

from flexlib.model import dropout_factors

_aten = torch.ops.aten
_SELU = 1.6732632423543772, 1.0507009873554805  # alpha and scale (Klambauer et al. 2017)

# The gradient of each activation: from that of its result, its argument and its result.
ACTIVATION_GRADIENTS = {
    "selu": lambda g, x, y: _aten.elu_backward.default(g, *_SELU, 1, False, x),
    "relu": lambda g, x, y: _aten.threshold_backward.default(g, x, 0),
    "relu6": lambda g, x, y: _aten.hardtanh_backward.default(g, x, 0, 6),
    "elu": lambda g, x, y: _aten.elu_backward.default(g, 1, 1, 1, False, x),
    "lrelu": lambda g, x, y: _aten.leaky_relu_backward.default(g, x, 0.01, False),
    "sigmoid": lambda g, x, y: _aten.sigmoid_backward.default(g, y),
    "tanh": lambda g, x, y: _aten.tanh_backward.default(g, y),
    "swish": lambda g, x, y: _aten.silu_backward.default(g, x),
    "gelu": lambda g, x, y: _aten.gelu_backward.default(g, x),
    "mish": lambda g, x, y: _aten.mish_backward.default(g, x),
    "softplus": lambda g, x, y: _aten.softplus_backward.default(g, x, 1, 20),
    "hardtanh": lambda g, x, y: _aten.hardtanh_backward.default(g, x, -1, 1),
}


class Backprop:
    """Passes over one network. parameters: all its weights and biases as one tensor, whose grad `backward` fills."""

    def __init__(self, network, generator):
        self.network, self.generator = network, generator
        self.gradient = ACTIVATION_GRADIENTS[network.config.activation]
        self.tied, self.drop = network.config.decoder_constraint, network.config.drop_probability
        own = list(network.parameters())
        self.parameters = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in own]), requires_grad=False)
        self.parameters.grad = torch.zeros_like(self.parameters)
        sizes, views = [p.numel() for p in own], {}
        parts = self.parameters.detach().split(sizes), self.parameters.grad.split(sizes)
        for p, data, gradient in zip(own, *parts, strict=True):
            p.data = data.view_as(p)
            views[p] = gradient.view_as(p)
        # Of each layer in the order of a pass: weights (inputs, outputs), bias, and the gradient of each
        self.layers = []
        for weights, biases, inwards in network.halves():
            for w, b in zip(weights, biases, strict=True):
                matrices = (w.data, views[w]) if inwards else (w.data.t(), views[w].t())
                self.layers.append((matrices[0], b.data, matrices[1], views[b]))
        self.bottleneck = len(network.config.hidden_layers) - 1

    def forward(self, inputs, entries=None):
        """The last hidden layer (B, h), and the trace that `backward` needs.

        inputs: (B, width), or the (k,) values at `entries` of a matrix that is 0 elsewhere.
        """
        trace = []
        for depth, (weight, bias, *_) in enumerate(self.layers[:-1]):
            sparse = depth == 0 and entries
            before = entries.times(inputs, weight).add_(bias) if sparse else torch.addmm(bias, inputs, weight)
            result, factors = self.network.activation(before), None
            trace.append((inputs, before, result))
            inputs = result
            if depth == self.bottleneck and self.drop:
                factors = dropout_factors(result, self.drop, self.generator)
                inputs = result * factors
                trace.append(factors)
        return inputs, trace

    def outputs(self, hidden, entries=None):
        """The output layer's result and its activation's argument: whole (B, width), or at `entries` alone (k,)."""
        weight, bias, *_ = self.layers[-1]
        before = (
            entries.sample(hidden, weight) + bias[entries.columns] if entries else torch.addmm(bias, hidden, weight)
        )
        return self.network.activate_output(before), before

    def backward(self, gradient, outputs, before, hidden, trace, entries=None):
        """Fill the gradients, from that of the outputs.

        gradient, outputs, before: (B, width), or (k,) at `entries` where the loss is confined to these.
        entries: those of the inputs, if these were given as entries.
        """
        if self.network.config.output_activation:
            gradient = self.gradient(gradient, before, outputs)
        weight, _, of_weight, of_bias = self.layers[-1]
        if gradient.ndim == 1:
            entries.add_transposed(of_weight.t().zero_(), gradient, hidden)
            of_bias.zero_().index_add_(0, entries.columns, gradient)
            gradient = entries.times(gradient, weight.t())
        else:
            of_weight.addmm_(hidden.t(), gradient, beta=0)
            torch.sum(gradient, 0, out=of_bias)
            gradient = torch.mm(gradient, weight.t())
        for depth in reversed(range(len(self.layers) - 1)):
            weight, _, of_weight, of_bias = self.layers[depth]
            if depth == self.bottleneck and self.drop:
                gradient = gradient * trace.pop()
            inputs, before, result = trace.pop()
            gradient = self.gradient(gradient, before, result)
            torch.sum(gradient, 0, out=of_bias)
            shared = self.tied and depth <= self.bottleneck  # the decoder has been here before
            if depth == 0 and entries:
                entries.add_transposed(of_weight if shared else of_weight.zero_(), inputs, gradient)
            else:
                of_weight.addmm_(inputs.t(), gradient, beta=1 if shared else 0)
            if depth:
                gradient = torch.mm(gradient, weight.t())
