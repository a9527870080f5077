// A line chart with a cursor.
views.lines = (body, d) => {
  const colours = [["#2470b0", "#6cb2f0"], ["#cf5a2b", "#f08a58"], ["#3b8f52", "#74cf8c"], ["#8657b5", "#bd94ea"], ["#8c6d1f", "#d6b657"], ["#5c6570", "#a9b2bc"]];
  const colour = (i) => colours[i % colours.length][isDark() ? 1 : 0];
  const key = make("div", { class: "key" });
  const plot = make("div", { class: "plot", tabindex: 0, role: "img", "aria-label": `line chart of ${d.yName} by ${d.xName}; arrow keys move along it` });
  const output = make("output", { "aria-live": "polite" });
  body.append(key, plot, output);
  let at = null, draw, width = 0;
  const n = d.x.length;
  const values = d.series.flatMap((s) => s.values).filter((v) => v !== null);
  let [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [values[0] ?? 0, values[0] ?? 0]);
  if (low > 0 && low < high * 0.7) low = 0;
  if (low === high) high = low + 1;
  // Ticks at 1, 2 or 5 times a power of ten.
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((f) => f * power >= rough) * power;
  const ticks = [];
  low = Math.floor(low / unit + 1e-9) * unit;
  high = Math.ceil(high / unit - 1e-9) * unit;
  for (let v = low; v <= high + unit / 2; v += unit) ticks.push(v);
  const digits = Math.max(0, -Math.floor(Math.log10(unit) + 1e-9));
  const tick = (v) => (digits > 4 ? v.toExponential(0) : v.toFixed(digits)).replace("-", "−");

  const left = 58, right = 14, top = 24, bottom = 40, height = 280;
  const x = (i) => left + (n > 1 ? (i / (n - 1)) * (width - left - right) : (width - left - right) / 2);
  const y = (v) => height - bottom - ((v - low) / (high - low)) * (height - top - bottom);
  const text = (s, px, py, anchor) => svg("text", { x: px, y: py, "text-anchor": anchor }, s);
  draw = () => {
    width = plot.clientWidth - 6;
    if (width <= 0) return;
    const e = svg("svg", { width, height });
    for (const v of ticks) e.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: y(v), y2: y(v) }), text(tick(v), left - 8, y(v) + 4, "end"));
    const least = (n * Math.max(28, ...d.x.map((s) => s.length * 7.5 + 8))) / (width - left - right);
    const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((s) => s >= least) ?? Math.ceil(least);
    for (let i = 0; i < n; i += every) e.append(text(d.x[i], x(i), height - bottom + 18, "middle"));
    e.append(text(d.yName, 2, 12, "start"), text(d.xName, (left + width - right) / 2, height - 5, "middle"));
    d.series.forEach((s, i) => {
      let path = "", pen = false;
      s.values.forEach((v, j) => {
        if (v !== null) path += `${pen ? "L" : "M"}${x(j)} ${y(v)}`;
        pen = v !== null;
      });
      e.append(svg("path", { class: "line", d: path, stroke: colour(i) }));
      if (n <= 40) s.values.forEach((v, j) => v !== null && e.append(svg("circle", { cx: x(j), cy: y(v), r: 3, fill: colour(i) })));
    });
    if (at !== null) {
      e.append(svg("line", { class: "cross", x1: x(at), x2: x(at), y1: top, y2: height - bottom }));
      d.series.forEach((s, i) => s.values[at] !== null && e.append(svg("circle", { cx: x(at), cy: y(s.values[at]), r: 5, fill: colour(i), stroke: style("--panel"), "stroke-width": 2 })));
    }
    plot.replaceChildren(e);
    key.replaceChildren(...(d.series.length > 1 || d.series[0].name ? d.series.map((s, i) => {
      const line = make("i");
      line.style.background = colour(i);
      return make("span", {}, line, s.name);
    }) : []));
    tell(output, at !== null && `${d.xName} ${d.x[at]}:   ${d.series.map((s) => `${s.name} ${number(s.values[at])}`).join("   ")}`, "Move over the chart for values.");
  };
  const look = (i) => {
    if (i === at) return;
    at = i;
    draw();
  };
  plot.addEventListener("pointermove", (e) => look(clamp(Math.round(((e.clientX - plot.getBoundingClientRect().left - left) / (width - left - right)) * (n - 1)), 0, n - 1)));
  plot.addEventListener("pointerleave", () => look(null));
  plot.addEventListener("keydown", (e) => {
    const by = step(e);
    if (by) look(clamp(at === null ? 0 : at + (by[1] || by[0]), 0, n - 1));
    else if (e.key === "Escape") look(null);
    else return;
    e.preventDefault();
  });
  onWidth(plot, draw);
  redraws.push(draw);
};
