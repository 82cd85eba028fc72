// What the explorer's scripts share: elements, scales and axes of pictures, and what the page's address holds.
window.flexDraw = (function () {
  "use strict";

  var LEFT = 52, RIGHT = 14, TOP = 12, BOTTOM = 44; // pixels around the ground of a picture with two axes

  function make(name, attributes, children) {
    var svg = /^(svg|g|circle|line|text|title|path|polyline)$/.test(name);
    var element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    (children || []).forEach(function (child) { element.append(child); });
    return element;
  }

  // A function from values to pixels; what is outside lands on the nearer edge.
  function scale(low, high, first, last) {
    return function (value) {
      var share = (Math.min(Math.max(value, low), high) - low) / (high - low || 1);
      return Math.round(10 * (first + share * (last - first))) / 10;
    };
  }

  // About five round numbers.
  function ticks(low, high, whole) {
    var raw = (high - low) / 5, power = Math.pow(10, Math.floor(Math.log10(raw)));
    var step = [1, 2, 5, 10].map(function (k) { return k * power; }).find(function (one) { return one >= raw; });
    if (whole) step = Math.max(1, Math.round(step));
    var found = [];
    for (var k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k += 1) found.push(Number((k * step).toFixed(6)));
    return found;
  }

  // The ground of a picture: its size without what is around it, and the parts of one axis along and one upwards.
  // Each axis is {at: a scale, ticks: values, label: words}; without one upwards there are no lines across.
  function axes(width, height, along, upwards) {
    var low = height - BOTTOM, right = width - RIGHT, parts = [];
    along.ticks.forEach(function (tick) {
      var x = along.at(tick);
      parts.push(make("line", { x1: x, x2: x, y1: TOP, y2: low, class: "drawn-grid" }));
      parts.push(make("text", { x: x, y: low + 18, "text-anchor": "middle" }, [String(tick)]));
    });
    parts.push(make("text", { x: (LEFT + right) / 2, y: height - 6, "text-anchor": "middle" }, [along.label]));
    if (!upwards) return parts;
    upwards.ticks.forEach(function (tick) {
      var y = upwards.at(tick);
      parts.push(make("line", { x1: LEFT, x2: right, y1: y, y2: y, class: "drawn-grid" }));
      parts.push(make("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, [String(tick)]));
    });
    var middle = (TOP + low) / 2;
    parts.push(make("text", { transform: "translate(12 " + middle + ") rotate(-90)", "text-anchor": "middle" }, [upwards.label]));
    return parts;
  }

  function picture(width, height, name, parts) {
    return make("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": name }, parts);
  }

  // "lowers the RMSE by 0.090 stars"
  function worth(stars) {
    return (stars >= 0 ? "lowers" : "raises") + " the RMSE by " + Math.abs(stars).toFixed(3) + " stars";
  }

  // Only on a page of the book is the address ours to change.
  function inBook() {
    return Boolean(document.querySelector(".bd-article"));
  }

  // What the address holds of a part of the page, such as "#runs?run=7"; null where it holds something else.
  function recalled(part) {
    var start = "#" + part + "?";
    if (!inBook() || window.location.hash.indexOf(start) !== 0) return null;
    return new URLSearchParams(window.location.hash.slice(start.length));
  }

  function remember(part, values) {
    if (inBook()) window.history.replaceState(null, "", "#" + part + "?" + new URLSearchParams(values));
  }

  // Build each place of a class with the data that stand in it, once.
  function start(name, build) {
    function all() {
      document.querySelectorAll("." + name + "-explorer:not([data-built])").forEach(function (place) {
        place.dataset.built = "yes";
        build(place, JSON.parse(place.querySelector("script[type='application/json']").textContent));
      });
    }
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all);
    else all();
  }

  return { LEFT: LEFT, RIGHT: RIGHT, TOP: TOP, BOTTOM: BOTTOM, make: make, scale: scale, ticks: ticks, axes: axes,
    picture: picture, worth: worth, recalled: recalled, remember: remember, start: start };
})();
