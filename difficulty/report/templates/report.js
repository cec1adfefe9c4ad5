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
      const [value, interval] = text(row.cells[Number(reading.dataset.column)]).split(" [");
      reading.textContent = value;
      if (interval) {
        const range = document.createElement("small");
        range.textContent = " [" + interval;
        reading.append(range);
      }
    });
    const inUse = explorer.dataset.chosen !== "" && slider.value === explorer.dataset.chosen;
    const said = names.slice(0, 4).map((name, place) => name + " " + text(row.cells[place]).split(" [")[0]);
    output.textContent = said.join(", ") + (inUse ? ". This is the threshold in use." : ".");
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

  const button = explorer.querySelector("button");
  if (button) {
    button.addEventListener("click", () => {
      slider.value = explorer.dataset.chosen;
      show();
    });
  }
  slider.addEventListener("input", show);
  explorer.querySelector(".controls").hidden = false;
  show();
}
