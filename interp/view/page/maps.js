// Heat maps with named rows and columns: one, two beside each other, or many small ones.
views.maps = (body, d) => {
  const many = d.maps.length > 2;
  const box = make("div", { class: many ? "small" : "panels" });
  const output = many ? make("output", { "aria-live": "polite" }) : undefined;
  body.append(...(many ? [output, box] : [box]));
  d.maps.forEach((m, i) => {
    const e = make("div", { class: "panel" });
    if (m.title) e.append(make("h3", {}, m.title));
    box.append(e);
    heat(e, {
      rows: m.rows, columns: m.columns, rowName: m.rowName, columnName: m.columnName, group: m.group, digits: true,
      cell: [2, many ? 26 : 40], height: many ? 20 : 26, square: m.rows.length > 12 && m.columns.length > 12, label: m.title,
      hint: "Move over a cell for its value.", output, legend: !d.same, baseline: m.baseline || undefined,
      scale: scaleOf(m.bounds), value: (r, c) => m.values[r][c],
      say: (r, c) => `${many ? m.title + ", " : ""}${m.rowName} ${m.rows[r]}, ${m.columnName} ${m.columns[c]}: ${number(m.values[r][c])}`,
    });
  });
  if (!d.same) return;
  const place = make("div", { class: "note" });
  body.append(place);
  const paint = () => place.replaceChildren(legend(scaleOf(d.maps[0].bounds), d.maps[0].baseline || undefined));
  paint();
  redraws.push(paint);
};
