// What the theme's pages lack for some of their readers. It runs in the head, before the theme's own script.
(function () {
  "use strict";

  // On a first visit the theme knows no mode: it reports an error, and colours come late. The system's are the default.
  var root = document.documentElement;
  if (!root.dataset.mode) root.dataset.mode = "auto";
  if (!/^(light|dark)$/.test(root.dataset.theme)) {
    root.dataset.theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  // A page from a file may not read the others for the lines around a word that it finds.
  if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  function each(selector, mend) {
    document.querySelectorAll(selector).forEach(mend);
  }

  // A figure is wide if its letters would be too small on a phone: it scrolls there. What scrolls is in reach of the
  // keyboard; the theme sees to that elsewhere, not in captioned tables, wide figures and code that is unfolded later.
  function reach() {
    each("figure img", function (image) {
      var figure = image.closest("figure");
      if (image.naturalWidth > 850 || /^fig-(explore|served)/.test(figure.id)) figure.classList.add("wide");
    });
    each("figure.output-table .output, figure.wide, .cell_input pre", function (element) {
      element.tabIndex = element.scrollWidth > element.clientWidth ? 0 : -1;
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    // A name that differs from the words on a control is of no use to those who speak to their computer.
    each("summary[aria-label], .search-button-field", function (element) {
      element.removeAttribute("aria-label");
    });
    // The same for the button that changes the colours, whose icons say which are on.
    each(".theme-switch-button", function (button) {
      button.removeAttribute("aria-label");
    });
    each(".theme-switch", function (icon) {
      var words = "Colour mode: " + (icon.dataset.mode === "auto" ? "the system's" : icon.dataset.mode);
      var title = icon.querySelector("title"); // of an icon that is drawn already
      if (title) title.textContent = words;
      else icon.setAttribute("title", words);
    });
    // References are a list of items, not of a role that browsers no longer know.
    each("[role=doc-biblioentry]", function (element) {
      element.setAttribute("role", "listitem");
    });
    // The corner of a table heads nothing.
    each("th", function (element) {
      if (!element.textContent.trim()) element.setAttribute("role", "cell");
    });
    each(".sidebar-primary-item:not(:has(nav))", function (element, k) {
      element.setAttribute("role", "region");
      element.setAttribute("aria-label", k ? "Search" : "Title");
    });
    new ResizeObserver(reach).observe(document.body);
  });
})();
