"use strict";
// Figures say their numbers where they are pointed at, or with the arrow keys.
for (const figure of document.querySelectorAll("figure[data-hover]")) {
  const hover = JSON.parse(figure.dataset.hover), marks = hover.marks || [];
  const svg = figure.querySelector("svg"), says = figure.querySelector("output");
  if (!marks.length) continue;
  const make = (name, attributes) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    return e;
  };
  const layer = svg.appendChild(make("g", {}));
  let at = -1;

  const hide = () => {
    at = -1;
    layer.replaceChildren();
    says.hidden = true;
  };
  const show = (i) => {
    if (i === at) return;
    at = i;
    const m = marks[i], box = svg.viewBox.baseVal;
    layer.replaceChildren();
    if (hover.byX) layer.append(make("line", {class: "cursor", x1: m.x, x2: m.x, y1: hover.top, y2: hover.bottom}));
    for (const [y, color] of m.dots || []) layer.append(make("circle", {class: "halo c" + color, cx: m.x, cy: y, r: 5}));
    says.textContent = m.text;
    says.hidden = false;
    const scale = svg.clientWidth / box.width, gap = 14;
    const y = m.dots && m.dots.length ? m.dots[0][0] : box.height / 2;
    let left = m.x * scale + gap;
    if (left + says.offsetWidth > svg.clientWidth) left = m.x * scale - gap - says.offsetWidth;
    const low = svg.clientHeight - says.offsetHeight;
    says.style.left = Math.max(0, left) + "px";
    says.style.top = Math.max(0, Math.min(low, y * scale - says.offsetHeight / 2)) + "px";
  };
  const nearest = (x, y) => {
    let best = 0, least = Infinity;
    marks.forEach((m, i) => {
      for (const [my] of m.dots || []) {
        const d = hover.byX ? Math.abs(m.x - x) : Math.hypot(m.x - x, my - y);
        if (d < least) [best, least] = [i, d];
      }
    });
    return hover.byX || least < 40 ? best : -1;
  };
  svg.addEventListener("pointermove", (e) => {
    const r = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / r.width;
    const i = nearest((e.clientX - r.left) * scale, (e.clientY - r.top) * scale);
    if (i < 0) hide(); else show(i);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.setAttribute("tabindex", "0");
  svg.addEventListener("keydown", (e) => {
    const step = {ArrowLeft: -1, ArrowRight: 1, Home: -marks.length, End: marks.length}[e.key];
    if (!step) return;
    e.preventDefault();
    show(Math.max(0, Math.min(marks.length - 1, (at < 0 ? (step < 0 ? marks.length : -1) : at) + step)));
  });
}
// Tables are sorted by the column whose head is clicked.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const order = (a, b) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        const d = isNaN(a) || isNaN(b) ? (a < b) - (a > b) : b - a;
        return down ? d : -d;
      };
      body.append(...[...body.rows].sort((a, b) => order(key(a), key(b))));
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (e) => { if (e.key === "Enter") sort(); });
  });
}
