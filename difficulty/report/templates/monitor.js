"use strict";
// The slider shows cells of the table below it: every number on the page is written once, by Python.
for (const explorer of document.querySelectorAll(".explorer")) {
  const slider = explorer.querySelector("input");
  const rows = explorer.querySelectorAll("tbody.points tr");
  const readings = explorer.querySelectorAll("[data-column]");
  const output = explorer.querySelector("output");
  const names = Array.from(explorer.querySelectorAll(".readings dt"), (name) => name.textContent);
  const text = (cell) => (cell.querySelector("span") || cell).textContent;

  const show = () => {
    const row = rows[Number(slider.value)];
    readings.forEach((reading) => {
      const [value, range] = text(row.cells[Number(reading.dataset.column)]).split(/ (?=\()/);
      reading.textContent = value.replaceAll(" ", "\u00a0") || "no traffic";
      if (range) {
        const small = document.createElement("small");
        small.textContent = " " + range;
        reading.append(small);
      }
    });
    const said = names.map((name, place) => [name, text(row.cells[place]).split(" (")[0]]);
    output.textContent = said.filter(([, value]) => value).map((pair) => pair.join(": ")).join("; ") + ".";
    slider.setAttribute("aria-valuetext", output.textContent);
    for (const mark of document.querySelectorAll("[data-mark]")) {
      const place = row.getAttribute("data-" + mark.dataset.mark);
      if (place !== null) {
        mark.setAttribute("x1", place);
        mark.setAttribute("x2", place);
        mark.classList.add("shown");
      }
    }
  };

  slider.addEventListener("input", show);
  explorer.querySelector(".controls").hidden = false;
  show();
}
// On paper nothing can be unfolded.
const folds = () => document.querySelectorAll("details");
let folded = [];
addEventListener("beforeprint", () => {
  folded = Array.from(folds()).filter((fold) => !fold.open);
  folded.forEach((fold) => { fold.open = true; });
});
addEventListener("afterprint", () => { folded.forEach((fold) => { fold.open = false; }); });
