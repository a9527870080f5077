// The logit lens: a row for each layer, last on top, a column for each position.
views.lens = (body, d) => {
  const output = make("output", { "aria-live": "polite" });
  const table = make("table");
  const place = make("div");
  const unit = scaleOf({ low: 0, high: 1 });
  const colours = [["the likeliest token’s probability", (l, t) => d.rows[l][t].p[0]]];
  if (d.targets) colours.push(["the next token’s probability", (l, t) => d.target[l][t]]);
  const order = d.layers.map((_, l) => l).reverse();
  const cells = [];
  let colour = 0, at = null, stop = [0, 0];

  const header = (name, tokens) => make("tr", {}, make("th", { scope: "row" }, name), ...tokens.map((t) => make("th", { scope: "col" }, make("span", { class: "token", title: t }, t))));
  table.append(make("thead", {}, header("input", d.tokens)));
  const rows = make("tbody");
  order.forEach((l, r) => {
    const row = make("tr", {}, make("th", { scope: "row" }, d.layers[l]));
    cells.push(d.tokens.map((_, t) => {
      const { tokens, p } = d.rows[l][t];
      const right = d.targets && tokens[0] === d.targets[t];
      const cell = make("td", { tabindex: r || t ? -1 : 0, "data-r": r, "data-t": t },
        make("span", { class: "token" }, tokens[0]), make("small", {}, p[0].toFixed(2) + (right ? " ✓" : "")));
      row.append(cell);
      return cell;
    }));
    rows.append(row);
  });
  table.append(rows);
  if (d.targets) table.append(make("tfoot", {}, header("next", d.targets)));

  function say() {
    const [r, t] = at || [];
    if (!at) return tell(output, "", "Move over a cell for the likeliest tokens.");
    const { tokens, p } = d.rows[order[r]][t];
    const target = d.targets ? `   next: ${d.targets[t]} ${number(d.target[order[r]][t])}` : "";
    tell(output, `${d.layers[order[r]]}, after ${t} ${d.tokens[t]}:   ${tokens.map((s, i) => `${s} ${number(p[i])}`).join("   ")}${target}`);
  }
  function look(cell) {
    if (at) cells[at[0]][at[1]].classList.remove("at");
    at = cell;
    if (at) cells[at[0]][at[1]].classList.add("at");
    say();
  }
  const cellOf = (e) => {
    const c = e.target.closest?.("td");
    return c && [Number(c.dataset.r), Number(c.dataset.t)];
  };
  table.addEventListener("pointerover", (e) => look(cellOf(e)));
  table.addEventListener("pointerleave", () => look(null));
  table.addEventListener("focusin", (e) => look(cellOf(e)));
  table.addEventListener("keydown", (e) => {
    const by = step(e);
    if (!by) return;
    e.preventDefault();
    const next = [clamp(stop[0] + by[0], 0, cells.length - 1), clamp(stop[1] + by[1], 0, d.tokens.length - 1)];
    cells[stop[0]][stop[1]].tabIndex = -1;
    stop = next;
    cells[stop[0]][stop[1]].tabIndex = 0;
    cells[stop[0]][stop[1]].focus();
  });
  function paint(i = colour) {
    colour = i;
    place.replaceChildren(legend(unit));
    cells.forEach((row, r) => row.forEach((cell, t) => {
      const v = colours[colour][1](order[r], t) ?? 0;
      cell.style.backgroundColor = unit.css(v);
      cell.style.color = unit.ink(v);
    }));
  }
  if (colours.length > 1) body.append(choices("what the colours are", colours.map((c) => c[0]), paint));
  body.append(make("div", { class: "scroll" }, table), output, place);
  if (d.targets) body.append(make("p", { class: "note" }, "✓: the likeliest token is the one that comes next."));
  paint();
  say();
  redraws.push(() => paint());
};
