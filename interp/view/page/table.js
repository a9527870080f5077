// A table; the heads of its columns sort it.
views.table = (body, d) => {
  const numeric = d.columns.map((_, c) => d.rows.length > 0 && d.rows.every((r) => r[c] === "" || !Number.isNaN(Number(r[c].replace("−", "-")))));
  const rows = make("tbody");
  const heads = d.columns.map((name, c) => make("th", { scope: "col", class: numeric[c] && "number" }, make("button", { type: "button", onclick: () => sort(c) }, name)));
  let by = -1, down = false;
  const compare = (a, b) => (numeric[by] ? Number(a[by].replace("−", "-")) - Number(b[by].replace("−", "-")) : a[by] < b[by] ? -1 : a[by] > b[by] ? 1 : 0);
  function fill(list) {
    rows.replaceChildren(...list.map((r) => make("tr", {}, ...r.map((t, c) => make("td", { class: numeric[c] && "number" }, t)))));
  }
  function sort(c) {
    down = by === c ? !down : numeric[c];
    by = c;
    heads.forEach((h, i) => (i === c ? h.setAttribute("aria-sort", down ? "descending" : "ascending") : h.removeAttribute("aria-sort")));
    fill([...d.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b))));
  }
  fill(d.rows);
  body.append(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), rows)));
};
