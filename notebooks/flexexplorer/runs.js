// Random runs, leaky against leak-free (flexexplorer/runs.py has the data): a game of guessing, and a picture whose
// runs are picked out by parameter. On a page of the book the address holds what is picked, so that it can be sent.
(function () {
  "use strict";

  var SIZE = 360, LEFT = 52, BOTTOM = 44, TOP = 12;
  var NEAR = 1.2; // stars, up to which the closer view goes; the game asks for runs up to there
  var LOWEST = 0.8;

  function make(name, attributes, children) {
    var svg = /^(svg|g|circle|line|text|title|path)$/.test(name);
    var element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    (children || []).forEach(function (child) { element.append(child); });
    return element;
  }

  function median(values) {
    var sorted = values.slice().sort(function (a, b) { return a - b; }), half = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(half)] : (sorted[half - 1] + sorted[half]) / 2;
  }

  function gap(run) {
    return run.leakFree - run.leaky;
  }

  // "lowers the RMSE by 0.09 stars"
  function worth(stars) {
    return (stars >= 0 ? "lowers" : "raises") + " the RMSE by " + Math.abs(stars).toFixed(3) + " stars";
  }

  function build(place, number) {
    place.dataset.built = "yes";
    var data = JSON.parse(place.querySelector("script[type='application/json']").textContent);
    var labels = data.labels, runs = data.runs.map(function (run) {
      var values = run.values.map(function (level, k) { return data.levels[k][level]; });
      return Object.assign({}, run, { values: values });
    });
    var inBook = Boolean(document.querySelector(".bd-article")) && number === 0;
    var ready = false; // the address is left alone until something is picked
    if (!runs.length) return;
    var first = runs.find(function (run) { return run.leaky <= NEAR && run.leakFree <= NEAR; }) || runs[0];
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
      return make("dl", { class: "runs-setting" }, labels.flatMap(function (label, k) {
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
      answer.replaceChildren(make("strong", { class: "runs-number" }, [run.leakFree.toFixed(3)]),
        " leak-free: the leak " + worth(gap(run)) + ". Your guess is off by " +
        Math.abs(Number(guess.value) - run.leakFree).toFixed(3) + ".");
    });
    another.addEventListener("click", function () { turn += 1; ask(); });
    var game = make("div", { class: "runs-part", role: "group", "aria-label": "Guess the leak-free score" });
    game.append(question, setting, make("p", {}, [guess, guessed]), reveal, " ", another, answer);

    // The picture.
    var by = make("select", { "aria-label": "Parameter" }), is = make("select", { "aria-label": "Its value" });
    by.append(make("option", { value: -1 }, ["all runs"]));
    labels.forEach(function (label, k) { by.append(make("option", { value: k }, [label])); });
    var near = make("input", { type: "checkbox" });
    var name = "Leak-free against leaky RMSE of " + runs.length + " random runs";
    var picture = make("svg", { viewBox: "0 0 " + SIZE + " " + SIZE, role: "img", "aria-label": name });
    var found = make("p", { role: "status" }), chosen = make("div");
    var back = make("button", { type: "button" }, ["Previous run"]), next = make("button", { type: "button" }, ["Next run"]);

    function scale() {
      var all = runs.flatMap(function (run) { return [run.leaky, run.leakFree]; });
      var low = Math.min.apply(null, all) * 0.98, high = state.near ? NEAR : Math.max.apply(null, all) * 1.02;
      return function (stars) { return Math.log(stars / low) / Math.log(high / low); };
    }

    function draw() {
      var at = scale(), width = SIZE - LEFT - 14, height = SIZE - TOP - BOTTOM, mine = new Set(picked());
      function x(stars) { return LEFT + width * at(stars); }
      function y(stars) { return TOP + height * (1 - at(stars)); }
      var ticks = state.near ? [0.8, 0.9, 1, 1.1, 1.2] : [1, 1.5, 2, 3, 4];
      var parts = ticks.filter(function (t) { return at(t) >= 0 && at(t) <= 1; }).flatMap(function (tick) {
        return [
          make("line", { x1: x(tick), x2: x(tick), y1: TOP, y2: TOP + height, class: "runs-grid" }),
          make("line", { x1: LEFT, x2: LEFT + width, y1: y(tick), y2: y(tick), class: "runs-grid" }),
          make("text", { x: x(tick), y: SIZE - 26, "text-anchor": "middle" }, [String(tick)]),
          make("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, [String(tick)]),
        ];
      });
      parts.push(make("path", { d: "M" + LEFT + " " + (TOP + height) + "L" + (LEFT + width) + " " + TOP, class: "runs-equal" }));
      parts.push(make("text", { x: LEFT + width / 2, y: SIZE - 6, "text-anchor": "middle" }, ["leaky RMSE (stars)"]));
      parts.push(make("text", { transform: "translate(12 " + (TOP + height / 2) + ") rotate(-90)", "text-anchor": "middle" },
        ["leak-free RMSE (stars)"]));
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
      if (!hovered) draw();
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
      if (!inBook || !ready) return;
      var kept = new URLSearchParams({ run: state.run, near: state.near ? 1 : 0 });
      if (state.by >= 0) { kept.set("by", labels[state.by]); kept.set("is", state.is); }
      window.history.replaceState(null, "", "#runs?" + kept);
    }

    function show() {
      by.value = state.by;
      is.hidden = state.by < 0;
      is.replaceChildren.apply(is, state.by < 0 ? [] : values(state.by).map(function (value) {
        return make("option", { value: value }, [value]);
      }));
      if (state.by >= 0) is.value = state.is;
      near.checked = state.near;
      draw();
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

    var map = make("div", { class: "runs-part", role: "group", "aria-label": "All random runs" });
    map.append(make("p", {}, ["Three findings: "].concat(steps.flatMap(function (one) { return [one, " "]; }))), told,
      make("p", {}, [make("label", {}, ["Pick out: ", by]), " ", is, " ",
        make("label", {}, [near, " only up to " + NEAR + " stars"])]),
      make("div", { class: "runs-side" }, [make("div", {}, [picture, found]), make("div", {}, [back, " ", next, chosen])]));

    if (inBook && window.location.hash.indexOf("#runs?") === 0) {
      var kept = new URLSearchParams(window.location.hash.slice(6)), place_of = labels.indexOf(kept.get("by"));
      if (place_of >= 0 && values(place_of).indexOf(kept.get("is")) >= 0) { state.by = place_of; state.is = kept.get("is"); }
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

  function start() {
    document.querySelectorAll(".runs-explorer:not([data-built])").forEach(build);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
