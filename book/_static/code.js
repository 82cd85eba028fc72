// A page's code is folded under one link, at the head of the page. Without scripts each cell has a link of its own.
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    var cells = document.querySelectorAll(".cell.tag_hide-input, .cell.tag_injected-parameters");
    var title = document.querySelector("article h1");
    if (!cells.length || !title) return;

    var page = document.documentElement;
    var button = document.createElement("button");
    button.type = "button";
    button.className = "code-link";

    function show(shown) {
      page.classList.toggle("code-hidden", !shown);
      cells.forEach(function (cell) {
        var details = cell.querySelector("details.above-input");
        if (details) details.open = shown;
      });
      button.setAttribute("aria-expanded", String(shown));
      button.textContent = shown ? "Hide the code" : "Show the code";
    }

    button.addEventListener("click", function () {
      show(page.classList.contains("code-hidden"));
    });
    show(false);
    title.insertAdjacentElement("afterend", button);
  });
})();
