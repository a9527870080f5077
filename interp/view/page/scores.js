// Layers × heads for one score at a time, of one run or two and their difference; and the
// heads where it is largest.
views.scores = (body, d) => {
  const layers = d.scores[0].values[0].length, heads = d.scores[0].values[0][0].length;
  const runs = d.runs.length === 2 ? d.runs : [d.runs[0] || ""];
  const about = make("p", { class: "about" });
  const panels = make("div", { class: "panels" });
  const rows = Array.from({ length: layers }, (_, l) => String(l));
  const columns = Array.from({ length: heads }, (_, h) => String(h));
  let score = d.scores[0];

  const say = (values, change) => (l, h) => {
    const x = values[l][h];
    const above = score.baseline && !change && x !== null ? `, ${signed(x - score.baseline)} against the baseline` : "";
    return `${headName(l, h, d.group)}  ${score.name} ${change ? signed(x) : number(x)}${above}`;
  };
  const minus = (a, b) => a.map((row, l) => row.map((v, h) => (v === null || b[l][h] === null ? null : v - b[l][h])));
  // matrices are what the panels show of the score: each run's values, and the difference.
  const matrices = () => {
    const shown = score.values.map((values) => [values, score.bounds, false]);
    if (runs.length === 2) shown.push([minus(score.values[1], score.values[0]), score.change, true]);
    return shown.map(([values, bounds, change]) => ({
      value: (l, h) => values[l][h], scale: scaleOf(bounds), say: say(values, change),
      baseline: change && score.baseline ? 0 : score.baseline || undefined, label: score.name + " by layer and head",
      frame: score.threshold && !change ? (l, h) => values[l][h] >= score.threshold : null,
    }));
  };
  const titles = runs.length === 2 ? [...runs, `${runs[1]} − ${runs[0]}`] : runs;
  const maps = matrices().map((m, i) => {
    const panel = make("div", { class: runs.length === 2 ? "panel third" : "panel" });
    if (titles[i]) panel.append(make("h3", {}, titles[i]));
    panels.append(panel);
    return heat(panel, {
      ...m, rows, columns, rowName: "layer", columnName: "head", group: d.group, digits: true, cell: [9, 58], height: 30, legend: true,
      hint: "Move over a head for its value.",
      pick: (l, h) => chosen.set(l, h), mark: () => [chosen.layer, chosen.head],
    });
  });
  const place = make("div", { class: "panel narrow" });
  panels.append(place);

  // list is a table of the heads with the largest values, or changes.
  function list() {
    const values = score.values[0], second = score.values[1];
    const weight = (l, h) => (second ? Math.abs(second[l][h] - values[l][h]) : score.bounds.low < 0 ? Math.abs(values[l][h]) : values[l][h]);
    const all = values.flatMap((row, l) => row.map((v, h) => [l, h])).filter(([l, h]) => values[l][h] !== null && (!second || second[l][h] !== null));
    all.sort((a, b) => weight(...b) - weight(...a));
    const head = second ? ["head", ...runs, "difference"] : ["head", score.name];
    const table = make("table", { class: "list" }, make("thead", {}, make("tr", {}, ...head.map((t, i) => make("th", { class: i && "number" }, t)))));
    const rest = make("tbody");
    for (const [l, h] of all.slice(0, 10)) {
      const cells = second ? [number(values[l][h]), number(second[l][h]), signed(second[l][h] - values[l][h])] : [number(values[l][h])];
      const over = score.threshold && !second && values[l][h] >= score.threshold;
      rest.append(make("tr", { class: over && "over" },
        make("td", {}, make("button", { type: "button", onclick: () => chosen.set(l, h) }, headName(l, h, d.group))),
        ...cells.map((t) => make("td", { class: "number" }, t))));
    }
    table.append(rest);
    return [make("h3", {}, second ? "Largest changes" : score.bounds.low < 0 ? "Largest in size" : "Largest"), table];
  }

  function show(i) {
    score = d.scores[i];
    about.textContent = [score.about, score.threshold ? `Heads of ${number(score.threshold)} and more have a frame.` : ""].filter(Boolean).join(" ");
    matrices().forEach((m, j) => maps[j].change(m));
    place.replaceChildren(...list());
  }

  if (d.scores.length > 1) body.append(choices("score", d.scores.map((s) => s.name), show));
  body.append(about, panels);
  show(0);
  chosen.listeners.push(() => maps.forEach((m) => m.follow()));
};
