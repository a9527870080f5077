// The patterns of all heads: one head as a heat map, as lines and in the text; all heads
// at a glance. The token looked at is the same in all of them.
views.attention = (body, d) => {
  const keys = d.tokens.length, queries = d.queries, before = keys - queries;
  const most = d.bits === 8 ? 255 : 65535;
  const seen = queries * before + (queries * (queries + 1)) / 2; // weights of a head
  const layers = d.layers.map((text) => {
    const raw = atob(text);
    const out = d.bits === 8 ? new Uint8Array(raw.length) : new Uint16Array(raw.length / 2);
    for (let i = 0; i < out.length; i++) out[i] = d.bits === 8 ? raw.charCodeAt(i) : raw.charCodeAt(2 * i) | (raw.charCodeAt(2 * i + 1) << 8);
    return out;
  });
  // weight is that of a query on a key; null where the query doesn't see the key.
  const weight = (layer, head, q, k) => (k > before + q ? null : layers[layer][head * seen + q * (before + 1) + (q * (q - 1)) / 2 + k] / most);

  let layer = d.layer, head = d.head;
  let at = null; // { query } or { key }, by position of the token
  const unit = scaleOf({ low: 0, high: 1 });
  const value = (q, k) => weight(layer, head, q, k);
  const from = (position) => position - before; // the query at a position

  // The head, by select, buttons and the keys [ and ].
  const select = (label, n) => {
    const e = make("select", { "aria-label": label, onchange: () => go(layerSelect.selectedIndex, headSelect.selectedIndex) },
      ...Array.from({ length: n }, (_, i) => make("option", {}, String(i))));
    return e;
  };
  const layerSelect = select("layer", layers.length), headSelect = select("head", d.heads);
  const turn = (by) => {
    const i = (layer * d.heads + head + by + layers.length * d.heads) % (layers.length * d.heads);
    go(Math.floor(i / d.heads), i % d.heads);
  };
  const name = make("strong");
  const output = make("output", { "aria-live": "polite" });
  body.append(make("div", { class: "toolbar" },
    make("label", {}, "layer", layerSelect), make("label", {}, "head", headSelect),
    make("button", { type: "button", "aria-label": "previous head", title: "[", onclick: () => turn(-1) }, "‹"),
    make("button", { type: "button", "aria-label": "next head", title: "]", onclick: () => turn(1) }, "›"), name));
  document.addEventListener("keydown", (e) => {
    const by = { "[": -1, "]": 1 }[e.key];
    if (by && e.ctrlKey === e.altKey && !e.metaKey) turn(by); // AltGr counts as both
  });

  // The text.
  let way = 0;
  body.append(choices("what the colours of the text are", ["attention of the token", "attention to the token"], (i) => {
    way = i;
    look(at && { [i ? "key" : "query"]: at.query ?? at.key });
  }));
  const text = strip(d.tokens, { label: "text", breaks: true, moved: (i) => look(i === null ? null : { [way ? "key" : "query"]: i }) });
  body.append(text.list, output);

  const left = make("div"), right = make("div", { class: "pairs", tabindex: -1 });
  body.append(make("div", { class: "two" }, left, right));
  const map = heat(left, {
    rows: d.tokens.slice(before), columns: d.tokens, rowName: "from (query)", columnName: "to (key)", square: true, cell: [2, 30],
    value, scale: unit, label: "attention pattern", output, legend: true, digits: true,
    hint: "Move over a token or a cell.", say: (q, k) => sentence(q, k),
    moved: (q, k) => look(q === undefined ? null : { query: q + before, key: k }, true),
  });
  const sentence = (q, k) => {
    const w = value(q, k);
    const pair = `${q + before} ${d.tokens[q + before]}  →  ${k} ${d.tokens[k]}`;
    return w === null ? `${pair}  comes later, can’t be seen` : `${pair}  ${w.toFixed(3)}`;
  };
  const pairs = links(right, d.tokens, before, value, (which) => look(which));
  const grid = heads(body, {
    layers: layers.length, heads: d.heads, queries, keys, weight, group: d.group,
    chosen: () => [layer, head], pick: (l, h) => go(l, h),
  });
  body.append(make("p", { class: "note" }, `Weights are kept to ${d.bits === 8 ? "1/255" : "1/65535"} and shown to three digits; ${
    d.bits === 8 ? "with this many tokens and heads, the last digit isn’t exact." : "the digits shown are exact."}`));

  // look shows what a token attends to, or what attends to it.
  function look(which, fromMap = false) {
    at = which;
    const q = which?.query === undefined || which.query < before ? null : from(which.query);
    const k = which?.key ?? null;
    if (which && q !== null && which.key === undefined) text.paint((j) => value(q, j), unit);
    else if (which && q === null && k !== null) text.paint((j) => (j < before ? null : value(from(j), k)), unit);
    else if (q !== null) text.paint((j) => value(q, j), unit);
    else text.paint(() => null, unit);
    text.mark(which ? which.query ?? which.key : -1);
    pairs.show(q, q === null ? k : null);
    if (fromMap) return;
    const most = (n, w) => Array.from({ length: n }, (_, i) => [w(i), i]).filter(([x]) => x !== null).sort((a, b) => b[0] - a[0]).slice(0, 4);
    const list = (top) => top.map(([w, i]) => `${d.tokens[i]} ${w.toFixed(3)}`).join("   ");
    if (q !== null) tell(output, `${which.query} ${d.tokens[which.query]}  →  ${list(most(keys, (j) => value(q, j)))}`);
    else if (k !== null) tell(output, `${k} ${d.tokens[k]}  ←  ${list(most(keys, (j) => (j < before ? null : value(from(j), k))))}`);
    else tell(output, "", which ? "This token is a key only: nothing is asked from there." : "Move over a token or a cell.");
  }

  function go(l, h) {
    chosen.set(l, h);
  }
  function show() {
    if (chosen.layer >= layers.length || chosen.head >= d.heads) return;
    ({ layer, head } = chosen);
    layerSelect.selectedIndex = layer;
    headSelect.selectedIndex = head;
    name.textContent = headName(layer, head, d.group);
    map.change({ value });
    grid.draw();
    look(at);
  }
  chosen.listeners.push(show);
  if (!views.attention.started) chosen.set(layer, head);
  else show();
  views.attention.started = true;
  redraws.push(() => look(at));
};

// links draws tokens twice, with lines from the left to what they attend to on the right.
function links(parent, tokens, before, value, moved) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const column = (side, label, which) => {
    const s = strip(tokens, { label, vertical: true, moved: (i) => moved(i === null ? null : { [which]: i }) });
    const box = make("div", { class: side }, make("h3", {}, label), s.list);
    return [s, box];
  };
  const [from, left] = column("from", "from", "query");
  const [to, right] = column("to", "to", "key");
  const middle = make("div", {}, make("h3", {}, "\u00a0"), canvas);
  parent.append(make("div", { class: "inner" }, left, middle, right));
  const unit = scaleOf({ low: 0, high: 1 });
  const row = clamp(Math.floor(780 / tokens.length), 13, 20);
  parent.style.setProperty("--row", row + "px");
  let query = null, key = null;

  function draw() {
    const width = middle.clientWidth, height = tokens.length * row;
    const ctx = sized(canvas, width, height);
    ctx.strokeStyle = style("--accent");
    for (let q = 0; q < tokens.length - before; q++) {
      if (query !== null && q !== query) continue;
      for (let k = 0; k <= before + q; k++) {
        if (key !== null && k !== key) continue;
        const w = value(q, k);
        if (w < 0.01) continue;
        ctx.globalAlpha = Math.min(1, 0.08 + w * 0.92);
        ctx.lineWidth = 0.75 + 1.75 * w;
        ctx.beginPath();
        const y1 = (q + before + 0.5) * row, y2 = (k + 0.5) * row;
        ctx.moveTo(2, y1);
        ctx.bezierCurveTo(width * 0.4, y1, width * 0.6, y2, width - 2, y2);
        ctx.stroke();
      }
    }
    to.paint((k) => (query === null ? null : value(query, k)), unit);
    from.paint((i) => (key === null || i < before ? null : value(i - before, key)), unit);
    from.mark(query === null ? -1 : query + before);
    to.mark(key === null ? -1 : key);
  }
  onWidth(middle, draw);
  return {
    show(q, k) {
      query = q;
      key = k;
      draw();
      const y = ((q === null ? k : q + before) ?? 0) * row;
      if ((q !== null || k !== null) && !parent.matches(":hover, :focus-within") && (y < parent.scrollTop || y > parent.scrollTop + parent.clientHeight - 3 * row)) parent.scrollTop = y - parent.clientHeight / 2;
    },
  };
}
