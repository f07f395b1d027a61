// What a report does beyond showing: the before/after slider, the gallery's order and filter, values of curves under the
// pointer, and the sample grids by step. Plain JavaScript, nothing is fetched.
"use strict";

const format = (value) => {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e6) return value.toFixed(0);
  return size >= 1e-4 && size < 1e6 ? value.toPrecision(4) : value.toExponential(2);
};
const parse = (element, name) => JSON.parse(element.dataset[name]);

// The gallery: a stage with one image, and the cards that choose it.

function gallery(root) {
  const find = (name) => root.querySelector(`[data-${name}]`);
  const picks = { left: root.querySelector('[data-pick="left"]'), right: root.querySelector('[data-pick="right"]') };
  const tags = { left: root.querySelector('[data-tag="left"]'), right: root.querySelector('[data-tag="right"]') };
  const images = { left: find("before"), right: find("after") };
  const slider = find("slider"), split = find("split"), filter = find("filter"), sort = find("sort");
  const wanted = { left: root.dataset.left, right: root.dataset.right };
  const collator = new Intl.Collator(undefined, { numeric: true });
  const sections = [...root.querySelectorAll("section[data-direction]")].map((element) => ({
    element,
    list: element.querySelector(".cards"),
    figures: parse(element, "figures"),
    better: parse(element, "better"),
    cards: [...element.querySelectorAll("[data-card]")].map((button) => ({
      button,
      item: button.parentElement,
      name: button.dataset.name,
      figures: parse(button, "figures"),
      shots: new Map(parse(button, "shots")),
      score: button.querySelector("[data-score]"),
    })),
    current: null,
    order: "",
  }));
  let section = sections[0];

  const shown = () => section.cards.filter((card) => !card.item.hidden);

  function options() {
    const orders = section.figures.flatMap((name) => {
      const better = section.better[name];
      const ends = better ? ["worst", "best"] : ["lowest", "highest"];
      const up = (end) => (end === "lowest" || end === (better === "higher" ? "worst" : "best") ? 1 : -1);
      return ends.map((end) => ({ text: `${name}, ${end} first`, value: JSON.stringify([name, up(end)]) }));
    });
    orders.push({ text: "name", value: '["",1]' });
    sort.replaceChildren(...orders.map((order) => new Option(order.text, order.value)));
    sort.value = section.order || orders[0].value;
  }

  function arrange() {
    section.order = sort.value;
    const [name, up] = JSON.parse(sort.value);
    const value = (card) => (name in card.figures ? card.figures[name] : null);
    section.cards.sort((one, other) => {
      if (!name) return collator.compare(one.name, other.name);
      const [x, y] = [value(one), value(other)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (x - y) * up || collator.compare(one.name, other.name);
    });
    section.list.append(...section.cards.map((card) => card.item));
    for (const card of section.cards) {
      card.score.textContent = name && value(card) !== null ? format(value(card)) : "";
    }
    select();
  }

  function select() {
    const text = filter.value.trim().toLowerCase();
    for (const card of section.cards) card.item.hidden = !card.name.toLowerCase().includes(text);
    const there = shown();
    section.element.querySelector("[data-none]").hidden = there.length > 0;
    find("count").textContent = text ? `${there.length} of ${section.cards.length}` : `${there.length} images`;
    if (there.length && !there.includes(section.current)) show(there[0]);
  }

  function show(card, { focus = false } = {}) {
    if (section.current) {
      section.current.button.tabIndex = -1;
      section.current.button.removeAttribute("aria-current");
    }
    section.current = card;
    card.button.tabIndex = 0;
    card.button.setAttribute("aria-current", "true");
    if (focus) card.button.focus();
    for (const side of ["left", "right"]) {
      const labels = [...card.shots.keys()];
      if (picks[side].length !== labels.length || labels.some((label, i) => picks[side][i].value !== label)) {
        picks[side].replaceChildren(...labels.map((label) => new Option(label, label)));
      }
      const fallback = labels[side === "left" ? 0 : Math.min(1, labels.length - 1)];
      picks[side].value = card.shots.has(wanted[side]) ? wanted[side] : fallback;
    }
    const small = Number(card.button.dataset.width) < 200;
    slider.classList.toggle("pixels", small);
    find("name").textContent = card.name;
    find("figures").replaceChildren(...Object.entries(card.figures).map(([name, value]) => {
      const row = document.createElement("div");
      const [term, figure] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, figure.textContent] = [name, format(value)];
      row.append(term, figure);
      return row;
    }));
    paint();
  }

  function paint() {
    const card = section.current;
    for (const side of ["left", "right"]) {
      const label = picks[side].value;
      images[side].src = card.shots.get(label);
      images[side].width = card.button.dataset.width;
      images[side].height = card.button.dataset.height;
      images[side].alt = `${label}: ${card.name}`;
      tags[side].textContent = label;
    }
    find("file").href = card.shots.get(picks.right.value);
  }

  function move(by, focus) {
    const there = shown();
    const place = there.indexOf(section.current) + by;
    if (place >= 0 && place < there.length) show(there[place], { focus });
  }

  function slide() {
    slider.style.setProperty("--split", `${split.value}%`);
    split.setAttribute("aria-valuetext", `${Math.round(split.value)} % ${picks.left.value}`);
  }

  const columns = () => getComputedStyle(section.list).gridTemplateColumns.split(" ").length;
  const narrow = () => window.matchMedia("(max-width: 900px)").matches;

  for (const part of sections) {
    for (const card of part.cards) {
      card.button.addEventListener("click", () => {
        show(card);
        if (narrow()) find("stage").scrollIntoView({ block: "start" });
      });
    }
    part.list.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
      if (event.key in steps) {
        event.preventDefault();
        move(steps[event.key], true);
      }
    });
  }
  for (const side of ["left", "right"]) {
    picks[side].addEventListener("change", () => {
      wanted[side] = picks[side].value;
      paint();
    });
  }
  find("swap").addEventListener("click", () => {
    [wanted.left, wanted.right] = [picks.right.value, picks.left.value];
    show(section.current);
  });
  split.addEventListener("input", slide);
  filter.addEventListener("input", select);
  sort.addEventListener("change", arrange);
  for (const button of root.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => move(Number(button.dataset.move), false));
  }
  for (const choice of root.querySelectorAll('input[name="direction"]')) {
    choice.addEventListener("change", () => {
      section = sections.find((part) => part.element.dataset.direction === choice.value);
      for (const part of sections) part.element.hidden = part !== section;
      options();
      arrange();
      if (section.current) show(section.current);
    });
  }
  for (const part of sections) {
    const [card] = part.cards;
    part.element.classList.toggle("pixels", Boolean(card) && Number(card.button.dataset.width) < 200);
  }
  options();
  arrange();
  slide();
}

// Curves: the values at the step under the pointer, or by the arrow keys.

function chart(root) {
  const svg = root.querySelector("svg"), cursor = root.querySelector(".cursor"), said = root.querySelector("[data-step]");
  const lines = [...root.querySelectorAll("polyline")].map((element, place) => ({
    steps: parse(element, "steps"),
    values: parse(element, "values"),
    points: element.getAttribute("points").split(" ").map((point) => point.split(",").map(Number)),
    text: root.querySelector(`[data-value="${place}"]`),
  }));
  const longest = lines.reduce((one, other) => (other.steps.length > one.steps.length ? other : one));
  let place = longest.steps.length - 1;

  function at(step) {
    for (const line of lines) {
      let near = 0;
      line.steps.forEach((other, i) => { if (Math.abs(other - step) < Math.abs(line.steps[near] - step)) near = i; });
      line.text.textContent = format(line.values[near]);
    }
    said.textContent = `step ${step}`;
  }

  function show(number) {
    place = Math.max(0, Math.min(longest.steps.length - 1, number));
    const [x] = longest.points[place];
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    at(longest.steps[place]);
  }

  function rest() {
    cursor.setAttribute("visibility", "hidden");
    place = longest.steps.length - 1;
    at(longest.steps[place]);
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    let near = 0;
    longest.points.forEach((point, i) => { if (Math.abs(point[0] - x) < Math.abs(longest.points[near][0] - x)) near = i; });
    show(near);
  });
  svg.addEventListener("pointerleave", rest);
  svg.addEventListener("blur", rest);
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: longest.steps.length - 1 };
    if (event.key in moves) {
      event.preventDefault();
      show(moves[event.key]);
    }
  });
}

// Sample grids: one at a time, chosen by a slider; its neighbors are loaded beforehand.

function scrub(root) {
  const files = parse(root, "files");
  const slider = root.querySelector("[data-scrubber]"), image = root.querySelector("[data-image]");
  const link = root.querySelector("[data-link]"), said = root.querySelector("[data-step]");
  slider.addEventListener("input", () => {
    const place = Number(slider.value);
    const [step, file] = files[place];
    image.src = link.href = file;
    image.alt = `Sample grid at step ${step}`;
    said.textContent = step;
    slider.setAttribute("aria-valuetext", `step ${step}`);
    for (const near of [files[place - 1], files[place + 1]]) {
      if (near) new Image().src = near[1];
    }
  });
  slider.value = files.length - 1; // a browser keeps what stood there before a reload
}

document.querySelectorAll("[data-gallery]").forEach(gallery);
document.querySelectorAll("[data-chart]").forEach(chart);
document.querySelectorAll("[data-scrub]").forEach(scrub);
