"""The explorer: sliders and drop-downs over recorded runs, which need no kernel, and a live one that trains.

The first kind holds a picture for every position of its controls and shows one of them; a built page can do that by
itself. The second has a control for every parameter and needs Jupyter or Voila.
"""

import dataclasses
import shlex
import threading
import time
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from flexstudy.plans import EXPLORED, GRIDS, PROTOCOLS
from flexstudy.style import COLOURS, words_of
from IPython.display import HTML

from flexexplorer import pictures
from flexexplorer.recorded import (
    CURVES,
    cell_picture,
    curve_picture,
    histogram_picture,
    list_picture,
    recommended_table,
    spell,
    users_of,
)
from flexlib.config import PRESETS, FlexConfig, FlexError, first_line
from flexlib.datasets.loading import load_ratings
from flexlib.datasets.sources import DATASETS, local_path
from flexlib.evaluate import evaluate, recommend
from flexlib.runs.cost import estimate_cost
from flexlib.train import fit

LONGEST = 600  # estimated seconds of training that the live explorer accepts


PLACED = 0.6  # stars of the sweep's distribution that are drawn, from its lowest


SMALL = "synthetic:users=300,items=500,ratings=15000,seed=1"


LABELS = {field.name: f"{field.name.replace('_', ' ')} ({field.metadata['abbreviation']})"
          for field in dataclasses.fields(FlexConfig)}  # fmt: skip


_WIDE = {"description_width": "15rem"}


def page_setup():
    """The style of what follows, and the script that names sliders for screen readers: to be displayed once."""
    style, script = (Path(__file__).with_name(f"widgets.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return HTML(f"<style>{style}</style><script>{script}</script>")


def note_in_place():
    """What stands where the live explorer would, in a page without a kernel."""
    return HTML(
        pictures.say("The controls are here when notebooks/explore.ipynb is opened in Jupyter, and with make explore.")
    )


def one_list(courses):
    """What the list explorer shows at first, as a table that needs no script."""
    _, preset = _presets(courses)
    return HTML(
        f"<div class='explorer-picture'>{list_picture(courses, preset, next(iter(users_of(courses)), ''))}</div>"
    )


def published_records():
    """The folder of the published records, as text; "" where this package is not in a checkout of the project."""
    folder = Path(__file__).parents[2] / "results" / "records"
    return str(folder) if folder.is_dir() else ""


def linked_pictures(options, picture, chosen):
    """Controls, and the picture of what they are set to: a widget that works in a built page.

    options: each control's label to its values, as pairs of a text and a value; a slider where the values are numbers,
    else a drop-down. picture: called with a value of each, for every combination; returns HTML. chosen: the values at
    first. The last control's pictures are the innermost stack.
    """
    layout, controls = widgets.Layout(width="100%", height="auto"), []
    for (label, values), first in zip(options.items(), chosen, strict=True):
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for _, value in values)
        kind = widgets.SelectionSlider if numbers else widgets.Dropdown
        controls.append(kind(options=values, value=first, description=label, tooltip=label, style=_WIDE,
                             layout=widgets.Layout(width="min(100%, 32rem)")))  # fmt: skip
    style = widgets.HTML().style

    def stack(values):
        depth = len(values)
        if depth == len(controls):
            return widgets.HTML(picture(*values), layout=layout, style=style)
        children = [stack((*values, value)) for _, value in controls[depth].options]
        shown = widgets.Stack(children, selected_index=controls[depth].index, layout=layout)
        widgets.jslink((controls[depth], "index"), (shown, "selected_index"))
        return shown

    shown = stack(())
    for name in ("explorer-picture", "explorer-live"):
        shown.add_class(name)
    whole = widgets.VBox([*controls, shown], layout=layout)
    whole.add_class("explorer")
    return whole


def grid_explorer(table, grid, random=None):
    """Controls for a grid's parameters over the runs of a `grid_table`; random: as in `cell_picture`."""
    options = {LABELS[name]: [(spell(name, value), value) for value in values] for name, values in GRIDS[grid].items()}
    base = FlexConfig.preset(EXPLORED)
    chosen = [getattr(base, name) for name in GRIDS[grid]]
    return linked_pictures(options, lambda *cell: cell_picture(table, cell, random), chosen)


def curve_explorer(courses):
    """A preset's learning curves."""
    presets, first = _presets(courses)
    return linked_pictures({"preset": presets}, lambda preset: curve_picture(courses, preset), [first])


def histogram_explorer(courses):
    """A preset's predicted ratings, with and without prediction rounding."""
    presets, first = _presets(courses)
    options = {"preset": presets, LABELS["prediction_rounding"]: [("off", False), ("on", True)]}
    return linked_pictures(options, lambda *values: histogram_picture(courses, *values), [first, False])


def list_explorer(courses):
    """What a preset recommends to a user."""
    presets, first = _presets(courses)
    users = [(f"user {user}", user) for user in users_of(courses)] or [("none", "")]
    options = {"preset": presets, "user": users}
    return linked_pictures(options, lambda *values: list_picture(courses, *values), [first, users[0][1]])


def _presets(courses):
    names = list(dict.fromkeys(preset for preset, _ in courses))
    return [(name, name) for name in names], EXPLORED if EXPLORED in names else names[0]


class _StoppedError(Exception):
    pass


class Explorer:
    """A control for every parameter, which trains a network under three protocols on a click, or whenever one changes.

    dataset: as in `load_ratings`; a named set that is not on this machine is fetched only on a click, and until then
    synthetic data are shown. sweep: records of a sweep, in whose distribution a run is placed, or None. device: as in
    `fit`. Display `view`. Training runs in a thread of its own, which `wait` waits for.
    """

    def __init__(self, dataset, sweep=None, device=None, preset=EXPLORED):
        self.sweep, self.device, self.models, self.ratings = sweep, device, {}, None
        self._stop, self._thread, self._starting = threading.Event(), None, threading.Lock()
        self._make_controls()
        self._make_outputs()
        self._arrange()
        self.preset.value = preset
        here = dataset not in DATASETS or local_path(dataset)
        self.dataset.value = dataset
        self._take(dataset if here else SMALL)
        if not here:
            self.tell(f"{dataset} is not on this machine: these are synthetic data. Load fetches it.")

    def _make_controls(self):
        self.controls = {field.name: _control(field) for field in dataclasses.fields(FlexConfig)}
        wide = dict(style=_WIDE, layout=widgets.Layout(width="min(100%, 32rem)"))
        names = ["synthetic", *DATASETS]
        self.dataset = widgets.Combobox(options=names, ensure_option=False, description="data set or CSV file", **wide)
        self.preset = widgets.Dropdown(options=list(PRESETS), description="preset", **wide)
        self.seed = widgets.BoundedIntText(0, min=0, max=2**31 - 1, description="seed", **wide)
        self.user = widgets.Text("", description="user", continuous_update=False, **wide)
        self.on_change = widgets.Checkbox(False, description="train whenever a setting changes", indent=False)
        self.buttons = {name: widgets.Button(description=name) for name in ("Load", "Reset", "Train", "Stop")}
        self.buttons["Train"].button_style, self.buttons["Stop"].disabled = "primary", True
        self.buttons["Load"].on_click(lambda _: self.load(self.dataset.value))
        self.buttons["Reset"].on_click(lambda _: self._set_preset())
        self.buttons["Train"].on_click(lambda _: self.train())
        self.buttons["Stop"].on_click(lambda _: self.stop())
        self.preset.observe(lambda _: self._set_preset(), "value")
        self.user.observe(lambda _: self._show_list(), "value")
        for control in (*self.controls.values(), self.seed):
            control.observe(self._changed, "value")

    def _make_outputs(self):
        self.progress = widgets.IntProgress(0, 0, 1, layout=widgets.Layout(width="min(100%, 32rem)"))
        parts = "message wrong remarks scores curve place list origin"
        self.outputs = {name: widgets.HTML(layout=widgets.Layout(width="100%")) for name in parts.split()}
        self.outputs["message"].add_class("explorer-live")

    def _arrange(self):
        rows = []
        for name, control in self.controls.items():
            text = widgets.HTML(pictures.say(_help(name)), layout=widgets.Layout(width="min(100%, 32rem)"))
            rows.append(_row(control, text))
        out, paper = self.outputs, len(rows) - 4
        beyond = widgets.HTML("<b>Not in the paper's Table 1</b>")
        self.view = widgets.VBox([
            _row(self.dataset, self.buttons["Load"]), _row(self.preset, self.buttons["Reset"]),
            *rows[:paper], beyond, *rows[paper:], _row(self.seed), out["remarks"],
            _row(self.buttons["Train"], self.buttons["Stop"], self.on_change), self.progress, out["wrong"],
            out["message"], out["scores"], out["curve"], out["place"], _row(self.user), out["list"], out["origin"],
        ])  # fmt: skip
        for name in ("explorer", "explorer-picture"):
            self.view.add_class(name)

    def tell(self, text, wrong=False):
        """Show a line about what goes on, or what is wrong, which stays until something is done; it is read out."""
        if wrong:
            self.outputs["wrong"].value = _alert(text)
        else:
            self.outputs["message"].value = pictures.say(text)

    def config(self):
        """The `FlexConfig` that the controls say. Raises `FlexError` in words for one that cannot be."""
        values = {name: control.value for name, control in self.controls.items()}
        sizes = values["hidden_layers"].replace(",", " ").strip("[] ").split()
        values["hidden_layers"] = [int(size) if size.isdecimal() else size for size in sizes]
        return FlexConfig.from_dict(values | {"pivot_indexes": list(values["pivot_indexes"])})

    def load(self, dataset):
        """Take another data set, in a thread; what is wrong with it is told in words, and the one before stays."""
        self.tell(f"Loading {dataset} ...")
        self._start(lambda _: self._take(dataset))

    def _take(self, dataset):
        try:
            self.ratings = load_ratings(dataset)
        except FlexError as error:
            self.tell("")
            return self.tell(str(error), wrong=True)
        self._forget()
        self.user.value = str(self.ratings.user_ids[0])
        many = f"{len(self.ratings):,} ratings of {self.ratings.n_items:,} items by {self.ratings.n_users:,} users"
        self.tell(f"{self.ratings.name}: {many}. Train to begin.")
        self._changed()

    def _forget(self):
        """Nothing of an earlier run stays beside the settings of the next."""
        self.models = {}
        for name in ("wrong", "scores", "curve", "place", "list", "origin"):
            self.outputs[name].value = ""

    def _set_preset(self):
        settings, self._quiet = FlexConfig.preset(self.preset.value), True
        for name, control in self.controls.items():
            value = getattr(settings, name)
            control.value = " ".join(map(str, value)) if name == "hidden_layers" else value
        self._quiet = False
        self._changed()

    _quiet = False

    def _changed(self, _=None):
        if self._quiet or self.ratings is None:
            return
        try:
            self.outputs["remarks"].value = pictures.say(" ".join(remarks(self.config(), self.ratings)))
        except FlexError as error:
            self.outputs["remarks"].value = _alert(error)
            return
        if self.on_change.value:
            self.train()

    def train(self):
        """Train under three protocols, in a thread; a run that goes on gives way. Bad settings are refused in words."""
        try:
            config = self.config()
            if self.ratings is None:
                raise FlexError("there are no ratings yet: load a data set first")
            seconds = len(PROTOCOLS) * estimate_cost(config, self.ratings).seconds
            if seconds > LONGEST:
                words = f"this would take about {seconds / 60:,.0f} minutes, and more than {LONGEST // 60} are refused"
                raise FlexError(f"{words}: take fewer epochs, smaller layers or larger batches, or use flexlib train")
        except FlexError as error:
            return self.tell(str(error), wrong=True)
        seed = self.seed.value  # of the click, as the settings, though what goes on may have to end first
        self._start(lambda stop: self._work(stop, config, seed))

    def _start(self, work):
        """Do `work(stop)` in a thread, once the thread before has ended, which is asked to: the page stays awake."""

        def run(before, stop):
            if before:
                before.join()
            try:
                if not stop.is_set():
                    work(stop)
            except Exception as error:  # which nothing else would show
                kind = "" if isinstance(error, FlexError) else f"{type(error).__name__}: "
                self.tell("")
                self.tell(kind + first_line(error), wrong=True)
            finally:
                self.buttons["Stop"].disabled = True

        with self._starting:  # which a set that has been loaded does from its own thread
            self.stop()
            self._stop, before = threading.Event(), self._thread
            self._thread = threading.Thread(target=run, args=(before, self._stop), daemon=True)
            self._thread.start()

    def stop(self):
        """End training after the epoch that is under way; what has been trained stays shown."""
        self._stop.set()

    def wait(self):
        """Wait until nothing goes on."""
        thread = None
        while thread is not self._thread:  # what has ended may have begun another
            with self._starting:
                thread = self._thread
            thread.join()

    def _work(self, stop, config, seed):
        begun, done, total = time.monotonic(), 0, max(1, len(PROTOCOLS) * config.epochs)
        curves = {}
        self._forget()
        self.buttons["Stop"].disabled, self.progress.max, self.progress.value = False, total, 0

        def watch(model):
            nonlocal done
            if stop.is_set():
                raise _StoppedError
            done += 1
            curves[protocol].append((model.history[-1], evaluate(model).rmse))
            left = (time.monotonic() - begun) / done * (total - done)
            self.progress.value = done
            self.tell(f"{words_of(protocol)}: epoch {len(model.history)} of {config.epochs}, about {left:.0f} s left")

        try:
            for protocol in PROTOCOLS:
                curves[protocol] = []
                self.models[protocol] = fit(self.ratings, config, protocol, seed, device=self.device, on_epoch=watch)
                self._show(curves, seed)
        except _StoppedError:
            self._show(curves, seed)
            return self.tell(f"Stopped after {done} of {total} epochs.")
        diverged = sum(model.status != "ok" for model in self.models.values())
        words = f" {diverged} of the {len(PROTOCOLS)} runs diverged." if diverged else ""
        self.tell(f"Trained in {time.monotonic() - begun:.1f} s.{words}")
        self.progress.value = total

    def _show(self, curves, seed):
        scores = {protocol: evaluate(model) for protocol, model in self.models.items()}
        rows, places = [], []
        for protocol, found in scores.items():
            # A diverged run may still have an RMSE, where rounding makes stars of its outputs.
            ended = self.models[protocol].status == "ok" and np.isfinite(found.rmse)
            rmse, mae = (f"{found.rmse:.3f}", f"{found.mae:.3f}") if ended else ("none: diverged", "")
            rows.append((words_of(protocol), rmse, mae, f"{found.n_scored:,}"))
            places.append(self._place(protocol, found.rmse) if ended else "")
        heads = ["protocol", "RMSE (stars)", "MAE (stars)", "test ratings scored"]
        self.outputs["scores"].value = pictures.table(heads, rows, f"{self.ratings.name}, seed {seed}")
        series = [{"colour": COLOURS[protocol], "dashed": not part, "values": [point[part] for point in points]}
                  for protocol, points in curves.items() for part in (1, 0)]  # fmt: skip
        entries = [(COLOURS[protocol], words_of(protocol)) for protocol in curves]
        drawn = pictures.curves(series, "RMSE after each epoch, by protocol")
        self.outputs["curve"].value = pictures.key(entries) + drawn + CURVES
        self.outputs["place"].value = "".join(filter(None, places))
        self._show_list()
        if self.models:
            self.outputs["origin"].value = _command(next(iter(self.models.values())))

    def _place(self, protocol, rmse):
        """Where an RMSE falls among the sweep's, as HTML; "" where the sweep has nothing to compare with."""
        if self.sweep is None:
            return ""
        own = self.sweep[(self.sweep["protocol"] == protocol) & (self.sweep["status"] == "ok")]
        own = own.loc[own["dataset"] == self.ratings.name, "rmse"]
        if own.empty:
            return ""
        low = min(*own, rmse) - 0.01  # so that the mark of the lowest of all is not taken for an axis
        edges = np.linspace(low, min(max(*own, rmse), low + PLACED), 41)
        counts = np.histogram(np.minimum(own, edges[-1]), edges)[0].tolist()
        words = f"{words_of(protocol)}: of the {len(own)} random settings of the sweep that ended well, "
        words += f"{(own > rmse).sum()} have a higher RMSE than this run's {rmse:.3f}"
        label = f"RMSE (stars); at {edges[-1]:.2f}: that or more; upwards: settings"
        return pictures.say(words) + pictures.histogram(edges, counts, None, COLOURS[protocol], words, label, mark=rmse)

    def _show_list(self):
        lists = {}
        try:
            for protocol, model in list(self.models.items()):
                if protocol != "described" and model.status == "ok":
                    table = recommend(model, self.user.value.strip(), 10)
                    titles = table.get("title", [""] * len(table))
                    lists[protocol] = list(zip(table["item"], titles, table["predicted"], strict=True))
        except FlexError as error:
            self.outputs["list"].value = _alert(error)
            return
        caption = f"Recommended to user {self.user.value.strip()}"
        self.outputs["list"].value = recommended_table(lists, caption) if lists else ""


def _alert(text):
    return f'<p role="alert">&#9888; {escape(str(text))}</p>'


def _row(*parts):
    return widgets.HBox(parts, layout=widgets.Layout(flex_flow="row wrap", align_items="center", width="100%"))


def _control(field):
    """The control of a parameter, by the kind of its values."""
    meta, default = field.metadata, field.default
    options = dict(
        description=LABELS[field.name],
        tooltip=_help(field.name),
        style=_WIDE,
        layout=widgets.Layout(width="min(100%, 32rem)"),
    )
    if isinstance(default, bool):
        return widgets.Checkbox(default, indent=True, **options)
    if meta["choices"]:
        return widgets.Dropdown(options=[(spell(field.name, c), c) for c in meta["choices"]], value=default, **options)
    if isinstance(default, tuple):
        return widgets.Text(" ".join(map(str, default)), continuous_update=False, **options)
    if meta["high"] == 1:
        return widgets.FloatSlider(default, min=0, max=1, step=0.05, continuous_update=False, **options)
    if field.name in ("epochs", "dense_refeeding"):
        most = {"epochs": 100, "dense_refeeding": 5}[field.name]
        return widgets.IntSlider(default, min=0, max=most, continuous_update=False, **options)
    kind = widgets.IntText if isinstance(default, int) else widgets.FloatText
    return kind(default, continuous_update=False, **options)


def _help(name):
    """What a parameter means, with the example of the paper's Table 1 where it has one."""
    (meaning,) = (field.metadata["meaning"] for field in dataclasses.fields(FlexConfig) if field.name == name)
    example = f" Table 1's example: {spell(name, FlexConfig.from_dict(PRESETS['table1']).to_dict()[name])}."
    return f"{meaning[0].upper()}{meaning[1:]}." + (example if name in PRESETS["table1"] else "")


def remarks(config, ratings):
    """What is to be said of settings before they are tried: their estimated cost, and which of them have no effect."""
    seconds = len(PROTOCOLS) * estimate_cost(config, ratings).seconds
    found = [f"About {max(1, round(seconds)):,} s for the three protocols."]
    if config.dense_refeeding_rounding and not config.dense_refeeding:
        found.append("DeFR has no effect while DeF is 0.")
    if config.centring != "rows" and not config.mean_normalization:
        found.append("Cen has no effect while MeN is off.")
    if config.patience >= config.epochs > 0:
        found.append("Pat cannot end training before Ep does.")
    return found


def _command(model):
    """The shell's command for the same run, and where it was made, as HTML."""
    changed = {name: value for name, value in model.config.to_dict().items() if value != FlexConfig().to_dict()[name]}
    settings = [f"{name}={value}".replace(" ", "") for name, value in changed.items()]
    words = ["flexlib", "train", "--dataset", model.ratings.name, "--seed", str(model.seed), "--protocol", "holdout"]
    text = shlex.join([*words, *(["--set", *settings] if settings else [])])
    return f"<p>The run on held-out ratings from a shell:</p><pre>{escape(text)}</pre>"
