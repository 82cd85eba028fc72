// Names for screen readers: ipywidgets' sliders have none. Each control gets its widget's label, and a slider's
// handle what its readout says; both follow when they change.
(function () {
  "use strict";

  function set(element, name, value) {
    // Setting what is there already would call the observer for ever.
    if (value && element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  function nameAll() {
    // What changes there is said: the picture of a setting, and what goes on.
    document.querySelectorAll(".explorer-live").forEach(function (element) {
      set(element, "aria-live", "polite");
    });
    document.querySelectorAll(".jupyter-widgets, .widget-inline-hbox").forEach(function (widget) {
      var label = widget.querySelector(":scope > .widget-label");
      var name = label && label.textContent.trim();
      if (!name) return;
      var readout = widget.querySelector(":scope > .widget-readout");
      var handles = widget.querySelectorAll(".noUi-handle");
      handles.forEach(function (handle, k) {
        set(handle, "aria-label", handles.length > 1 ? name + (k ? ", to" : ", from") : name);
        if (readout) set(handle, "aria-valuetext", readout.textContent.trim());
      });
      if (readout && readout.isContentEditable) {
        set(readout, "role", "textbox");
        set(readout, "aria-label", name);
      }
      widget.querySelectorAll("select, input:not([type=hidden])").forEach(function (control) {
        if (!control.labels || !control.labels.length) set(control, "aria-label", name);
      });
    });
  }

  function start() {
    nameAll();
    new MutationObserver(nameAll).observe(document.body, {
      subtree: true,
      childList: true,
      characterData: true,
      attributes: true,
      attributeFilter: ["aria-valuetext"],
    });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
