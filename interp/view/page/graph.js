// A circuit: nodes in rows, the input at the bottom; the edges of largest weight.
views.graph = (body, d) => {
  const weights = d.weights.map((w) => w ?? 0);
  const order = weights.map((_, i) => i).sort((a, b) => Math.abs(weights[b]) - Math.abs(weights[a]));
  const largest = Math.abs(weights[order[0]] ?? 0) || 1;
  const plot = make("div", { class: "plot" });
  const output = make("output", { "aria-live": "polite" });
  const count = make("span");
  const slider = make("input", { type: "range", min: Math.min(1, order.length), max: order.length, value: Math.min(40, order.length), "aria-label": "edges shown", oninput: () => draw() });
  body.append(make("div", { class: "toolbar" }, make("label", {}, "edges", slider, count)),
    make("div", { class: "key" }, ...[["--positive", "positive"], ["--negative", "negative"]].map(([c, name]) => {
      const line = make("i");
      line.style.background = `var(${c})`;
      return make("span", {}, line, name);
    })), plot, output);
  const hint = "Move over a node or an edge, or Tab to a node, for the weights.";
  const unit = d.unit ? " " + d.unit : "";
  const edgeText = (i) => `${d.nodes[d.edges[i][0]].name} → ${d.nodes[d.edges[i][1]].name} ${signed(weights[i])}`;

  function draw() {
    const shown = order.slice(0, Number(slider.value));
    count.textContent = `${shown.length} of ${order.length}, ${shown.length ? `|weight| ≥ ${number(Math.abs(weights[shown[shown.length - 1]]))}` : ""}`;
    const used = [...new Set(shown.flatMap((i) => d.edges[i]))].sort((a, b) => a - b);
    const levels = [...new Set(used.map((i) => d.nodes[i].row))].sort((a, b) => a - b);
    const rows = levels.map((r) => used.filter((i) => d.nodes[i].row === r));
    const widths = d.nodes.map((n) => Math.max(44, n.name.length * 7.6 + 18));
    const need = Math.max(0, ...rows.map((r) => r.reduce((sum, i) => sum + widths[i] + 14, 0)));
    const width = Math.max(plot.clientWidth - 8, need), height = levels.length * 64;
    const place = new Map();
    const spread = (row, r) => {
      const total = row.reduce((sum, i) => sum + widths[i], 0), gap = Math.min(60, (width - total) / (row.length + 1));
      // MLPs stand to the right of the heads, and rows of heads are out of step, so that
      // edges pass between nodes.
      const single = row.length === 1 && d.nodes[row[0]].kind === "mlp";
      let px = single ? Math.min(width - widths[row[0]], width / 2 + need * 0.9 + 40) : (width - total - gap * (row.length - 1)) / 2 + (row.length > 1 ? (r % 4 < 2 ? -14 : 14) : 0);
      for (const i of row) {
        place.set(i, [px + widths[i] / 2, height - 34 - r * 64]);
        px += widths[i] + gap;
      }
    };
    rows.forEach(spread);
    // Twice, each row is ordered by where its neighbours are: fewer edges cross.
    for (let sweep = 0; sweep < 4; sweep++) {
      rows.forEach((row, r) => {
        const middle = new Map(row.map((i) => {
          const near = shown.filter((e) => d.edges[e][sweep % 2 ? 0 : 1] === i).map((e) => place.get(d.edges[e][sweep % 2 ? 1 : 0])[0]);
          return [i, near.length ? near.reduce((a, b) => a + b, 0) / near.length : place.get(i)[0]];
        }));
        row.sort((a, b) => middle.get(a) - middle.get(b));
        spread(row, r);
      });
    }
    const e = svg("svg", { width, height, role: "group", "aria-label": "circuit" });
    const paths = new Map(), boxes = new Map();
    const light = (test, at) => {
      paths.forEach((p, i) => p.classList.toggle("dimmed", test !== null && !test(i)));
      const near = new Set(shown.filter((i) => !test || test(i)).flatMap((i) => d.edges[i]));
      boxes.forEach((b, i) => {
        b.classList.toggle("dimmed", test !== null && !near.has(i));
        b.classList.toggle("at", i === at);
      });
    };
    const off = () => {
      light(null);
      tell(output, "", hint);
    };
    for (const i of [...shown].reverse()) {
      const [[x1, y1], [x2, y2]] = d.edges[i].map((v) => place.get(v));
      const bend = Math.max(26, (y1 - y2) * 0.4);
      const p = svg("path", {
        class: "edge" + (weights[i] < 0 ? " negative" : ""), "stroke-width": 0.75 + (5 * Math.abs(weights[i])) / largest,
        d: `M${x1} ${y1 - 13}C${x1} ${y1 - 13 - bend} ${x2} ${y2 + 13 + bend} ${x2} ${y2 + 13}`,
        onpointerenter: () => {
          light((j) => j === i);
          tell(output, edgeText(i) + unit);
        },
        onpointerleave: off,
      });
      paths.set(i, p);
      e.append(p);
    }
    for (const i of used) {
      const [px, py] = place.get(i), n = d.nodes[i];
      const on = () => {
        light((j) => d.edges[j].includes(i), i);
        tell(output, shown.filter((j) => d.edges[j].includes(i)).slice(0, 8).map(edgeText).join("   ") + unit);
      };
      const kind = ["head", "mlp"].includes(n.kind) ? n.kind : "other";
      const box = svg("g", { class: "node " + kind, tabindex: 0, role: "img", "aria-label": n.name, onpointerenter: on, onpointerleave: off, onfocus: on, onblur: off },
        svg("rect", { x: px - widths[i] / 2, y: py - 13, width: widths[i], height: 26, rx: kind === "head" ? 13 : 5 }), svg("text", { x: px, y: py }, n.name));
      boxes.set(i, box);
      e.append(box);
    }
    plot.replaceChildren(e);
    off();
  }
  onWidth(plot, draw);
};
