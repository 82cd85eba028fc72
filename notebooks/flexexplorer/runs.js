// Random runs, leaky against leak-free (flexexplorer/runs.py has the data): a game of guessing, and a picture whose
// runs are picked out by parameter. On a page of the book the address holds what is picked, so that it can be sent.
(function () {
  "use strict";

  var draw = window.flexDraw, make = draw.make, worth = draw.worth, SIZE = 360;
  var NEAR = 1.2; // stars, up to which the closer view goes; the game asks for runs up to there
  var LOWEST = 0.8;

  function median(values) {
    var sorted = values.slice().sort(function (a, b) { return a - b; }), half = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(half)] : (sorted[half - 1] + sorted[half]) / 2;
  }

  function gap(run) {
    return run.leakFree - run.leaky;
  }

  function build(place, data) {
    var labels = data.labels, runs = data.runs.map(function (run) {
      var values = run.values.map(function (level, k) { return data.levels[k][level]; });
      return Object.assign({}, run, { values: values });
    });
    var ready = false; // the address is left alone until something is picked
    if (!runs.length) return;
    // Not the first that the game asks for, whose answer would stand below it.
    var first = runs.filter(function (run) { return run.leaky <= NEAR && run.leakFree <= NEAR; })[1] || runs[0];
    var state = { by: -1, is: "", run: first.run, near: true };

    function indexOf(word) {
      return labels.findIndex(function (label) { return label.indexOf(word) === 0; });
    }

    function values(by) {
      return Array.from(new Set(runs.map(function (run) { return run.values[by]; }))).sort(function (a, b) {
        return parseFloat(a) - parseFloat(b) || a.localeCompare(b);
      });
    }

    function picked() {
      return state.by < 0 ? runs : runs.filter(function (run) { return run.values[state.by] === state.is; });
    }

    function spell(run) {
      return make("dl", { class: "drawn-setting" }, labels.flatMap(function (label, k) {
        return [make("dt", {}, [label]), make("dd", {}, [run.values[k]])];
      }));
    }

    // The game.
    var asked = runs.filter(function (run) { return run.leaky <= NEAR && run.leakFree <= NEAR; }), turn = 0;
    var question = make("p"), setting = make("details", {}, [make("summary", {}, ["Its 17 parameters"])]);
    var guess = make("input", { type: "range", min: LOWEST, max: NEAR, step: 0.005, "aria-label": "Your guess, in stars" });
    var guessed = make("output"), answer = make("p", { class: "runs-answer", role: "status" });
    var reveal = make("button", { type: "button" }, ["Reveal"]), another = make("button", { type: "button" }, ["Another setting"]);

    function ask() {
      // Steps that visit every run once, near and far ones in turn.
      var run = asked[(turn * 37) % asked.length];
      question.replaceChildren("Leaky, random setting " + run.run + " scores ", make("strong", {}, [run.leaky.toFixed(3)]),
        " stars. What does it score leak-free?");
      setting.replaceChildren(setting.firstChild, spell(run));
      guess.value = run.leaky;
      say();
      answer.textContent = "";
    }

    function say() {
      guessed.textContent = "Your guess: " + Number(guess.value).toFixed(3);
    }

    guess.addEventListener("input", say);
    reveal.addEventListener("click", function () {
      var run = asked[(turn * 37) % asked.length];
      answer.replaceChildren(make("strong", { class: "drawn-number" }, [run.leakFree.toFixed(3)]),
        " leak-free: the leak " + worth(gap(run)) + ". Your guess is off by " +
        Math.abs(Number(guess.value) - run.leakFree).toFixed(3) + ".");
    });
    another.addEventListener("click", function () { turn += 1; ask(); });
    var game = make("div", { class: "drawn-part", role: "group", "aria-label": "Guess the leak-free score" });
    game.append(question, setting, make("p", {}, [guess, guessed]), reveal, " ", another, answer);

    // The picture.
    var by = make("select", { "aria-label": "Parameter" }), is = make("select", { "aria-label": "Its value" });
    by.append(make("option", { value: -1 }, ["all runs"]));
    labels.forEach(function (label, k) { by.append(make("option", { value: k }, [label])); });
    var near = make("input", { type: "checkbox" });
    var name = "Leak-free against leaky RMSE of " + runs.length + " random runs";
    var picture = draw.picture(SIZE, SIZE, name);
    var found = make("p", { role: "status" }), chosen = make("div");
    var back = make("button", { type: "button" }, ["Previous run"]), next = make("button", { type: "button" }, ["Next run"]);

    function scale() {
      var all = runs.flatMap(function (run) { return [run.leaky, run.leakFree]; });
      var low = Math.min.apply(null, all) * 0.98, high = state.near ? NEAR : Math.max.apply(null, all) * 1.02;
      return function (stars) { return Math.log(stars / low) / Math.log(high / low); };
    }

    function paint() {
      var at = scale(), mine = new Set(picked());
      function x(stars) { return draw.LEFT + (SIZE - draw.LEFT - draw.RIGHT) * at(stars); }
      function y(stars) { return draw.TOP + (SIZE - draw.TOP - draw.BOTTOM) * (1 - at(stars)); }
      var ticks = (state.near ? [0.8, 0.9, 1, 1.1, 1.2] : [1, 1.5, 2, 3, 4]).filter(function (tick) {
        return at(tick) >= 0 && at(tick) <= 1;
      });
      var parts = draw.axes(SIZE, SIZE, { at: x, ticks: ticks, label: "leaky RMSE (stars)" },
        { at: y, ticks: ticks, label: "leak-free RMSE (stars)" });
      parts.push(make("path", { class: "runs-equal",
        d: "M" + draw.LEFT + " " + (SIZE - draw.BOTTOM) + "L" + (SIZE - draw.RIGHT) + " " + draw.TOP }));
      runs.filter(function (run) { return at(run.leaky) <= 1 && at(run.leakFree) <= 1; })
        .sort(function (a, b) { return mine.has(a) - mine.has(b); })
        .forEach(function (run) {
          var kind = (mine.has(run) && state.by >= 0 ? "is-picked" : "") + (run.run === state.run ? " is-chosen" : "");
          var dot = make("circle", { cx: x(run.leaky), cy: y(run.leakFree), r: run.run === state.run ? 7 : 4, class: kind });
          dot.addEventListener("mouseenter", function () { choose(run, true); });
          dot.addEventListener("click", function () { choose(run); });
          parts.push(dot);
        });
      picture.replaceChildren.apply(picture, parts);
    }

    function choose(run, hovered) {
      state.run = run.run;
      chosen.replaceChildren(make("p", {}, [make("strong", {}, ["Random setting " + run.run]), ": leaky " +
        run.leaky.toFixed(3) + ", leak-free " + run.leakFree.toFixed(3) + ". The leak " + worth(gap(run)) + "."]), spell(run));
      if (!hovered) paint();
      keep();
    }

    function tell() {
      var mine = picked(), part = state.by < 0 ? "All " : labels[state.by] + " " + state.is + ": ";
      found.textContent = part + mine.length + (mine.length === 1 ? " run" : " runs") + ", median leaky " +
        median(mine.map(function (run) { return run.leaky; })).toFixed(3) + ", leak-free " +
        median(mine.map(function (run) { return run.leakFree; })).toFixed(3) + ". The leak " +
        worth(median(mine.map(gap))) + " (median).";
    }

    function keep() {
      if (!ready) return;
      var kept = { run: state.run, near: state.near ? 1 : 0 };
      draw.remember("runs", state.by < 0 ? kept : Object.assign(kept, { by: labels[state.by], is: state.is }));
    }

    function show() {
      by.value = state.by;
      is.hidden = state.by < 0;
      is.replaceChildren.apply(is, state.by < 0 ? [] : values(state.by).map(function (value) {
        return make("option", { value: value }, [value]);
      }));
      if (state.by >= 0) is.value = state.is;
      near.checked = state.near;
      paint();
      tell();
      keep();
    }

    function step(way) {
      var mine = picked(), k = mine.findIndex(function (run) { return run.run === state.run; });
      choose(mine[(k + way + mine.length) % mine.length]);
    }

    by.addEventListener("change", function () {
      state.by = Number(by.value);
      state.is = state.by < 0 ? "" : values(state.by)[0];
      show();
    });
    is.addEventListener("change", function () { state.is = is.value; show(); });
    near.addEventListener("change", function () { state.near = near.checked; show(); });
    back.addEventListener("click", function () { step(-1); });
    next.addEventListener("click", function () { step(1); });

    // Three findings, told with the numbers of the runs at hand.
    var told = make("p", { class: "runs-told", role: "status" });

    function medianGap(by, is) {
      var mine = runs.filter(function (run) { return run.values[by] === is && run.leaky <= NEAR; });
      return mine.length ? worth(median(mine.map(gap))) + " (" + mine.length + " runs)" : "was not measured";
    }

    var steps = [
      ["Where is the leak?", "mean normalization", "on", true, function (by) {
        return "Dots above the line score worse leak-free. With mean normalization the leak " + medianGap(by, "on") +
          ". It comes in through the means.";
      }],
      ["Who gains most?", "pivot indexes", values(indexOf("pivot indexes"))[0], true, function (by) {
        return values(by).map(function (is) { return "With " + is + " the leak " + medianGap(by, is); }).join(". ") +
          ". Where a row has few ratings, each is a large part of its mean.";
      }],
      ["And without means?", "mean normalization", "off", false, function (by) {
        var leaky = ["off", "on"].map(function (is) {
          var mine = runs.filter(function (run) { return run.values[by] === is; });
          return mine.length ? median(mine.map(function (run) { return run.leaky; })).toFixed(2) : "none";
        });
        return "Without mean normalization nothing leaks through means. The median leaky RMSE is " + leaky[0] +
          " stars; with it, " + leaky[1] + ".";
      }],
    ].map(function (one) {
      var button = make("button", { type: "button" }, [one[0]]);
      button.addEventListener("click", function () {
        state.by = indexOf(one[1]);
        state.is = one[2];
        state.near = one[3];
        show();
        told.textContent = one[4](state.by);
      });
      return button;
    });

    var map = make("div", { class: "drawn-part", role: "group", "aria-label": "All random runs" });
    map.append(make("p", {}, ["Three findings: "].concat(steps.flatMap(function (one) { return [one, " "]; }))), told,
      make("p", {}, [make("label", {}, ["Pick out: ", by]), " ", is, " ",
        make("label", {}, [near, " only up to " + NEAR + " stars"])]),
      make("div", { class: "drawn-side" }, [make("div", {}, [picture, found]), make("div", {}, [back, " ", next, chosen])]));

    var kept = draw.recalled("runs");
    if (kept) {
      var parameter = labels.indexOf(kept.get("by"));
      if (parameter >= 0 && values(parameter).indexOf(kept.get("is")) >= 0) { state.by = parameter; state.is = kept.get("is"); }
      if (runs.some(function (run) { return String(run.run) === kept.get("run"); })) state.run = Number(kept.get("run"));
      state.near = kept.get("near") !== "0";
      window.setTimeout(function () { map.scrollIntoView(); });
    }
    place.replaceChildren(game, map);
    if (asked.length) ask();
    show();
    choose(runs.find(function (run) { return run.run === state.run; }), true);
    ready = true;
  }

  draw.start("runs", build);
})();
