// A toy on the page on the leak: a rating is hidden and predicted by its film's mean, over all ratings or over those for
// training. It needs no kernel and no server.
(function () {
  "use strict";

  var PEOPLE = ["Ann", "Ben", "Cleo", "Dan"];
  var FILMS = [
    { title: "Harbour", ratings: [4, 3, 5, 4] },
    { title: "Lantern", ratings: [2, null, 4, null] },
    { title: "Orchard", ratings: [null, 5, null, null] },
  ];
  var MOST = 50; // ratings a film, on the slider

  function mean(values) {
    return values.reduce(function (sum, value) { return sum + value; }, 0) / values.length;
  }

  function rated(values) {
    return values.filter(function (value) { return value !== null; });
  }

  function make(name, attributes, children) {
    var element = document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    (children || []).forEach(function (child) { element.append(child); });
    return element;
  }

  // What a film's mean predicts for the rating at `hidden`: {stars, of: how many ratings}. Without any the mean of all
  // training ratings stands in.
  function predict(film, hidden, leaky) {
    var seen = rated(FILMS[film].ratings.filter(function (_, k) { return leaky || k !== hidden; }));
    if (seen.length) return { stars: mean(seen), of: seen.length };
    var others = [];
    FILMS.forEach(function (one, row) {
      one.ratings.forEach(function (value, k) {
        if (value !== null && !(row === film && k === hidden)) others.push(value);
      });
    });
    return { stars: mean(others), of: 0 };
  }

  function spell(n) {
    return n === 1 ? "its one rating" : "its " + n + " ratings";
  }

  // Two ways to take the mean, as radio buttons; `use` is told which.
  function choice(name, use) {
    var parts = [["leaky", "all ratings (leaky)"], ["leak-free", "training ratings (leak-free)"]].map(function (way, k) {
      var input = make("input", { type: "radio", name: name, value: way[0] });
      input.checked = k === 0;
      input.addEventListener("change", function () { use(way[0] === "leaky"); });
      return make("label", {}, [input, " " + way[1]]);
    });
    return make("fieldset", {}, [make("legend", {}, ["The mean is over"])].concat(parts));
  }

  function build(toy) {
    var film = 2, person = 1, leaky = true;
    var said = make("p", { class: "toy-said", role: "status" });
    var buttons = [];

    function show() {
      var found = predict(film, person, leaky), truth = FILMS[film].ratings[person];
      buttons.forEach(function (one) {
        var hidden = one.film === film && one.person === person;
        one.button.setAttribute("aria-pressed", String(hidden));
        one.button.textContent = hidden ? "?" : one.stars;
      });
      said.textContent = "Hidden: " + PEOPLE[person] + " gave " + FILMS[film].title + " " + truth + " stars. " +
        (found.of
          ? "Predicted: " + found.stars.toFixed(2) + ", the mean of " + spell(found.of) +
            (leaky ? ", the hidden one among them. " : ". ")
          : "Predicted: " + found.stars.toFixed(2) + ", the mean of all other ratings, as the film has no other. ") +
        "Error: " + Math.abs(found.stars - truth).toFixed(2) + " stars.";
    }

    var head = make("tr", {}, [make("td", {})].concat(PEOPLE.map(function (name) {
      return make("th", { scope: "col" }, [name]);
    })));
    var rows = FILMS.map(function (one, row) {
      return make("tr", {}, [make("th", { scope: "row" }, [one.title])].concat(one.ratings.map(function (stars, k) {
        if (stars === null) return make("td", {}, ["-"]);
        var name = "Hide " + PEOPLE[k] + "'s rating of " + one.title + ", " + stars + " stars";
        var button = make("button", { type: "button", "aria-label": name });
        button.addEventListener("click", function () { film = row; person = k; show(); });
        buttons.push({ button: button, film: row, person: k, stars: String(stars) });
        return make("td", {}, [button]);
      })));
    });
    toy.replaceChildren(
      make("table", {}, [make("caption", {}, ["Choose a rating to hide."]), make("thead", {}, [head]),
        make("tbody", {}, rows)]),
      choice("toy-means", function (is) { leaky = is; show(); }), said
    );
    show();
  }

  // A film with more and more ratings: how much of the hidden one is in the mean.
  function buildSlider(toy) {
    var TRUTH = 5, OTHERS = 3;
    var slider = make("input", { type: "range", min: 1, max: MOST, value: 1, id: "toy-count" });
    var said = make("p", { class: "toy-said", role: "status" });
    var bars = ["leaky", "leak-free"].map(function (kind) {
      var bar = make("div", { class: "toy-bar " + kind });
      return { line: make("div", { class: "toy-line", "aria-hidden": "true" }, [make("span", {}, [kind]), bar]), bar: bar };
    });

    function show() {
      var n = Number(slider.value), leaky = OTHERS + (TRUTH - OTHERS) / n;
      [leaky, OTHERS].forEach(function (stars, k) {
        bars[k].bar.style.width = ((TRUTH - stars) / (TRUTH - OTHERS)) * 75 + "%";
        bars[k].bar.textContent = (TRUTH - stars).toFixed(2);
      });
      said.textContent = "With " + n + (n === 1 ? " rating, the hidden one, " : " ratings, the hidden one among them, ") +
        "the mean over all predicts " + leaky.toFixed(2) + ": an error of " + (TRUTH - leaky).toFixed(2) +
        " stars. Without it the error is " + (TRUTH - OTHERS).toFixed(2) + ".";
    }

    slider.addEventListener("input", show);
    toy.replaceChildren(
      make("label", { for: "toy-count" }, ["Ratings of the film"]), slider,
      make("p", { class: "toy-caption" }, ["Error for a hidden rating of 5 stars, where all others average 3"]),
      bars[0].line, bars[1].line, said
    );
    show();
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll(".leak-toy").forEach(build);
    document.querySelectorAll(".leak-slider").forEach(buildSlider);
  });
})();
