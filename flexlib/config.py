"""The paper's 17 parameters, and the protocols by which a run is trained and scored.

`FlexConfig` and `Protocol` are frozen pydantic models. A file, a preset or a `key=value` can set each of their fields.
An unknown key, a wrong type or an impossible value raises a `FlexError` that names it.
"""

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

Optimizer = Literal["adam", "adagrad", "rmsprop", "sgd", "adadelta", "adamw"]
Activation = Literal[
    "selu", "relu", "relu6", "elu", "lrelu", "sigmoid", "tanh", "swish", "gelu", "mish", "softplus", "hardtanh"
]
Pivot = tuple[Literal[0], Literal[1]] | tuple[Literal[1], Literal[0]]

# The paper's come first, then those of the extended space.
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
USER_BASED: Pivot = (0, 1)
ITEM_BASED: Pivot = (1, 0)
PIVOTS = USER_BASED, ITEM_BASED


class FlexError(ValueError):
    """Bad input, told in one line. The command line prints it and exits with status 2.

    Parameters
    ----------
    message
        What is wrong. Line breaks and other characters that do not print are written as escapes, as in Python.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message))

    def of(self, path: str | Path) -> "FlexError":
        """Put the file that the error is about in front of its message.

        Parameters
        ----------
        path
            The file's path.

        Returns
        -------
        FlexError
            The new error, or this one if its message begins with the path already.
        """
        return self if str(self).startswith(str(FlexError(str(path)))) else FlexError(f"{path}: {self}")


def first_line(error: object) -> str:
    """Return the first line of what an error says.

    Parameters
    ----------
    error
        The error of another library, or any object.

    Returns
    -------
    str
        At most 300 characters; empty where the error says nothing.
    """
    return str(error).strip().split("\n")[0][:300]


def _shown(value: object) -> str:
    try:
        return first_line(repr(value))
    except (ValueError, RecursionError):  # Python writes no integer of more than 4,300 digits
        return "a value of thousands of digits or brackets"


class _Loader(yaml.SafeLoader):
    """YAML without aliases, as a few lines of them stand for gigabytes, and without keys that are there twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Read a key (whose index is None), a value or an item."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not read", problem_mark=self.get_mark())
        node: Any = super().compose_node(parent, index)
        if isinstance(parent, yaml.MappingNode) and index is None and node.value in [k.value for k, _ in parent.value]:
            raise yaml.MarkedYAMLError(problem=f"{_shown(node.value)} is there twice", problem_mark=node.start_mark)
        return node


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # PyYAML lets Python's own errors through, such as KeyError for "!!bool x"
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = first_line(getattr(error, "problem", error))
        raise FlexError(f"{where}{line}: not valid YAML or JSON ({reason})") from None


def _to_number(value: object) -> object:
    """Return a number, also from a text such as 1e-3, which YAML 1.1 does not read as one; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value if isinstance(value, int | float) else None  # pydantic accepts anything with `__float__`


def _to_tuple(value: object) -> object:
    """Return a list of whole numbers as a tuple, as YAML and JSON have no tuples; None for anything else."""
    # Checked here, as pydantic accepts True and 1.0 for Literal[1].
    return tuple(value) if isinstance(value, list | tuple) and all(type(v) is int for v in value) else None


LARGEST = 10**12  # larger numbers are taken for mistakes
Whole = Annotated[int, Field(le=LARGEST)]
Number = Annotated[float, BeforeValidator(_to_number), Field(le=LARGEST, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Size = Annotated[int, Field(ge=1, le=1_000_000)]
Sizes = Annotated[tuple[Size, ...], BeforeValidator(_to_tuple), Field(min_length=1, max_length=100)]


class Parameter(NamedTuple):
    """One field of `FlexConfig` or `Protocol`, as the manual, the glossary and the explorer present it."""

    name: str
    abbreviation: str  # empty in `Protocol`
    meaning: str
    default: Any
    choices: tuple[Any, ...]  # empty where the values cannot be listed
    low: float | None
    high: float | None  # None where only `LARGEST` bounds the values
    open_high: bool  # whether `high` itself is out of bounds

    @property
    def expected(self) -> str:
        """What a value must be, in words that complete "... is not"."""
        if self.choices:
            return "one of " + ", ".join(c if isinstance(c, str) else str(list(c)) for c in self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, tuple):
            return "a list of 1 to 100 whole numbers from 1 to 1,000,000, such as [64, 4]"
        kind = "a whole number" if isinstance(self.default, int) else "a finite number"
        return f"{kind} of at least {self.low} and {'below' if self.open_high else 'at most'} {self.high or '1e12'}"


def _describe_field(name: str, field: FieldInfo) -> Parameter:
    limits = {kind: getattr(m, kind) for m in field.metadata for kind in ("ge", "le", "lt") if hasattr(m, kind)}
    high = limits.get("lt", limits.get("le"))
    words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    meaning = " ".join((field.description or "").split()) + (f" ({', '.join(words)})" if words else "")
    choices = PIVOTS if field.annotation == Pivot else words
    high = None if high == LARGEST else high
    return Parameter(name, field.title or "", meaning, field.default, choices, limits.get("ge"), high, "lt" in limits)


class Settings(BaseModel):
    """What `FlexConfig` and `Protocol` share: checks, and conversion from and to mappings and files.

    Raises
    ------
    FlexError
        For the first unknown key, wrong type or impossible value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise FlexError(self._complaint(values, error)) from None

    @classmethod
    def _complaint(cls, values: dict[str, Any], error: ValidationError) -> str:
        known = cls.parameters()
        for key in values:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"
                return f"unknown {cls.__name__} key {_shown(key)}: {hint}"
        wrong = known[str(error.errors()[0]["loc"][0])]
        label = f"{wrong.name} ({wrong.abbreviation})" if wrong.abbreviation else wrong.name
        return f"{label}: {_shown(values[wrong.name])} is not {wrong.expected}"

    @classmethod
    @cache
    def parameters(cls) -> Mapping[str, Parameter]:
        """List the fields and what there is to say of each.

        Returns
        -------
        Mapping of str to Parameter
            By name, in the order of the fields.
        """
        return {name: _describe_field(name, field) for name, field in cls.model_fields.items()}

    @classmethod
    def from_dict(cls, mapping: object) -> Self:
        """Build from field names and values, such as a parsed file.

        Parameters
        ----------
        mapping
            A dictionary. Fields that it lacks keep their defaults.

        Returns
        -------
        Self
            The settings.

        Raises
        ------
        FlexError
            For anything but a dictionary, the first unknown key, wrong type or impossible value.
        """
        if not isinstance(mapping, dict):
            raise FlexError(f"{cls.__name__}: expected parameters and their values, got {_shown(mapping):.40}")
        return cls(**{key if isinstance(key, str) else _shown(key): value for key, value in mapping.items()})

    def replace(self, /, **changes: Any) -> Self:
        """Change some fields of a copy, which is checked again.

        Parameters
        ----------
        **changes
            New values by field.

        Returns
        -------
        Self
            The changed settings.

        Raises
        ------
        FlexError
            For the first unknown key, wrong type or impossible value.
        """
        return type(self)(**dict(self) | changes)

    def override(self, assignments: Iterable[str]) -> Self:
        """Change fields of a copy by `key=value` texts.

        Parameters
        ----------
        assignments
            The texts. Each value is read as YAML, so `hidden_layers=[64, 4]` is a list.

        Returns
        -------
        Self
            The changed settings.

        Raises
        ------
        FlexError
            For a text without `=`, a value that is no YAML, and what `replace` refuses.
        """
        changes = {}
        for text in assignments:
            key, equals, value = text.partition("=")
            if not equals:
                raise FlexError(f"{_shown(text)} is not of the form key=value")
            changes[key.strip()] = _parse_yaml(value, f"the value of {_shown(key.strip())}")
        return self.replace(**changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values.

        Returns
        -------
        dict
            Lists, numbers, strings and booleans, as they stand in YAML and JSON.
        """
        return self.model_dump(mode="json")

    def describe(self) -> list[dict[str, str]]:
        """Return the fields as rows of a table.

        Returns
        -------
        list of dict
            One row a field, with the keys `abbreviation`, `parameter`, `value` (as text) and `meaning`.
        """
        values = {name: str(value).lower() for name, value in self.to_dict().items()}
        return [
            {"abbreviation": p.abbreviation, "parameter": name, "value": values[name], "meaning": p.meaning}
            for name, p in self.parameters().items()
        ]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a YAML or JSON file.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Self
            The settings.

        Raises
        ------
        FlexError
            Naming the file, where it cannot be read or its content is refused.
        """
        path = Path(path)
        try:
            # Ten times what all settings take: PyYAML reads a megabyte in half a minute.
            if path.stat().st_size > 20_000 or not path.is_file():
                raise FlexError(f"{path}: is not a file of at most 20,000 bytes")
            text = path.read_text(encoding="utf-8")
            # Tabs may indent JSON. They may not indent YAML, which otherwise contains JSON.
            return cls.from_dict(_parse_yaml(text.expandtabs() if path.suffix == ".json" else text, str(path)))
        except FlexError as error:
            raise error.of(path) from None
        except (OSError, ValueError) as error:
            raise FlexError(f"{path}: cannot be read ({error})") from None

    def write(self, path: str | Path) -> None:
        """Write a JSON or YAML file, beside its place first and then renamed.

        Parameters
        ----------
        path
            The file. The ending `.json` makes it JSON.
        """
        path, values = Path(path), self.to_dict()
        text = json.dumps(values, indent=2) if path.suffix == ".json" else yaml.safe_dump(values, sort_keys=False)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


class FlexConfig(Settings):
    """The 17 parameters of the paper's Table 1, the two switches its released code has beyond them, and six of ours.

    A field's `title` is Table 1's abbreviation, its docstring the meaning; `parameters` has both. The defaults are
    those around which the released code varies one parameter at a time.

    References
    ----------
    Tran, D. H., Hussain, Z., Zhang, W. E., Khoa, N. L. D., Tran, N. H., and Sheng, Q. Z. (2018). Deep Autoencoder for
    Recommender Systems: Parameter Influence Analysis. ACIS 2018, arXiv:1901.00415. Table 1.

    Koren (2008) (implicit input and its normalization). Vincent et al. (2010) (a loss on what noise hides). Sedhain et
    al. (2015) (decay beside the summed error).
    """

    learning_rate: Annotated[Number, Field(ge=1e-12, title="LR")] = 0.005
    """step size of the optimizer"""
    weight_decay: Annotated[Number, Field(ge=0, title="WeD")] = 0.0
    """L2 term that the optimizer adds to the gradient (with adamw, the share it takes off weights)"""
    hidden_layers: Annotated[Sizes, Field(title="HLs")] = (128,)
    """sizes of the encoder's layers; the decoder mirrors them"""
    drop_probability: Annotated[Share, Field(title="DrP")] = 0.0
    """dropout rate of the bottleneck"""
    noise_probability: Annotated[Share, Field(title="NoP")] = 0.0
    """dropout rate of the input"""
    train_batch_size: Annotated[Whole, Field(ge=1, title="TBS")] = 64
    """rows of the rating matrix in a batch"""
    epochs: Annotated[Whole, Field(ge=0, title="Ep")] = 10
    """passes over the training rows"""
    optimizer: Annotated[Optimizer, Field(title="Opt")] = "adam"
    """update rule of the weights"""
    activation: Annotated[Activation, Field(title="Act")] = "selu"
    """non-linearity of every layer"""
    dense_refeeding: Annotated[Whole, Field(ge=0, title="DeF")] = 1
    """extra steps per batch with the output fed back"""
    dense_refeeding_rounding: Annotated[bool, Field(title="DeFR")] = False
    """round fed-back outputs to half stars"""
    decoder_constraint: Annotated[bool, Field(title="DeC")] = False
    """tie the decoder's weights to the encoder's"""
    mean_normalization: Annotated[bool, Field(title="MeN")] = True
    """centre each row by its mean rating"""
    prediction_rounding: Annotated[bool, Field(title="PrR")] = False
    """round predictions to the rating scale"""
    pivot_indexes: Annotated[Pivot, BeforeValidator(_to_tuple), Field(title="PI")] = USER_BASED
    """rows are users with [0, 1], and items with [1, 0]"""
    test_masking_rate: Annotated[Number, Field(ge=0, le=1, title="TMR")] = 0.5
    """share of the test ratings hidden from the input"""
    test_split_rate: Annotated[Number, Field(ge=1e-9, lt=1, title="TSR")] = 0.3
    """share held out for testing"""
    output_activation: Annotated[bool, Field(title="OuA")] = True
    """activate the output layer too (not in Table 1)"""
    loss_size_average: Annotated[bool, Field(title="LSA")] = False
    """average the loss over all of the batch matrix (not in Table 1)"""
    centring: Annotated[Literal["rows", "biases", "three", "output-bias"], Field(title="Cen")] = "rows"
    """what MeN takes off (with output-bias nothing, but output biases start at the mean rating); not in the paper"""
    patience: Annotated[Whole, Field(ge=0, title="Pat")] = 0
    """epochs without gain on validation ratings that end training; not in the paper (0 for off)"""
    implicit_input: Annotated[bool, Field(title="ImI")] = False
    """tell the network too which cells are rated, by first-layer weights of their own; not in the paper"""
    input_normalization: Annotated[bool, Field(title="InN")] = False
    """divide the first layer's sums by the square root of the row's number of ratings; not in the paper"""
    denoising_loss: Annotated[bool, Field(title="DeL")] = False
    """confine the loss to ratings that noise (NoP) hides from the input, where it hides any; not in the paper"""
    loss_decay: Annotated[bool, Field(title="LoD")] = False
    """take WeD as L2 term beside the summed squared error, on weights alone, not biases; not in the paper"""

    @property
    def item_based(self) -> bool:
        """Whether rows are items (PI [1, 0])."""
        return self.pivot_indexes == ITEM_BASED

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return one of `PRESETS`.

        Parameters
        ----------
        name
            The preset's name.

        Returns
        -------
        FlexConfig
            The preset.

        Raises
        ------
        FlexError
            Listing the presets, where none has the name.
        """
        if name not in PRESETS:
            raise FlexError(f"unknown preset {_shown(name)}: known are {', '.join(PRESETS)}")
        return cls.from_dict(PRESETS[name])

    @classmethod
    def load(cls, source: str) -> Self:
        """Return a preset, or read a YAML or JSON file.

        Parameters
        ----------
        source
            The name of a preset, else a file's path.

        Returns
        -------
        FlexConfig
            The preset or the file's settings.

        Raises
        ------
        FlexError
            Where the text is neither, and for what `read` refuses.
        """
        if source in PRESETS:
            return cls.preset(source)
        if not os.path.exists(source):  # unlike Path.exists, without an error for a name that is too long
            raise FlexError(f"{_shown(source)} is neither a file nor a preset; presets are {', '.join(PRESETS)}")
        return cls.read(source)


class Protocol(Settings):
    """How a configuration is trained and scored, and whether test ratings leak into it.

    The defaults are the leak-free protocol, `holdout`. Each field can be changed on its own.
    """

    means: Literal["training", "all"] = "training"
    """the ratings that row means (MeN) are taken over"""
    test_input: Literal["training", "visible-centred", "visible-raw"] = "training"
    """what the network sees at test time, the row's training ratings or its visible test ratings (centred like training
    input, or raw stars)"""
    masking: Literal["exact", "with-replacement"] = "exact"
    """how TMR hides test ratings, that share or that many draws"""
    scored: Literal["all", "hidden"] = "all"
    """the test ratings that count, all or those hidden from the input"""
    loss_entries: Literal["observed", "nonzero", "all"] = "observed"
    """the entries that the loss covers, observed ones, those whose target is not zero (which fits a re-fed pass to its
    noisy input), or all of the batch where MeN is on (Section 3.4)"""
    noise: Literal["input-and-refed", "refed"] = "input-and-refed"
    """where NoP falls, on input and re-fed outputs or on the latter alone"""
    pad_first_pass: bool = False
    """average (LSA) over a matrix padded with zero rows to the largest index"""
    pad_refeeding: bool = False
    """re-feed those zero rows with the rest (slow)"""
    rounding: Literal["scale", "released"] = "scale"
    """PrR's grid, the data's own scale or halves in [0, 5] with NaN as 2.5"""
    unseen_fallback: bool = True
    """predict a mean where user or item has no training rating"""

    @classmethod
    def named(cls, name: "str | Protocol") -> "Protocol":
        """Return one of `PROTOCOLS`, with the changes that follow its name.

        Parameters
        ----------
        name
            A name such as "released", or with changes "released means=training". A protocol is returned as it is.

        Returns
        -------
        Protocol
            The protocol.

        Raises
        ------
        FlexError
            Listing the protocols, where none has the name, and for what `override` refuses.
        """
        if isinstance(name, Protocol):
            return name
        base, *changes = name.split() or [""]
        if base not in PROTOCOLS:
            raise FlexError(f"unknown protocol {_shown(name)}: known are {', '.join(PROTOCOLS)}")
        return PROTOCOLS[base].override(changes)


_NAMED: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
PAPERS_DATASET = "ml-latest-small-2016"
PRESETS: dict[str, dict[str, Any]] = _NAMED["presets"]
TABLE2_RMSE: dict[str, float] = _NAMED["published_rmse"]  # of Table 2's presets, on the paper's data set
PROTOCOLS = {name: Protocol.from_dict(fields) for name, fields in _NAMED["protocols"].items()}
