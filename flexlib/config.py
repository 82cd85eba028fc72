"""What a run is: the paper's 17 parameters (Table 1), and the protocol that trains and scores them.

Both are frozen dataclasses whose every field can be set from a file, a preset or `key=value`;
a key nobody knows, a wrong type or an impossible value is refused by name.
"""

import dataclasses
import difflib
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

# The paper's, then those of the extended space
ACTIVATIONS = (
    "selu",
    "relu",
    "relu6",
    "elu",
    "lrelu",
    "sigmoid",
    "tanh",
    "swish",
    "gelu",
    "mish",
    "softplus",
    "hardtanh",
)
OPTIMIZERS = ("adam", "adagrad", "rmsprop", "sgd", "adadelta", "adamw")
PIVOTS = USER_BASED, ITEM_BASED = (0, 1), (1, 0)


VERSION = "0.1.0"


class FlexError(ValueError):
    """Bad input, told in one line; the command line prints it and exits with status 2."""

    def of(self, path):
        """The same error, with the path of the file that it is about in front."""
        return self if str(self).startswith(str(path)) else FlexError(f"{path}: {self}")


def first_line(error):
    """What another library's error says, on one line; "" where it says nothing."""
    return str(error).strip().split("\n")[0][:300]


def _parameter(abbreviation, meaning, default, *, low=None, high=None, open_high=False, choices=None):
    if isinstance(default, str):
        meaning += f" ({', '.join(choices)})"
    metadata = dict(abbreviation=abbreviation, meaning=meaning, low=low, high=high)
    metadata |= dict(open_high=open_high, choices=choices)
    return field(default=default, metadata=metadata)


def _choice(meaning, *choices):
    return _parameter("", meaning, choices[0], choices=choices)


class Settings:
    """Checks and conversions that `FlexConfig` and `Protocol` share: one mapping, read and written in full."""

    def __post_init__(self):
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _checked(f, getattr(self, f.name)))

    @classmethod
    def from_dict(cls, mapping):
        """Build from a mapping of field names to values; missing fields keep their defaults.

        Raises `FlexError` naming the first unknown key, wrong type or impossible value.
        """
        if not isinstance(mapping, dict):
            raise FlexError(f"{cls.__name__}: expected parameters and their values, got {mapping!r:.40}")
        return cls().replace(**{str(key): value for key, value in mapping.items()})

    def replace(self, **changes):
        """The same settings with some fields changed, checked again."""
        names = [f.name for f in dataclasses.fields(self)]
        for key in changes:
            if key not in names:
                close = difflib.get_close_matches(key, names, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"
                raise FlexError(f"unknown {type(self).__name__} key '{key}': {hint}")
        return dataclasses.replace(self, **changes)

    def override(self, assignments):
        """Apply `key=value` strings; values are read as YAML, so `hidden_layers=[64, 4]` is a list."""
        changes = {}
        for text in assignments:
            key, equals, value = text.partition("=")
            if not equals:
                raise FlexError(f"'{text}' is not of the form key=value")
            changes[key.strip()] = _parse_yaml(value, f"the value of '{key.strip()}'")
        return self.replace(**changes)

    def to_dict(self):
        """Plain values (lists, numbers, strings), as they stand in YAML and JSON."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def describe(self):
        """One mapping a field, in order: abbreviation, parameter, value (as text) and meaning."""
        values, rows = self.to_dict(), []
        for f in dataclasses.fields(self):
            row = {"abbreviation": f.metadata["abbreviation"], "parameter": f.name}
            rows.append(row | {"value": str(values[f.name]).lower(), "meaning": f.metadata["meaning"]})
        return rows

    @classmethod
    def read(cls, path):
        """Read a YAML or JSON file. Raises `FlexError` naming the file."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            # Tabs may indent JSON and may not indent YAML, which otherwise contains it.
            return cls.from_dict(_parse_yaml(text.expandtabs() if path.suffix == ".json" else text, str(path)))
        except FlexError as error:
            raise error.of(path) from None
        except (OSError, UnicodeDecodeError) as error:
            raise FlexError(f"{path}: cannot be read ({error})") from None

    def write(self, path):
        """Write as JSON or YAML by the file's ending, beside first and then renamed."""
        path = Path(path)
        as_json = path.suffix == ".json"
        text = json.dumps(self.to_dict(), indent=2) if as_json else yaml.safe_dump(self.to_dict(), sort_keys=False)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def _parse_yaml(text, where):
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = first_line(getattr(error, "problem", error))
        raise FlexError(f"{where}{line}: not valid YAML or JSON ({reason})") from None


def _checked(f, value):
    """`value` as field `f` holds it; `FlexError` with the field's name where it cannot."""
    meta, default = f.metadata, f.default
    abbreviation = meta.get("abbreviation")
    name = f"{f.name} ({abbreviation})" if abbreviation else f.name

    def refuse(expected):
        raise FlexError(f"{name}: {value!r} is not {expected}")

    if isinstance(default, tuple):
        if not isinstance(value, (list, tuple)) or any(type(v) is not int for v in value):
            refuse("a list of whole numbers")
        value = tuple(value)
        if meta["choices"] and value not in meta["choices"]:
            refuse("one of " + " or ".join(str(list(choice)) for choice in meta["choices"]))
        if not meta["choices"] and (not value or min(value) < 1 or max(value) > 1_000_000):
            refuse("a non-empty list of layer sizes from 1 to 1,000,000, such as [64, 4]")
    elif isinstance(default, bool):
        if type(value) is not bool:
            refuse("true or false")
    elif isinstance(default, str):
        if value not in meta["choices"]:
            refuse(f"one of {', '.join(meta['choices'])}")
    else:
        whole = isinstance(default, int)
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
            value = float(value)  # YAML 1.1 takes 1e-3 for text
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            refuse("a whole number" if whole else "a number")
        if abs(value) > 1e12 or math.isnan(value):
            refuse("a finite number below 1e12")
        low, high = meta["low"], meta["high"]
        if value < low or (high is not None and (value > high or (meta["open_high"] and value == high))):
            upper = "" if high is None else f" and {'below' if meta['open_high'] else 'at most'} {high}"
            refuse(f"at least {low}{upper}")
        value = int(value) if whole else float(value)
    return value


@dataclass(frozen=True, kw_only=True)
class FlexConfig(Settings):
    """The 17 parameters of the paper's Table 1, the two switches its released code has beyond them, and two of ours.

    Each field's `metadata` holds Table 1's abbreviation and the meaning. Defaults are those around which
    the released code varies one parameter at a time.
    """

    learning_rate: float = _parameter("LR", "step size of the optimizer", 0.005, low=1e-12)
    weight_decay: float = _parameter(
        "WeD", "L2 term that the optimizer adds to the gradient (adamw: share it takes off weights)", 0.0, low=0
    )
    hidden_layers: tuple = _parameter("HLs", "sizes of the encoder's layers; the decoder mirrors them", (128,))
    drop_probability: float = _parameter("DrP", "dropout rate of the bottleneck", 0.0, low=0, high=1, open_high=True)
    noise_probability: float = _parameter("NoP", "dropout rate of the input", 0.0, low=0, high=1, open_high=True)
    train_batch_size: int = _parameter("TBS", "rows of the rating matrix in a batch", 64, low=1)
    epochs: int = _parameter("Ep", "passes over the training rows", 10, low=0)
    optimizer: str = _parameter("Opt", "update rule of the weights", "adam", choices=OPTIMIZERS)
    activation: str = _parameter("Act", "non-linearity of every layer", "selu", choices=ACTIVATIONS)
    dense_refeeding: int = _parameter("DeF", "extra steps per batch with the output fed back", 1, low=0)
    dense_refeeding_rounding: bool = _parameter("DeFR", "round fed-back outputs to half stars", False)
    decoder_constraint: bool = _parameter("DeC", "tie the decoder's weights to the encoder's", False)
    mean_normalization: bool = _parameter("MeN", "centre each row by its mean rating", True)
    prediction_rounding: bool = _parameter("PrR", "round predictions to the rating scale", False)
    pivot_indexes: tuple = _parameter("PI", "[0, 1]: rows are users; [1, 0]: items", USER_BASED, choices=PIVOTS)
    test_masking_rate: float = _parameter("TMR", "share of the test ratings hidden from the input", 0.5, low=0, high=1)
    test_split_rate: float = _parameter("TSR", "share held out for testing", 0.3, low=1e-9, high=1, open_high=True)
    output_activation: bool = _parameter("OuA", "activate the output layer too (not in Table 1)", True)
    loss_size_average: bool = _parameter("LSA", "average the loss over all of the batch matrix (not in Table 1)", False)
    centring: str = _parameter(
        "Cen", "what MeN takes off; not in the paper", "rows", choices=("rows", "biases", "three")
    )
    patience: int = _parameter(
        "Pat", "epochs without gain on validation ratings that end training; not in the paper (0: off)", 0, low=0
    )

    @property
    def item_based(self):
        """True where rows are items (PI [1, 0])."""
        return self.pivot_indexes == ITEM_BASED

    @classmethod
    def preset(cls, name):
        """One of `PRESETS` by name. Raises `FlexError` listing them."""
        if name not in PRESETS:
            raise FlexError(f"unknown preset '{name}': known are {', '.join(PRESETS)}")
        return cls.from_dict(PRESETS[name])

    @classmethod
    def load(cls, file_or_preset):
        """A preset where the text names one, else a YAML or JSON file."""
        if file_or_preset in PRESETS:
            return cls.preset(file_or_preset)
        if len(file_or_preset) > 1000 or not Path(file_or_preset).exists():
            raise FlexError(f"'{file_or_preset:.200}' is neither a file nor a preset; presets are {', '.join(PRESETS)}")
        return cls.read(file_or_preset)


@dataclass(frozen=True, kw_only=True)
class Protocol(Settings):
    """How a configuration is trained and scored: where test ratings may, or may not, leak in.

    The default is leak-free (`holdout`). Every field can be flipped on its own.
    """

    means: str = _choice("the ratings that row means (MeN) are taken over", "training", "all")
    test_input: str = _choice(
        "what the network sees at test time: the row's training ratings, or its visible test ratings (centred like"
        " training input, or raw stars)", "training", "visible-centred", "visible-raw",
    )  # fmt: skip
    masking: str = _choice("how TMR hides test ratings: that share, or that many draws", "exact", "with-replacement")
    scored: str = _choice("the test ratings that count: all, or those hidden from the input", "all", "hidden")
    loss_entries: str = _choice(
        "the entries the loss covers: observed ones; those whose target is not zero, which fits a re-fed pass to its"
        " noisy input; or all of the batch where MeN is on (Section 3.4)", "observed", "nonzero", "all",
    )  # fmt: skip
    noise: str = _choice("where NoP falls: on input and re-fed outputs, or on the latter", "input-and-refed", "refed")
    pad_first_pass: bool = _parameter(
        "", "average (LSA) over a matrix padded with zero rows to the largest index", False
    )
    pad_refeeding: bool = _parameter("", "re-feed those zero rows with the rest (slow)", False)
    rounding: str = _choice("PrR's grid: the data's own scale, or halves in [0, 5], NaN as 2.5", "scale", "released")
    unseen_fallback: bool = _parameter("", "predict a mean where user or item has no training rating", True)

    @classmethod
    def named(cls, name):
        """One of `PROTOCOLS` by name, with fields changed where the name goes on ("released means=training").

        Raises `FlexError` listing them.
        """
        if isinstance(name, cls):
            return name
        base, *changes = name.split() or [""]
        if base not in PROTOCOLS:
            raise FlexError(f"unknown protocol '{name}': known are {', '.join(PROTOCOLS)}")
        return PROTOCOLS[base].override(changes)


_NAMED = yaml.safe_load(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
PRESETS = _NAMED["presets"]
PAPERS_DATASET = "ml-latest-small-2016"
PUBLISHED_RMSE = _NAMED["published_rmse"]  # of Table 2's presets, on the paper's data set
PROTOCOLS = {name: Protocol.from_dict(fields) for name, fields in _NAMED["protocols"].items()}
