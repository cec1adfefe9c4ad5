"use strict";
// The disc shows cells of the table below it: every figure of the curve is written once, by Python.
for (const moving of document.querySelectorAll(".moving")) {
  const slider = moving.querySelector("input");
  const plot = moving.querySelector(".plot");
  const disc = plot.querySelector(".disc");
  const frame = plot.querySelector(".frame-area").getBBox();
  const section = moving.parentElement;
  const rows = Array.from(section.querySelectorAll("tbody.points tr"));
  const spots = rows.map((row) => [Number(row.dataset.x), Number(row.dataset.y)]);
  const readings = moving.querySelectorAll("[data-column]");
  const buttons = moving.querySelectorAll("button");
  const output = moving.querySelector("output");
  const text = (cell) => cell.textContent;

  const show = () => {
    const place = Number(slider.value);
    const row = rows[place];
    const said = [];
    readings.forEach((reading) => {
      const [value, range] = text(row.cells[Number(reading.dataset.column)]).split(" (");
      reading.querySelector(".now").textContent = value;
      const small = reading.querySelector("small");
      if (small) small.textContent = range ? "(" + range : "";
      said.push(reading.parentElement.querySelector("dt").textContent.trim() + " " + value);
    });
    const [x, y] = spots[place];
    disc.setAttribute("transform", "translate(" + x + " " + y + ")");
    disc.querySelector(".drop").setAttribute("d", "M0 0V" + (frame.y + frame.height - y) + "M0 0H" + (frame.x - x));
    disc.setAttribute("visibility", "visible");
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.row === slider.value)));
    const inUse = moving.dataset.chosen !== "" && slider.value === moving.dataset.chosen;
    output.textContent = said.join(", ") + (inUse ? ". This is the threshold in use." : ".");
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  const go = (place) => { slider.value = String(place); show(); };
  // The nearest point of the curve to where the pointer is.
  const follow = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    // Mostly by x: who drags seldom stays on the line.
    const far = ([x, y]) => Math.abs(x - at.x) + 0.05 * Math.abs(y - at.y);
    let best = 0;
    spots.forEach((spot, place) => { if (far(spot) < far(spots[best])) best = place; });
    go(best);
  };
  plot.addEventListener("pointerdown", (event) => {
    plot.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  plot.addEventListener("pointermove", (event) => { if (plot.hasPointerCapture(event.pointerId)) follow(event); });
  slider.addEventListener("input", show);
  slider.hidden = false;
  moving.querySelector(".controls").hidden = false;
  moving.classList.add("live");
  buttons.forEach((button) => button.addEventListener("click", () => go(button.dataset.row)));
  show();
}

// What is saved at the volume that is typed in; the words are those that Python writes.
for (const volume of document.querySelectorAll(".volume")) {
  const tile = volume.parentElement;
  const input = volume.querySelector("input");
  const typed = volume.querySelector(".typed");
  const value = tile.querySelector(".value");
  const meaning = tile.querySelector(".meaning");
  const about = tile.querySelector(".about");
  const first = { value: value.textContent, about: Array.from(about.childNodes), typed: input.value };
  const costs = meaning.textContent.replace(/^(saved|lost) a month/, "");
  const points = volume.dataset.points.split(";").filter(Boolean)
    .map((point) => point.split(",").map((number) => (number === "" ? null : Number(number))));

  const savedAt = (requests) => {
    let after = points.findIndex((point) => point[0] >= requests);
    if (after < 0) {
      if (!volume.dataset.goesOn) return null;
      after = points.length - 1;
    }
    const left = points[Math.max(0, after - 1)];
    const right = points[after];
    const width = right[0] - left[0];
    const part = width === 0 ? 0 : (requests - left[0]) / width;
    return [1, 2, 3].map((place) => (left[place] === null || right[place] === null
      ? null : left[place] + part * (right[place] - left[place])));
  };
  const decimals = (amounts) => {
    const largest = Math.max(...amounts.map(Math.abs));
    if (largest >= 100) return 0;
    return largest >= 0.095 || largest < 5e-7 ? 2 : 1 - Math.floor(Math.log10(largest));
  };
  // What is decided there: the saving's interval says whether it pays, Python said the rest.
  const screen = volume.closest(".screen");
  const answer = screen.querySelector(".answer");
  const why = screen.querySelector(".why");
  const decided = { tone: screen.className, answer: Array.from(answer.childNodes), why: Array.from(why.childNodes) };
  const restore = () => {
    screen.className = decided.tone;
    answer.replaceChildren(...decided.answer);
    why.replaceChildren(...decided.why);
  };
  const decide = (low, high, requests) => {
    const turned = screen.dataset[low > 0 ? "pays" : high <= 0 ? "loses" : "unsure"];
    if (!turned) return;
    const [tone, word, reason] = turned.split("|");
    screen.className = "screen " + tone;
    answer.replaceChildren(decided.answer[0], word);
    const code = document.createElement("code");
    code.textContent = screen.dataset.command.replace(/\bN\b/, String(Math.round(requests)));
    why.replaceChildren(reason + " ", code);
  };
  const digits = (amount, places) => amount.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });

  input.addEventListener("input", () => {
    const requests = Number(input.value.replace(/[\s,_']/g, ""));
    const bad = input.value.trim() === "" || !(requests >= 0) || !Number.isFinite(requests);
    input.setAttribute("aria-invalid", String(bad));
    if (bad || input.value === first.typed) {
      restore();
      value.textContent = bad ? "unknown" : first.value;
      if (bad) about.textContent = "type requests a month";
      else about.replaceChildren(...first.about);
      return;
    }
    const saved = savedAt(requests);
    if (saved === null || saved[0] === null) {
      restore();
      value.textContent = "unknown";
      about.textContent = "reckoned up to " + digits(points[points.length - 1][0], 0) + " requests";
      return;
    }
    const lost = saved[0] < 0;
    const [middle, low, high] = lost ? [-saved[0], saved[2] === null ? null : -saved[2], saved[1] === null ? null : -saved[1]] : saved;
    const known = low !== null && high !== null && low !== high;
    const places = decimals(known ? [middle, low, high] : [middle]);
    value.textContent = "USD " + digits(middle, places);
    about.textContent = (lost ? "lost" : "saved") + " a month" + costs
      + (known ? " (" + digits(low, places) + " to " + digits(high, places) + ")" : "")
      + (lost ? ". It does not pay at this volume." : "");
    // Without an interval the value is all that is known; half of one says nothing for sure.
    const bare = saved[1] === null && saved[2] === null;
    decide(saved[1] ?? (bare ? saved[0] : -1), saved[2] ?? (bare ? saved[0] : 1), requests);
  });
  typed.hidden = true;
  input.hidden = false;
}
