// heads is a picture of every head's pattern, a row for each layer.
function heads(parent, o) {
  const box = make("div"), plot = make("div", { class: "plot" });
  const canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": `patterns of all heads, ${o.layers} layers of ${o.heads}; arrow keys change the head shown` });
  const output = make("output", { "aria-live": "polite" });
  plot.append(canvas);
  box.append(make("h3", {}, "All heads"), plot, output);
  parent.append(box);
  const left = 62, top = 20, gap = 5;
  let size = 0, over = null, pictures = null;
  const extra = (h) => (o.group > 1 ? Math.floor(h / o.group) * 6 : 0);
  const x = (h) => left + h * (size + gap) + extra(h);
  const y = (l) => top + l * (size + gap);

  // picture has the largest weight of the cells under each pixel, so that single stripes
  // stay visible.
  function picture(l, h) {
    const n = Math.min(o.keys, Math.round(size * (window.devicePixelRatio || 1)));
    const m = Math.min(o.queries, n);
    const most = new Float32Array(n * m).fill(-1);
    for (let q = 0; q < o.queries; q++) for (let k = 0; k < o.keys; k++) {
      const w = o.weight(l, h, q, k);
      const i = Math.floor((q * m) / o.queries) * n + Math.floor((k * n) / o.keys);
      if (w !== null && w > most[i]) most[i] = w;
    }
    return bitmap(n, m, (r, c) => (most[r * n + c] < 0 ? null : most[r * n + c]), scaleOf({ low: 0, high: 1 }));
  }

  function layout() {
    size = Math.floor(clamp((plot.clientWidth - left - 6 - extra(o.heads - 1)) / o.heads - gap, 16, 74));
    pictures = Array.from({ length: o.layers }, (_, l) => Array.from({ length: o.heads }, (_, h) => picture(l, h)));
    draw();
  }
  function draw() {
    if (!pictures) return;
    const ctx = sized(canvas, x(o.heads - 1) + size + 4, y(o.layers));
    ctx.font = "12px " + style("--sans");
    const [cl, ch] = o.chosen();
    const text = (s, px, py, hot) => {
      ctx.fillStyle = style(hot ? "--ink" : "--faint");
      ctx.fillText(s, px, py);
    };
    ctx.textBaseline = "middle";
    for (let l = 0; l < o.layers; l++) {
      ctx.textAlign = "right";
      text("layer " + l, left - 8, y(l) + size / 2, l === (over ?? [cl])[0]);
    }
    ctx.textAlign = "center";
    for (let h = 0; h < o.heads; h++) text((h === 0 && size > 44 ? "head " : "") + h, x(h) + size / 2, top - 11, h === (over ?? [0, ch])[1]);
    const smooth = o.keys > size;
    for (let l = 0; l < o.layers; l++) for (let h = 0; h < o.heads; h++) {
      ctx.imageSmoothingEnabled = smooth;
      ctx.drawImage(pictures[l][h], x(h), y(l), size, size);
      ctx.strokeStyle = style("--line");
      ctx.lineWidth = 1;
      ctx.strokeRect(x(h) - 0.5, y(l) - 0.5, size + 1, size + 1);
    }
    const frame = ([l, h], color) => {
      ctx.strokeStyle = color;
      ctx.lineWidth = 2.5;
      ctx.strokeRect(x(h) - 2, y(l) - 2, size + 4, size + 4);
    };
    if (over) frame(over, style("--faint"));
    frame([cl, ch], style("--mark"));
    tell(output, over && headName(...over, o.group), "Click a head to show it; with the keyboard, arrow keys.");
  }
  function headAt(event) {
    const r = canvas.getBoundingClientRect();
    const px = event.clientX - r.left, py = event.clientY - r.top;
    const l = Math.floor((py - top) / (size + gap));
    for (let h = 0; h < o.heads; h++) if (px >= x(h) && px <= x(h) + size && l >= 0 && l < o.layers) return [l, h];
    return null;
  }
  const hover = (cell) => {
    if (String(cell) === String(over)) return;
    over = cell;
    draw();
  };
  canvas.addEventListener("pointermove", (e) => {
    hover(headAt(e));
    canvas.style.cursor = over ? "pointer" : "";
  });
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("click", (e) => {
    const cell = headAt(e);
    if (cell) o.pick(...cell);
  });
  canvas.addEventListener("keydown", (e) => {
    const by = step(e);
    if (!by) return;
    e.preventDefault();
    const [l, h] = o.chosen();
    o.pick(clamp(l + by[0], 0, o.layers - 1), clamp(h + by[1], 0, o.heads - 1));
  });
  onWidth(plot, layout);
  redraws.push(layout);
  return { draw };
}
