// heat is a heat map on a canvas, with labels on both axes, a cursor that follows the
// pointer or the arrow keys, and a read-out.
//
// o: rows, columns (labels), rowName, columnName, value(r, c), scale, say(r, c),
// and optionally: pick(r, c) on click and Enter, mark() → the cell to mark, frame(r, c) →
// whether it has a frame, moved(r, c) or moved(), group, square, digits, cell: [least, most],
// height (most), label, output, hint, legend (whether it has one), baseline.
function heat(parent, o) {
  const plot = make("div", { class: "plot" });
  const canvas = make("canvas", { tabindex: 0, role: "img" });
  const output = o.output || make("output", { "aria-live": "polite" });
  const scale = make("div");
  const hint = o.hint || "Move over a cell for its value.";
  plot.append(canvas);
  parent.append(plot);
  if (!o.output) parent.append(output);
  parent.append(scale);
  let g; // the geometry
  let cells; // the bitmap
  let over = null; // the cell under the pointer
  let kept = null; // the cell of the last click or key

  function measure() {
    const ctx = canvas.getContext("2d");
    const rows = o.rows.length, columns = o.columns.length;
    const [least, most] = o.cell || [3, 44];
    const group = o.group > 1 ? o.group : columns;
    const gaps = Math.floor((columns - 1) / group) * 5;
    ctx.font = "12px " + style("--sans");
    const longest = (labels) => Math.min(132, Math.max(...labels.map((s) => ctx.measureText(s).width)));
    const wide = longest(o.rows), tall = longest(o.columns);
    const left = (o.rowName ? 20 : 0) + wide + 8;
    let cw = clamp((plot.clientWidth - 8 - left - gaps - 2) / columns, least, most);
    if (cw >= 3) cw = Math.floor(cw);
    const ch = o.square ? cw : Math.min(cw, o.height || cw);
    const upright = tall > cw - 3;
    const top = (o.columnName ? 20 : 0) + (upright ? tall : 14) + 6;
    const x = (c) => left + c * cw + Math.floor(c / group) * 5;
    const y = (r) => top + r * ch;
    return { rows, columns, group, cw, ch, upright, left, top, wide, tall, x, y, width: x(columns - 1) + cw + 2, height: y(rows) + 2 };
  }

  // clipped is a label that fits.
  function clipped(ctx, text, width) {
    if (ctx.measureText(text).width <= width) return text;
    let n = text.length;
    while (n > 1 && ctx.measureText(text.slice(0, n) + "…").width > width) n--;
    return text.slice(0, n) + "…";
  }

  function axes(ctx, at) {
    const size = (cell) => clamp(Math.floor(cell), 9, 12);
    const font = (cell, bold) => (bold ? "600 " : "") + size(cell) + "px " + style("--sans");
    const each = (n, cell, space, draw, hot) => {
      const every = Math.max(1, Math.ceil(space / cell));
      for (let i = 0; i < n; i += every) if (hot === undefined || every === 1 ? i !== hot : Math.abs(i - hot) * cell > space) draw(i, false);
      if (hot !== undefined) draw(hot, true);
    };
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    each(g.rows, g.ch, 9, (r, bold) => {
      ctx.font = font(g.ch, bold);
      ctx.fillStyle = style(bold ? "--ink" : "--faint");
      ctx.fillText(clipped(ctx, o.rows[r], g.wide), g.left - 6, g.y(r) + g.ch / 2);
    }, at?.[0]);
    each(g.columns, g.cw, g.upright ? 9 : g.tall + 4, (c, bold) => {
      ctx.font = font(g.upright ? g.cw : 12, bold);
      ctx.fillStyle = style(bold ? "--ink" : "--faint");
      ctx.save();
      ctx.translate(g.x(c) + g.cw / 2, g.top - 6);
      if (g.upright) ctx.rotate(-Math.PI / 2);
      ctx.textAlign = g.upright ? "left" : "center";
      ctx.textBaseline = g.upright ? "middle" : "alphabetic";
      ctx.fillText(clipped(ctx, o.columns[c], g.upright ? g.tall : Infinity), 0, 0);
      ctx.restore();
    }, at?.[1]);
    ctx.font = "12px " + style("--sans");
    ctx.fillStyle = style("--faint");
    if (o.columnName) {
      ctx.textAlign = "left";
      ctx.textBaseline = "top";
      ctx.fillText(o.columnName + " →", g.left, 1);
    }
    if (o.rowName) {
      ctx.save();
      ctx.translate(8, g.top);
      ctx.rotate(-Math.PI / 2);
      ctx.textAlign = "right";
      ctx.textBaseline = "middle";
      ctx.fillText("← " + o.rowName, 0, 0);
      ctx.restore();
    }
  }

  function outline(ctx, [r, c], color, width) {
    ctx.strokeStyle = color;
    ctx.lineWidth = width;
    ctx.strokeRect(g.x(c) + width / 2 - 1, g.y(r) + width / 2 - 1, g.cw + 2 - width, g.ch + 2 - width);
  }

  function draw() {
    if (!g) return;
    const at = over || kept;
    const ctx = sized(canvas, g.width, g.height);
    ctx.imageSmoothingEnabled = g.cw < 1 || g.ch < 1;
    for (let c = 0; c < g.columns; c += g.group) {
      const n = Math.min(g.group, g.columns - c);
      ctx.drawImage(cells, c, 0, n, g.rows, g.x(c), g.top, n * g.cw, g.rows * g.ch);
    }
    if (Math.min(g.cw, g.ch) >= 9) {
      ctx.fillStyle = style("--panel");
      for (let c = 0; c < g.columns; c++) ctx.fillRect(g.x(c) + g.cw - 1, g.top, 1, g.rows * g.ch);
      for (let r = 0; r < g.rows; r++) ctx.fillRect(g.left, g.y(r) + g.ch - 1, g.width, 1);
    }
    if (o.digits && g.cw >= 30 && g.ch >= 15) {
      ctx.font = "11px " + style("--sans");
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      for (let r = 0; r < g.rows; r++) for (let c = 0; c < g.columns; c++) {
        const v = o.value(r, c);
        if (v === null || v === undefined) continue;
        ctx.fillStyle = o.scale.ink(v);
        ctx.fillText(short(v), g.x(c) + g.cw / 2 - 0.5, g.y(r) + g.ch / 2);
      }
    }
    if (o.frame) for (let r = 0; r < g.rows; r++) for (let c = 0; c < g.columns; c++) if (o.frame(r, c)) outline(ctx, [r, c], style("--mark"), 1.5);
    axes(ctx, at);
    const mark = o.mark?.();
    if (mark && mark[0] < g.rows && mark[1] < g.columns) outline(ctx, mark, style("--ink"), 3);
    if (at) outline(ctx, at, style("--ink"), 2);
    tell(output, at && o.say(...at), hint);
  }

  function layout() {
    g = measure();
    scale.replaceChildren(...(o.legend ? [legend(o.scale, o.baseline)] : []));
    cells = bitmap(g.columns, g.rows, o.value, o.scale);
    canvas.setAttribute("aria-label", (o.label || "heat map") + `: ${g.rows} rows, ${g.columns} columns; arrow keys move between cells`);
    draw();
  }

  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const px = event.clientX - box.left, py = event.clientY - box.top;
    const r = Math.floor((py - g.top) / g.ch);
    if (r < 0 || r >= g.rows) return null;
    const slice = Math.floor((px - g.left) / (g.group * g.cw + 5));
    const c = slice * g.group + Math.floor((px - g.left - slice * (g.group * g.cw + 5)) / g.cw);
    return px < g.left || c < 0 || c >= g.columns || c >= (slice + 1) * g.group ? null : [r, c];
  }
  function move(cell) {
    if (String(cell) === String(over)) return;
    over = cell;
    draw();
    o.moved?.(...(over || kept || []));
  }
  canvas.addEventListener("pointermove", (e) => move(cellAt(e)));
  canvas.addEventListener("pointerleave", () => move(null));
  canvas.addEventListener("click", (e) => {
    const cell = cellAt(e);
    kept = cell && String(cell) === String(kept) && !o.pick ? null : cell;
    if (cell) o.pick?.(...cell);
    draw();
    o.moved?.(...(over || kept || []));
  });
  canvas.addEventListener("keydown", (e) => {
    const by = step(e);
    if (by) kept = kept || o.mark?.() ? (kept || o.mark()).map((v, i) => clamp(v + by[i], 0, (i ? g.columns : g.rows) - 1)) : [0, 0];
    else if (e.key === "Escape") kept = null;
    else if ((e.key === "Enter" || e.key === " ") && kept) o.pick?.(...kept);
    else return;
    e.preventDefault();
    over = null;
    draw();
    o.moved?.(...(kept || []));
  });
  onWidth(plot, layout);
  redraws.push(layout);
  return {
    canvas, draw,
    // follow lets go of a cell that isn't the marked one any more.
    follow() {
      if (kept && String(kept) !== String(o.mark())) kept = null;
      draw();
    },
    // change takes over other values, scale, frame … of the same shape.
    change(other) {
      Object.assign(o, other);
      if (g) layout();
    },
  };
}

// short is a value in a cell: ".91", "−1.2".
function short(v) {
  const a = Math.abs(v);
  const s = a >= 10000 ? v.toExponential(0) : v.toFixed(a >= 100 ? 0 : a >= 10 ? 1 : 2);
  return s.replace("0.", ".").replace("-", "−").replace(/^(−?)\.00$/, "0");
}
