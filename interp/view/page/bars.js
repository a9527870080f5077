// A bar for each value, in the order given or by size.
views.bars = (body, d) => {
  const rows = make("div", { class: "rows", role: "list", tabindex: 0, "aria-label": "bars" });
  const low = Math.min(0, ...d.values), high = Math.max(0, ...d.values);
  const percent = (v) => ((v - low) / (high - low || 1)) * 100;
  const show = (i) => {
    const order = d.values.map((_, j) => j);
    if (i) order.sort((a, b) => Math.abs(d.values[b]) - Math.abs(d.values[a]));
    rows.replaceChildren(...order.flatMap((j) => {
      const v = d.values[j] ?? 0;
      const bar = make("i", { class: v < 0 ? "negative" : "" });
      bar.style.left = percent(Math.min(0, v)) + "%";
      bar.style.width = percent(Math.max(0, v)) - percent(Math.min(0, v)) + "%";
      const track = make("div", { class: "track", "aria-hidden": "true" }, bar);
      track.style.backgroundPositionX = percent(0) + "%";
      return [make("div", {}, d.names[j]), track, make("div", { class: "value" }, low < 0 ? signed(d.values[j]) : number(d.values[j]))];
    }));
  };
  const sum = d.values.reduce((a, b) => a + (b ?? 0), 0);
  body.append(choices("order", ["in order", "by size"], show), rows,
    make("p", { class: "note" }, `${d.values.length} values, sum ${number(sum)}${d.unit ? " " + d.unit : ""}.`));
  show(0);
};
