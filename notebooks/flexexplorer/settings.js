// One recorded setting (flexexplorer/settings.py has the data): its parameters are chosen together, out of the
// combinations that were run, and everything that was recorded of it stands beside them.
(function () {
  "use strict";

  var draw = window.flexDraw, make = draw.make, WIDTH = 360;
  var SHOWN_STARS = 0.45; // above the lowest RMSE, up to which the axis of all settings goes
  var ELSEWHERE = " *"; // behind a value that was not run with the others

  function finite(values) {
    return values.filter(function (value) { return value !== null; });
  }

  function extreme(way, values) {
    return Math[way].apply(null, values);
  }

  function build(place, data) {
    var names = Object.keys(data.settings), protocols = data.protocols;
    if (!names.length) return;
    var inGrids = names.filter(function (name) { return data.settings[name].levels; });
    var presets = names.filter(function (name) { return !data.settings[name].levels; });
    var chosen = inGrids.indexOf(data.start) >= 0 ? data.start : names[0], rounding = false, ready = false;

    function setting() { return data.settings[chosen]; }

    function differences(one, other) {
      return one.map(function (_, k) { return k; }).filter(function (k) { return one[k] !== other[k]; });
    }

    // The setting that has a value of one parameter, and of the others as many of those chosen as were run with it.
    function nearest(parameter, level) {
      var wanted = setting().levels.slice();
      wanted[parameter] = level;
      var best = null, fewest = Infinity;
      inGrids.forEach(function (name) {
        var levels = data.settings[name].levels, lost = differences(levels, wanted).length;
        if (levels[parameter] === level && lost < fewest) { best = name; fewest = lost; }
      });
      return best && { name: best, lost: differences(data.settings[best].levels, wanted) };
    }

    // The controls.
    var start = make("select", { "aria-label": "Start from" }, [
      make("option", { value: data.start }, [data.start + ", or as chosen below"]),
    ].concat(presets.map(function (name) { return make("option", { value: name }, [name]); })));
    var selects = data.labels.map(function (label, k) {
      // Named by itself, as a label around it would have its value in the name.
      var select = make("select", { "aria-label": label }, data.levels[k].map(function (value, level) {
        return make("option", { value: level }, [value]);
      }));
      select.addEventListener("change", function () {
        var found = nearest(k, Number(select.value));
        chosen = found.name;
        show(found.lost);
      });
      return select;
    });
    var parameters = make("div", { class: "settings-parameters" }, data.labels.map(function (label, k) {
      return make("label", {}, [label, selects[k]]);
    }));
    var others = make("div"), moved = make("p", { role: "status" });
    start.addEventListener("change", function () { chosen = start.value; show([]); });

    // What it scores.
    var said = make("div", { role: "status" }), strips = make("div"), curves = make("div");
    var bars = make("div"), lists = make("div"), listed = make("p");
    var round = make("input", { type: "checkbox" }), user = make("select", { "aria-label": "User" }, data.users.map(function (id, k) {
      return make("option", { value: k }, [id]);
    }));
    round.addEventListener("change", function () { rounding = round.checked; predict(); });
    user.addEventListener("change", recommend);

    function worded(run, k) {
      return protocols[k].word + ": " + run.told;
    }

    function score() {
      var runs = setting().runs, both = runs.every(function (run) { return run.mean !== null; });
      var large = both ? [make("p", {}, runs.flatMap(function (run, k) {
        return [make("span", { class: "settings-score" }, [
          make("strong", { class: "drawn-number" }, [run.mean.toFixed(3)]), " " + protocols[k].word,
        ]), " "];
      })), make("p", {}, ["The leak " + draw.worth(runs[1].mean - runs[0].mean) + "."])] : [];
      said.replaceChildren.apply(said, large.concat(runs.map(function (run, k) { return make("p", {}, [worded(run, k)]); })));
    }

    // A row for each protocol: the means of all settings, and this one's runs and mean.
    function compare() {
      var all = names.flatMap(function (name) {
        return data.settings[name].runs.flatMap(function (run) { return run.rmse; });
      });
      if (!all.length) return;
      var low = extreme("min", all), high = Math.min(low + SHOWN_STARS, extreme("max", all)), height = 118;
      var x = draw.scale(low, high, draw.LEFT + 20, WIDTH - draw.RIGHT);
      var parts = draw.axes(WIDTH, height, { at: x, ticks: draw.ticks(low, high),
        label: "RMSE (stars); at " + high.toFixed(2) + ": that or more" });
      protocols.forEach(function (protocol, k) {
        var y = 28 + 32 * k, run = setting().runs[k];
        parts.push(make("text", { x: 2, y: y + 4 }, [protocol.word]));
        parts.push(make("path", { class: "drawn-others", d: names.map(function (name) {
          var mean = data.settings[name].runs[k].mean;
          return mean === null ? "" : "M" + x(mean) + " " + (y - 7) + "v14";
        }).join("") }));
        run.rmse.forEach(function (rmse) {
          parts.push(make("circle", { cx: x(rmse), cy: y, r: 4.5, fill: protocol.colour }));
        });
        if (run.mean !== null) parts.push(make("path", { class: "drawn-mean", d: "M" + x(run.mean) + " " + (y - 11) + "l7 11l-7 11l-7 -11z" }));
      });
      var name = "This setting's RMSE among " + names.length + " settings. " + setting().runs.map(worded).join("; ");
      strips.replaceChildren(draw.picture(WIDTH, height, name, parts));
    }

    function course() {
      var runs = setting().runs, height = 230, lasts = [], values = [], epochs = 2;
      runs.forEach(function (run) {
        if (!run.test) return;
        values = values.concat(finite(run.test), finite(run.training));
        lasts = lasts.concat(finite(run.test.slice(-1)));
        epochs = Math.max(epochs, run.test.length);
      });
      if (!values.length) { curves.replaceChildren(make("p", {}, ["No run of it has a curve."])); return; }
      // One that ends more than twice as high as the other is cut off, or nothing could be seen of the other.
      var ends = lasts.filter(function (last) { return last <= 2 * extreme("min", lasts); });
      var high = Math.min(extreme("max", values), ends.length ? 1.25 * extreme("max", ends) : Infinity);
      var low = extreme("min", values);
      var x = draw.scale(1, epochs, draw.LEFT, WIDTH - 70), y = draw.scale(low, high, height - draw.BOTTOM, draw.TOP);
      var parts = draw.axes(WIDTH, height, { at: x, ticks: draw.ticks(1, epochs, true), label: "epoch" },
        { at: y, ticks: draw.ticks(low, high), label: "RMSE (stars)" });
      var before = null;
      runs.forEach(function (run, k) {
        if (!run.test) return;
        [["test", ""], ["training", "5 4"]].forEach(function (line) {
          var points = run[line[0]].map(function (rmse, epoch) { return rmse === null ? "" : x(epoch + 1) + "," + y(rmse); });
          parts.push(make("polyline", { points: points.join(" ").trim(), fill: "none", stroke: protocols[k].colour,
            "stroke-width": 2, "stroke-dasharray": line[1] }));
        });
        var last = finite(run.test).pop(), at = y(last === undefined ? high : last);
        if (before !== null && Math.abs(at - before) < 15) at = before + (at < before ? -15 : 15);
        before = at;
        parts.push(make("text", { x: x(run.test.length) + 5, y: at + 4 }, [protocols[k].word]));
      });
      var name = "RMSE after each epoch. " + runs.map(function (run, k) {
        var last = run.test && run.test[run.test.length - 1];
        return protocols[k].word + (last ? " ends at " + last.toFixed(3) : " has no end");
      }).join("; ");
      curves.replaceChildren(draw.picture(WIDTH, height, name, parts),
        make("p", {}, ["Solid: test ratings. Dashed: training ratings. " + (high < extreme("max", values) ?
          "Above " + high.toFixed(2) + " drawn there." : "")]));
    }

    // Counts of predicted stars, filled, against those of the actual ratings, a row for each protocol.
    function predict() {
      var height = 230, kind = rounding ? "rounded" : "unrounded", edges = data.edges, runs = setting().runs;
      var shown = runs.filter(function (run) { return run.test; });
      if (!shown.length) { bars.replaceChildren(make("p", {}, ["No run of it has predictions."])); return; }
      var most = extreme("max", shown.flatMap(function (run) { return run[kind][1].concat(data.actual[run.actual]); }));
      var x = draw.scale(edges[0], edges[edges.length - 1], draw.LEFT, WIDTH - draw.RIGHT);
      var parts = draw.axes(WIDTH, height, { at: x, ticks: draw.ticks(edges[0], edges[edges.length - 1], true),
        label: "stars; filled: predicted, line: actual ratings" });
      runs.forEach(function (run, k) {
        if (!run.test) return;
        var base = k ? height - draw.BOTTOM : (height - draw.BOTTOM + draw.TOP) / 2, y = draw.scale(0, most, base, base - 76);
        function steps(counts) {
          return "M" + x(edges[0]) + " " + base + counts.map(function (count, bin) {
            return "V" + y(count) + "H" + x(edges[bin + 1]);
          }).join("") + "V" + base;
        }
        parts.push(make("path", { d: steps(run[kind][1]), fill: protocols[k].colour }));
        parts.push(make("path", { d: steps(data.actual[run.actual]), class: "drawn-mean" }));
        parts.push(make("text", { x: draw.LEFT + 4, y: base - 64 }, [protocols[k].word]));
        parts.push(make("text", { x: draw.LEFT - 6, y: base - 70, "text-anchor": "end" }, [most.toLocaleString("en")]));
        parts.push(make("text", { x: draw.LEFT - 6, y: base + 4, "text-anchor": "end" }, ["0"]));
      });
      var told = runs.filter(function (run) { return run.test; }).map(function (run) {
        return protocols[runs.indexOf(run)].word + " " + (run[kind][0] === null ? "none" : run[kind][0].toFixed(3));
      }).join(", ");
      var words = "RMSE " + kind + ": " + told + ".";
      bars.replaceChildren(draw.picture(WIDTH, height, "Predicted and actual stars. " + words, parts), make("p", { role: "status" }, [words]));
    }

    function recommend() {
      var runs = setting().runs, k = Number(user.value), shown = runs.filter(function (run) { return run.lists; });
      if (!shown.length || !data.users.length) { lists.replaceChildren(); listed.textContent = "No run of it has lists."; return; }
      var length = extreme("max", shown.map(function (run) { return run.lists[k].length; }));
      var rows = Array.from({ length: length }, function (_, rank) {
        return make("tr", {}, [make("td", {}, [String(rank + 1)])].concat(runs.map(function (run) {
          var item = run.lists && run.lists[k][rank];
          return make("td", {}, [item ? data.titles[item[0]] + (item[1] === null ? "" : " (" + item[1].toFixed(2) + ")") : ""]);
        })));
      });
      var heads = ["rank"].concat(protocols.map(function (protocol) { return protocol.word + " (stars)"; }));
      lists.replaceChildren(make("table", {}, [make("thead", {}, [make("tr", {}, heads.map(function (head) {
        return make("th", { scope: "col" }, [head]);
      }))]), make("tbody", {}, rows)]));
      var said = runs.map(function (run, protocol) {
        var titles = new Set((run.lists || []).flatMap(function (list) { return list.map(function (item) { return item[0]; }); }));
        return protocols[protocol].word + " " + titles.size;
      });
      var both = shown.length < 2 ? 0 : runs[0].lists[k].filter(function (item) {
        return runs[1].lists[k].some(function (other) { return other[0] === item[0]; });
      }).length;
      listed.textContent = both + " of " + length + " stand on both lists. Different titles on the lists of all " +
        data.users.length + " users: " + said.join(", ") + ".";
    }

    function show(lost) {
      var levels = setting().levels;
      start.value = levels ? data.start : chosen;
      parameters.hidden = !levels;
      others.replaceChildren();
      if (levels) {
        selects.forEach(function (select, k) {
          Array.from(select.options).forEach(function (option, level) {
            var found = nearest(k, level);
            option.disabled = !found;
            option.textContent = data.levels[k][level] + (found && found.lost.length ? ELSEWHERE : "");
          });
          select.value = levels[k];
        });
      } else {
        others.append(make("p", {}, ["What it has otherwise than " + data.start + ":"]), make("dl", { class: "drawn-setting" },
          setting().differs.flatMap(function (pair) { return [make("dt", {}, [pair[0]]), make("dd", {}, [pair[1]])]; })));
      }
      moved.textContent = !levels ? "" : lost.length ? "Not run together, and so changed too: " +
        lost.map(function (k) { return data.labels[k]; }).join(", ") + "." :
        "A star: not run with the other values, which then change too.";
      score();
      compare();
      course();
      predict();
      recommend();
      if (ready) draw.remember("setting", { name: chosen });
    }

    var panel = make("div", { class: "drawn-part drawn-side", role: "group", "aria-label": "One setting" }, [
      make("div", { class: "settings-controls" }, [make("label", {}, ["Start from ", start]), parameters, others, moved]),
      make("div", {}, [said, strips]),
      curves,
      make("div", {}, [make("label", {}, [round, " round the predictions"]), bars]),
      make("details", {}, [make("summary", {}, ["What it recommends"]), make("p", {}, [make("label", {}, ["User ", user])]), lists, listed]),
    ]);
    var kept = draw.recalled("setting");
    if (kept && data.settings[kept.get("name")]) {
      chosen = kept.get("name");
      window.setTimeout(function () { panel.scrollIntoView(); });
    }
    place.replaceChildren(panel);
    show([]);
    ready = true;
  }

  draw.start("settings", build);
})();
