// The base: data, theme, colours, small helpers, and which head is shown.
const page = JSON.parse(document.getElementById("data").textContent);
const views = {}; // by kind of section: draw(body, data)
const root = document.documentElement;
const redraws = []; // what has to be drawn anew in other colours

// make is an element with attributes, event listeners ("onclick") and children. Strings
// become text, never markup.
function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children);
  return e;
}

function svg(tag, attributes = {}, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

// number has three significant digits, as Go's side writes them.
function number(v) {
  if (v === null || v === undefined || Number.isNaN(v)) return "–";
  const a = Math.abs(v);
  if (a === 0) return "0";
  let s;
  if (a < 0.001 || a >= 1e5) s = v.toExponential(2);
  else s = v.toFixed(a >= 100 ? 0 : a >= 10 ? 1 : a >= 1 ? 2 : 3);
  return s.replace("-", "−");
}

// signed is a number with its sign, for differences.
const signed = (v) => (v > 0 ? "+" : "") + number(v);

const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const isDark = () => root.classList.contains("dark");
const clamp = (v, low, high) => Math.max(low, Math.min(high, v));

// tables are the colours of both themes in 256 steps.
const tables = Object.fromEntries(Object.entries(page.ramps).map(([theme, ramps]) => [theme, Object.fromEntries(Object.entries(ramps).map(([kind, stops]) => [kind,
  Array.from({ length: 256 }, (_, n) => {
    const x = (n / 255) * (stops.length - 1), i = Math.min(Math.floor(x), stops.length - 2);
    return stops[i].map((s, c) => Math.round(s + (x - i) * (stops[i + 1][c] - s)));
  })]))]));

// scaleOf gives the colour of a value between bounds, in the theme of the moment.
function scaleOf({ low, high }) {
  const kind = low < 0 ? "diverging" : "sequential";
  const at = (v) => clamp((v - low) / (high - low), 0, 1);
  const rgb = (v) => tables[isDark() ? "dark" : "light"][kind][Math.round(at(v) * 255)];
  return {
    low, high, at, rgb,
    css: (v) => `rgb(${rgb(v).join(" ")})`,
    ink: (v) => {
      const [r, g, b] = rgb(v);
      return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#101316" : "#ffffff";
    },
  };
}

// legend is the scale of colours, with a mark for the baseline if there is one, and room
// for it if it is 0.
function legend(scale, baseline) {
  const strip = make("div", { class: "strip" });
  const e = make("div", { class: "legend" });
  if (baseline) {
    const x = scale.at(baseline);
    const text = make("span", {}, "baseline " + number(baseline));
    text.style.setProperty(x < 0.5 ? "left" : "right", (x < 0.5 ? x : 1 - x) * 100 + "%");
    const tick = make("i");
    tick.style.left = x * 100 + "%";
    strip.append(tick);
    e.append(make("div", { class: "above" }, text));
  } else if (baseline === 0) e.append(make("div", { class: "above" }));
  const middle = scale.low < 0 ? 0 : (scale.low + scale.high) / 2;
  e.append(strip, make("div", { class: "ends" }, ...[scale.low, middle, scale.high].map((v) => make("span", {}, number(v)))));
  const stops = Array.from({ length: 13 }, (_, i) => scale.css(scale.low + (i / 12) * (scale.high - scale.low)));
  strip.style.backgroundImage = `linear-gradient(to right, ${stops.join(", ")})`;
  return e;
}

// choices is a row of radio buttons; chosen is called with the index.
let groups = 0;
function choices(label, names, chosen) {
  const group = "g" + groups++;
  const field = make("fieldset", { class: "choices", "aria-label": label });
  names.forEach((name, i) => field.append(make("label", {},
    make("input", { type: "radio", name: group, checked: i === 0, onchange: () => chosen(i) }), make("span", {}, name))));
  return field;
}

// tell writes into a read-out, or its hint.
function tell(output, text, hint) {
  output.textContent = text || hint;
  output.classList.toggle("empty", !text);
}

// onWidth calls draw when an element gets another width.
function onWidth(e, draw) {
  let last = -1;
  new ResizeObserver(() => {
    if (e.clientWidth !== last && e.clientWidth > 0) {
      last = e.clientWidth;
      draw();
    }
  }).observe(e);
}

// sized gives a canvas its size in pixels of the page, sharp on every screen.
function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  return ctx;
}

// bitmap is a canvas of one pixel per cell; null is the background.
function bitmap(columns, rows, value, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(columns, rows);
  for (let r = 0, p = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, p += 4) {
      const v = value(r, c);
      if (v === null || v === undefined) continue;
      const [red, green, blue] = scale.rgb(v);
      image.data[p] = red;
      image.data[p + 1] = green;
      image.data[p + 2] = blue;
      image.data[p + 3] = 255;
    }
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}

// chosen is the head that score matrices mark and attention sections show.
const chosen = {
  layer: 0, head: 0, listeners: [],
  set(layer, head, from) {
    this.layer = layer;
    this.head = head;
    for (const f of this.listeners) f(from);
  },
};

// headName is as "L5H1", with the group of keys and values it shares.
const headName = (layer, head, group) => `L${layer}H${head}` + (group > 1 ? ` (kv${Math.floor(head / group)})` : "");

// arrows turns a key into a step in a grid, or null.
const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity], PageUp: [-10, 0], PageDown: [10, 0] };
const step = (event) => (event.ctrlKey || event.altKey || event.metaKey ? null : steps[event.key] || null);
