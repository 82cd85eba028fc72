"""A second FlexEncoder to test the first against: dense matrices, plain loops over ratings, plain optimizers.

It shares with flexlib the initial weights, the order of the rows and the layout of the random numbers, all of
which it is given, and nothing else. Follow the paper's Sections 3.2 to 3.4 and the protocol's fields while reading it.
"""

import math

import numpy as np
import torch

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def activate(x, kind):
    negative = torch.exp(torch.where(x > 0, 0.0, x)) - 1
    return {
        "selu": lambda: SELU_SCALE * torch.where(x > 0, x, SELU_ALPHA * negative),
        "relu": lambda: torch.where(x > 0, x, 0.0),
        "relu6": lambda: torch.where(x > 0, torch.where(x < 6, x, 6.0), 0.0),
        "elu": lambda: torch.where(x > 0, x, negative),
        "lrelu": lambda: torch.where(x > 0, x, 0.01 * x),
        "sigmoid": lambda: (1 + torch.tanh(x / 2)) / 2,
        "tanh": lambda: torch.tanh(x),
        "swish": lambda: x * (1 + torch.tanh(x / 2)) / 2,
        "gelu": lambda: x * (1 + torch.erf(x / 2**0.5)) / 2,
        "mish": lambda: x * torch.tanh(torch.logaddexp(x, torch.zeros_like(x))),
        "softplus": lambda: torch.logaddexp(x, torch.zeros_like(x)),
        "hardtanh": lambda: torch.where(x > 1, 1.0, torch.where(x < -1, -1.0, x)),
    }[kind]()


def drop(x, probability, generator):
    if probability == 0:
        return x
    return torch.where(torch.rand(x.shape, generator=generator) >= probability, x / (1 - probability), 0.0)


class Reference:
    """weights: flexlib's initial state dict. Rows are users or items as the configuration says."""

    def __init__(self, ratings, config, protocol, split, weights):
        self.config, self.protocol, self.scale = config, protocol, ratings.scale
        pair = (ratings.items, ratings.users) if config.item_based else (ratings.users, ratings.items)
        self.rows, self.columns = (ids.tolist() for ids in pair)
        self.values = ratings.values.tolist()
        sizes = (ratings.n_items, ratings.n_users) if config.item_based else (ratings.n_users, ratings.n_items)
        self.n_rows, self.n_columns = sizes
        self.train, self.test = split.train.tolist(), split.test.tolist()
        used = range(len(self.values)) if protocol.means == "all" else self.train
        self.means = self.row_means(used)
        self.offsets = [0.0] * self.n_columns
        depth = len(config.hidden_layers)
        copy = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
        if config.mean_normalization and config.centring == "biases":
            self.fit_biases(used)
        if config.mean_normalization and config.centring == "output-bias":
            self.means = [0.0] * self.n_rows
            copy[f"decoder_biases.{depth - 1}"].data += sum(self.values[k] for k in used) / len(used)
        self.encoder = [(copy[f"encoder_weights.{k}"], copy[f"encoder_biases.{k}"]) for k in range(depth)]
        if config.decoder_constraint:
            matrices = [self.encoder[depth - 1 - k][0] for k in range(depth)]
        else:
            matrices = [copy[f"decoder_weights.{k}"] for k in range(depth)]
        self.decoder = [(matrix, copy[f"decoder_biases.{k}"]) for k, matrix in enumerate(matrices)]
        self.rated_weights = copy.get("rated_weights.0")
        self.parameters = list(copy.values())
        decay = 0 if config.loss_decay else config.weight_decay
        self.optimizer = {
            "adam": lambda p, **k: torch.optim.Adam(p, foreach=False, **k),
            "adagrad": lambda p, **k: torch.optim.Adagrad(p, foreach=False, **k),
            "rmsprop": lambda p, **k: torch.optim.RMSprop(p, momentum=0.9, foreach=False, **k),
            "adadelta": lambda p, **k: torch.optim.Adadelta(p, foreach=False, **k),
            "adamw": lambda p, **k: torch.optim.AdamW(p, foreach=False, **k),
            "sgd": lambda p, **k: torch.optim.SGD(p, momentum=0.9, foreach=False, **k),
        }[config.optimizer](self.parameters, lr=config.learning_rate, weight_decay=decay)

    def fit_biases(self, used):
        """Ten rounds: each column's bias from what rows leave, then each row's; 5 ratings of 0 behind each."""
        overall = sum(self.values[k] for k in used) / len(used)
        of_row, of_column = [0.0] * self.n_rows, [0.0] * self.n_columns
        for _ in range(10):
            for column in range(self.n_columns):
                left = [self.values[k] - overall - of_row[self.rows[k]] for k in used if self.columns[k] == column]
                of_column[column] = sum(left) / (len(left) + 5)
            for row in range(self.n_rows):
                left = [self.values[k] - overall - of_column[self.columns[k]] for k in used if self.rows[k] == row]
                of_row[row] = sum(left) / (len(left) + 5)
        self.means = [float(np.float32(overall + bias)) for bias in of_row]
        self.offsets = [float(np.float32(bias)) for bias in of_column]

    def row_means(self, index):
        if not self.config.mean_normalization:
            return [0.0] * self.n_rows
        overall = sum(self.values[k] for k in index) / len(index)
        means = []
        for row in range(self.n_rows):
            own = [self.values[k] for k in index if self.rows[k] == row]
            means.append(float(np.float32(sum(own) / len(own) if own else overall)))
        return means

    def centred(self, k):
        centre = np.float32(self.means[self.rows[k]]) + np.float32(self.offsets[self.columns[k]])
        return float(np.float32(self.values[k]) - centre)

    def forward(self, x, generator=None, rated=None):
        """rated: what stands for "rated" at each cell; 1 where x is not 0 if not given."""
        if rated is None:
            rated = torch.where(x != 0, 1.0, 0.0)
        for depth, (matrix, bias) in enumerate(self.encoder):
            sums = x @ matrix
            if depth == 0 and self.config.implicit_input:
                sums = sums + rated @ self.rated_weights
            if depth == 0 and self.config.input_normalization:
                sums = torch.stack([row / math.sqrt(max(1, n)) for row, n in zip(sums, rated.sum(1), strict=True)])
            x = activate(sums + bias, self.config.activation)
        if generator is not None:
            x = drop(x, self.config.drop_probability, generator)
        for depth, (matrix, bias) in enumerate(self.decoder):
            x = x @ matrix.T + bias
            if depth < len(self.decoder) - 1 or self.config.output_activation:
                x = activate(x, self.config.activation)
        return x

    def loss(self, outputs, targets, covered, matrix_rows, share, skipped=()):
        """Sum of squares over covered entries, by their number or (LSA) by the size of the batch matrix.

        share: of the training ratings, how many the batch has. skipped: covered entries that the noise has not hidden.
        """
        total = 0 * outputs.sum()  # a gradient of zeros where nothing is covered
        for i, j in torch.nonzero(covered).tolist():
            if (i, j) not in skipped:
                total = total + (outputs[i, j] - targets[i, j]) ** 2
        if self.config.loss_decay:
            for weights in self.parameters:
                if weights.ndim == 2:  # biases are not decayed
                    total = total + share * self.config.weight_decay * (weights**2).sum()
        return total / (matrix_rows * self.n_columns if self.config.loss_size_average else int(covered.sum()))

    def step(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def fit(self, order_generator, generator):
        """Train; False where a loss was not finite."""
        alive = [row for row in range(self.n_rows) if any(self.rows[k] == row for k in self.train)]
        for _ in range(self.config.epochs):
            order = [alive[k] for k in torch.randperm(len(alive), generator=order_generator).tolist()]
            size = self.config.train_batch_size
            finite = [self.batch(order[at : at + size], generator) for at in range(0, len(order), size)]
            if not all(finite):
                return False
        return True

    def batch(self, order, generator):
        config, protocol = self.config, self.protocol
        own, padded = len(order), max(order) + 1
        matrix_rows = padded if protocol.pad_refeeding and config.dense_refeeding else own
        targets = torch.zeros(matrix_rows, self.n_columns)
        observed = torch.zeros(matrix_rows, self.n_columns, dtype=torch.bool)
        entries = [(i, k) for i, row in enumerate(order) for k in self.train if self.rows[k] == row]
        for i, k in entries:
            targets[i, self.columns[k]] = self.centred(k)
            observed[i, self.columns[k]] = True
        covered = observed
        if protocol.loss_entries == "nonzero":
            covered = targets != 0
        elif protocol.loss_entries == "all" and config.mean_normalization:
            covered = torch.zeros_like(observed)
            covered[:own] = True
        if not covered.any() and not config.loss_size_average:
            return True
        share, shown = len(entries) / len(self.train), set()
        inputs, rated = targets, observed.to(targets.dtype)
        if protocol.noise == "input-and-refed":
            kept = drop(torch.ones(len(entries)), config.noise_probability, generator)
            inputs, rated = torch.zeros_like(targets), torch.zeros_like(targets)
            for (i, k), factor in zip(entries, kept.tolist(), strict=True):
                inputs[i, self.columns[k]] = self.centred(k) * factor
                rated[i, self.columns[k]] = factor
                if factor and config.noise_probability and config.denoising_loss:
                    shown.add((i, self.columns[k]))
        outputs = self.forward(inputs, generator, rated)
        loss = self.loss(outputs, targets, covered, padded if protocol.pad_first_pass else own, share, shown)
        self.step(loss)
        finite = math.isfinite(loss.item())
        for _ in range(config.dense_refeeding):
            targets = outputs.detach()
            if config.dense_refeeding_rounding:
                targets = torch.round(targets * 2) / 2
            inputs = drop(targets, config.noise_probability, generator)
            outputs = self.forward(inputs, generator)
            if protocol.loss_entries == "nonzero":
                targets, covered = inputs, inputs != 0
            else:
                covered = torch.ones_like(targets, dtype=torch.bool)
            if not covered.any() and not config.loss_size_average:
                return False  # 0 / 0
            loss = self.loss(outputs, targets, covered, matrix_rows, share)
            self.step(loss)
            finite = finite and math.isfinite(loss.item())
        return finite

    def predict(self, hidden):
        """One prediction a test rating, row by row; `hidden` says which test ratings the input lacks."""
        known_rows, known_columns = {self.rows[k] for k in self.train}, {self.columns[k] for k in self.train}
        overall = sum(self.values[k] for k in self.train) / len(self.train)
        visible = [k for k, is_hidden in zip(self.test, hidden, strict=True) if not is_hidden]
        predictions = []
        for k in self.test:
            row, column = self.rows[k], self.columns[k]
            x, rated = torch.zeros(1, self.n_columns), torch.zeros(1, self.n_columns)
            for other in self.train if self.protocol.test_input == "training" else visible:
                if self.rows[other] == row:
                    raw = self.protocol.test_input == "visible-raw"
                    x[0, self.columns[other]] = self.values[other] if raw else self.centred(other)
                    rated[0, self.columns[other]] = 1
            value = self.forward(x, rated=rated)[0, column].item() + self.means[row] + self.offsets[column]
            if self.protocol.unseen_fallback and not (row in known_rows and column in known_columns):
                same = [self.values[t] for t in self.train if self.rows[t] == row]
                same = same or [self.values[t] for t in self.train if self.columns[t] == column] or [overall]
                value = sum(same) / len(same)
            if self.config.prediction_rounding:
                value = self.rounded(value)
            predictions.append(value)
        return predictions

    def rounded(self, value):
        low, high, step = self.scale
        if self.protocol.rounding == "released":
            low, high, step = 0.0, 5.0, 0.5
            if math.isnan(value):
                return 2.5
        return min(max(low + round((value - low) / step) * step, low), high)
