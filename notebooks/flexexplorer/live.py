"""The live explorer: a control for every parameter, and what networks with these settings score and recommend.

It trains, which needs Jupyter or Voila.
"""

import shlex
import threading
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from flexstudy.plans import EXPLORED, LEAKY_AND_LEAK_FREE

from flexexplorer import pictures
from flexexplorer.background import Background
from flexexplorer.pace import REFERENCE, STAND_IN, estimate_seconds, measure_pace
from flexexplorer.page import LABELS, wide
from flexexplorer.recorded import spell_value
from flexexplorer.together import fit_together
from flexexplorer.trained import (
    History,
    explain,
    history_picture,
    lists_of,
    remarks,
    scores_and_place,
    shell_command,
)
from flexlib.cli.options import read_columns
from flexlib.config import PRESETS, FlexConfig, FlexError, Parameter, first_line
from flexlib.data import Ratings
from flexlib.datasets.loading import load_ratings
from flexlib.datasets.sources import DATASETS, local_path
from flexlib.evaluation import evaluate
from flexlib.predict import FittedModel

MAX_SECONDS = 600  # of a training's estimate, above which it is refused
SLIDER_ENDS = {"epochs": 100, "dense_refeeding": 5}  # of whole numbers that have a slider
IN_TABLE_1 = PRESETS["table1"].keys()
RESULTS = ("verdict", "curve", "scores", "place", "list", "origin")  # outputs of a run
DRAWN_EVERY = 0.5  # seconds between drawings of growing curves
TIMED_FROM = 1.0  # seconds of training, from which on it tells how long the rest takes, and corrects the pace


def published_records() -> str:
    """Give the folder of the published records; "" where this package is not in a checkout of the project."""
    folder = Path(__file__).parents[2] / "results" / "records"
    return str(folder) if folder.is_dir() else ""


class _StoppedError(Exception):
    """Ends training from within."""


class Explorer:
    """Trains a network with and without the leak, on a click or whenever a setting changes. Display its `view`.

    Settings stand at the left, results at the right; below each other where there is no room.

    Parameters
    ----------
    dataset
        As in `flexlib.load_ratings`. A named set that is not on this machine is fetched on a click alone; until then
        there are synthetic data.
    sweep
        Records of a sweep, among whose RMSE a run is placed; None for none.
    device
        As in `flexlib.fit`.
    preset
        What the controls stand at.
    columns, scale
        Of a file, as in `flexlib.load_ratings`; columns as pairs.
    """

    def __init__(
        self,
        dataset: str,
        sweep: pd.DataFrame | None = None,
        device: str | None = None,
        preset: str = EXPLORED,
        columns: Sequence[tuple[str, str]] = (),
        scale: Sequence[float] | None = None,
    ) -> None:
        self.sweep, self.device = sweep, device
        self.ratings: Ratings | None = None
        self.models: dict[str, FittedModel] = {}
        self.pace = REFERENCE  # until there are ratings
        self.background = Background(self._tell_error, self._disable_stop)
        self._is_setting_preset = False
        self._make_controls()
        self._make_outputs()
        self._connect()
        self.view = self._arrange()
        self.preset.value = preset
        self.dataset.value = dataset
        self.columns.value = shlex.join(f"{what}={column}" for what, column in columns)
        self.scale.value = " ".join(f"{value:.12g}" for value in scale or ())
        is_here = dataset not in DATASETS or bool(local_path(dataset))
        try:
            self._take(dataset if is_here else STAND_IN)
        except FlexError as error:
            self._tell_error(error)
        if not is_here:
            self.tell(f"{dataset} is not on this machine: these are synthetic data. Load fetches it.")

    def _make_controls(self) -> None:
        self.controls = {name: _make_control(known) for name, known in FlexConfig.parameters().items()}
        self.dataset = widgets.Combobox(
            options=["synthetic", *DATASETS], ensure_option=False, description="data set or file", **wide()
        )
        self.columns = widgets.Text("", description="columns of a file", placeholder="user=uid rating=stars", **wide())
        self.scale = widgets.Text("", description="scale of a file", placeholder="0.5 5 0.5", **wide())
        self.preset = widgets.Dropdown(options=list(PRESETS), description="preset", **wide())
        self.seed = widgets.BoundedIntText(0, min=0, max=2**31 - 1, description="seed", **wide())
        self.user = widgets.Text("", description="user", continuous_update=False, **wide())
        self.on_change = widgets.Checkbox(False, description="train whenever a setting changes", indent=False)
        self.buttons = {name: widgets.Button(description=name) for name in ("Load", "Reset", "Train", "Stop")}
        self.buttons["Train"].button_style = "primary"
        self.buttons["Stop"].disabled = True

    def _make_outputs(self) -> None:
        self.progress = widgets.IntProgress(0, 0, 1, layout=wide()["layout"])
        names = ("message", "wrong", "remarks", *RESULTS)
        self.outputs = {name: widgets.HTML(layout=widgets.Layout(width="100%")) for name in names}
        self.outputs["message"].add_class("explorer-live")

    def _connect(self) -> None:
        self.buttons["Load"].on_click(lambda _: self.load(self.dataset.value))
        self.buttons["Reset"].on_click(lambda _: self._set_preset())
        self.buttons["Train"].on_click(lambda _: self.train())
        self.buttons["Stop"].on_click(lambda _: self.stop())
        self.preset.observe(lambda _: self._set_preset(), "value")
        self.user.observe(lambda _: self._show_lists(), "value")
        for control in (*self.controls.values(), self.seed):
            control.observe(lambda _: self._follow_change(), "value")

    def _arrange(self) -> widgets.HBox:
        buttons, outputs = self.buttons, self.outputs
        rows = {
            name: _row(control, widgets.HTML(pictures.paragraph(_help(name)), layout=wide()["layout"]))
            for name, control in self.controls.items()
        }
        settings = [
            _row(self.dataset, buttons["Load"]),
            _row(self.columns, self.scale),
            _row(self.preset, buttons["Reset"]),
            *(row for name, row in rows.items() if name in IN_TABLE_1),
            widgets.HTML("<b>Not in the paper's Table 1</b>"),
            *(row for name, row in rows.items() if name not in IN_TABLE_1),
            _row(self.seed),
        ]
        results = [
            outputs["remarks"],
            _row(buttons["Train"], buttons["Stop"], self.on_change),
            self.progress,
            *(outputs[name] for name in ("wrong", "message", "verdict", "curve", "scores", "place")),
            _row(self.user),
            outputs["list"],
            outputs["origin"],
        ]
        columns = [
            widgets.VBox(parts, layout=widgets.Layout(flex="1 1 20rem", min_width="0")) for parts in (settings, results)
        ]
        columns[0].add_class("explorer-settings")
        view = widgets.HBox(
            columns, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start", width="100%")
        )
        for name in ("explorer", "explorer-picture"):
            view.add_class(name)
        return view

    def tell(self, text: str) -> None:
        """Say what goes on, in a line that a screen reader reads out."""
        self.outputs["message"].value = pictures.paragraph(text)

    def refuse(self, text: str) -> None:
        """Say what is wrong, in a line that stays until something is done."""
        self.outputs["wrong"].value = _alert(text)

    def _tell_error(self, error: Exception) -> None:
        self.tell("")
        is_told = isinstance(error, FlexError)
        self.refuse(str(error) if is_told else f"{type(error).__name__}: {first_line(error)}")

    def config(self) -> FlexConfig:
        """Read the configuration off the controls.

        Raises
        ------
        FlexError
            For one that cannot be.
        """
        values = {name: control.value for name, control in self.controls.items()}
        sizes = values["hidden_layers"].replace(",", " ").strip("[] ").split()
        values["hidden_layers"] = [int(size) if size.isdecimal() else size for size in sizes]
        return FlexConfig.from_dict(values)

    def load(self, dataset: str) -> None:
        """Take another data set, in the background. Where it cannot be had, the one before stays."""
        self.tell(f"Loading {dataset} ...")
        self.background.start(lambda _: self._take(dataset))

    def _take(self, dataset: str) -> None:
        self.ratings = load_ratings(dataset, *self._layout())
        self._forget()
        self.pace = measure_pace(self.device)  # now that nothing else is trained
        self.user.value = str(self.ratings.user_ids[0])
        counts = f"{len(self.ratings):,} ratings of {self.ratings.n_items:,} items by {self.ratings.n_users:,} users"
        self.tell(f"{self.ratings.name}: {counts}. Train to begin.")
        self._follow_change()

    def _layout(self) -> tuple[dict[str, str], list[float] | None]:
        """Read which columns a file has, and its scale, as `flexlib train` does."""
        try:
            return read_columns(shlex.split(self.columns.value)), [*map(float, self.scale.value.split())] or None
        except ValueError as error:  # FlexError among them
            raise FlexError(f"columns and scale of a file: {error}") from None

    def _forget(self) -> None:
        """Leave nothing of an earlier run beside the settings of the next."""
        self.models = {}
        for name in ("wrong", *RESULTS):
            self.outputs[name].value = ""

    def _set_preset(self) -> None:
        settings = FlexConfig.preset(self.preset.value)
        self._is_setting_preset = True
        for name, control in self.controls.items():
            value = getattr(settings, name)
            control.value = _spell_sizes(value) if name == "hidden_layers" else value
        self._is_setting_preset = False
        self._follow_change()

    def _follow_change(self) -> None:
        """Remark on the settings, and train where each change is to be followed."""
        if self._is_setting_preset or not self._remark():
            return
        self.outputs["wrong"].value = ""  # its cause may be mended; if not, the next click says so again
        if self.on_change.value:
            self.train()

    def _remark(self) -> bool:
        """Remark on the settings; False where they cannot be, or there are no ratings yet."""
        if self.ratings is None:
            return False
        try:
            found = remarks(self.config(), self.ratings, self.pace)
        except FlexError as error:
            self.outputs["remarks"].value = _alert(str(error))
            return False
        self.outputs["remarks"].value = pictures.paragraph(" ".join(found))
        return True

    def train(self) -> None:
        """Train with and without the leak, in the background, in place of a run that goes on. Refuse bad settings."""
        try:
            config = self._affordable_config()
        except FlexError as error:
            self.refuse(str(error))
            return
        seed = self.seed.value  # of the click, like the settings, though the run before may have to end first
        self.background.start(lambda stop: self._train(stop, config, seed))

    def _affordable_config(self) -> FlexConfig:
        """Read the configuration, where there are ratings that it can be trained on in time."""
        config = self.config()
        if self.ratings is None:
            raise FlexError("there are no ratings yet: load a data set first")
        seconds = estimate_seconds(config, self.ratings, self.pace)
        if seconds > MAX_SECONDS:
            raise FlexError(
                f"this would take about {seconds / 60:,.0f} minutes, and more than {MAX_SECONDS // 60} are refused: "
                "take fewer epochs, smaller layers or larger batches, or use flexlib train"
            )
        return config

    def stop(self) -> None:
        """End training after the batch that goes on; the curves so far stay shown."""
        self.background.stop()

    def wait(self) -> None:
        """Wait until nothing goes on."""
        self.background.wait()

    def _disable_stop(self) -> None:
        self.buttons["Stop"].disabled = True

    def _train(self, stop: threading.Event, config: FlexConfig, seed: int) -> None:
        assert self.ratings is not None  # as `train` has made sure
        ratings, begun = self.ratings, time.monotonic()
        total = max(1, len(LEAKY_AND_LEAK_FREE) * config.epochs)
        history: dict[str, list[tuple[float, float]]] = {protocol: [] for protocol in LEAKY_AND_LEAK_FREE}
        self._forget()
        self.buttons["Stop"].disabled = False
        self.progress.max, self.progress.value = total, 0
        drawn, is_timed = 0.0, False

        def tell_time(done: float, words: str) -> None:
            left = (time.monotonic() - begun) / done * (total - done)
            self.tell(f"{words}about {left:.0f} s left")

        def heed() -> None:
            if stop.is_set():
                raise _StoppedError

        def watch_batch(_: FittedModel, share: float) -> None:
            nonlocal is_timed
            heed()
            if not is_timed and time.monotonic() - begun > TIMED_FROM:
                is_timed = True
                tell_time(self.progress.value + share, "Training, ")

        def watch(protocol: str, model: FittedModel) -> None:
            nonlocal drawn
            heed()
            history[protocol].append((model.history[-1], evaluate(model).rmse))
            if time.monotonic() - drawn > DRAWN_EVERY:
                self.outputs["curve"].value = history_picture(history)
                drawn = time.monotonic()
            done = self.progress.value = self.progress.value + 1
            tell_time(done, f"Epoch {len(model.history)} of {config.epochs}, ")

        try:
            models = fit_together(
                ratings, config, LEAKY_AND_LEAK_FREE, seed, device=self.device, on_epoch=watch, on_batch=watch_batch
            )
        except _StoppedError:
            self.outputs["curve"].value = history_picture(history)
            self.tell(f"Stopped after {self.progress.value} of {total} epochs.")
            return
        seconds, expected = time.monotonic() - begun, estimate_seconds(config, ratings, self.pace)
        if expected >= TIMED_FROM and self.progress.value == total:
            self.pace = self.pace.scaled(seconds / expected)
            self._remark()
        self.models = models
        self._show(ratings, history, seed)
        diverged = sum(model.status != "ok" for model in models.values())
        words = f" {diverged} of the {len(models)} runs diverged." if diverged else ""
        self.tell(f"Trained in {seconds:.1f} s.{words}")
        self.progress.value = total

    def _show(self, ratings: Ratings, history: History, seed: int) -> None:
        """Show what has been trained."""
        scores, place = scores_and_place(self.models, ratings, seed, self.sweep)
        self.outputs["scores"].value, self.outputs["place"].value = scores, place
        self.outputs["verdict"].value = explain(self.models)
        self.outputs["curve"].value = history_picture(history)
        self._show_lists()
        self.outputs["origin"].value = shell_command(next(iter(self.models.values())))

    def _show_lists(self) -> None:
        try:
            self.outputs["list"].value = lists_of(self.models, self.user.value.strip())
        except FlexError as error:
            self.outputs["list"].value = _alert(str(error))


def _alert(text: str) -> str:
    """Make a paragraph that a screen reader reads out at once."""
    return f'<p role="alert">&#9888; {escape(text)}</p>'


def _row(*parts: widgets.Widget) -> widgets.HBox:
    return widgets.HBox(parts, layout=widgets.Layout(flex_flow="row wrap", align_items="center", width="100%"))


def _spell_sizes(sizes: tuple[int, ...]) -> str:
    return " ".join(map(str, sizes))


def _make_control(known: Parameter) -> widgets.Widget:
    """Make the control of a parameter, by the kind of its values."""
    name, default = known.name, known.default
    options = {"description": LABELS[name], "tooltip": _help(name)} | wide()
    if isinstance(default, bool):
        return widgets.Checkbox(default, indent=True, **options)
    if known.choices:
        choices = [(spell_value(name, choice), choice) for choice in known.choices]
        return widgets.Dropdown(options=choices, value=default, **options)
    options["continuous_update"] = False
    if isinstance(default, tuple):
        return widgets.Text(_spell_sizes(default), **options)
    if known.high == 1:
        return widgets.FloatSlider(default, min=0, max=1, step=0.05, **options)
    if name in SLIDER_ENDS:
        return widgets.IntSlider(default, min=0, max=SLIDER_ENDS[name], **options)
    kind = widgets.IntText if isinstance(default, int) else widgets.FloatText
    return kind(default, **options)


def _help(name: str) -> str:
    """Say what a parameter means, with the example of the paper's Table 1 where it has one."""
    meaning = FlexConfig.parameters()[name].meaning
    example = spell_value(name, FlexConfig.preset("table1").to_dict()[name])
    return f"{meaning[0].upper()}{meaning[1:]}." + (f" Table 1's example: {example}." if name in IN_TABLE_1 else "")
