// strip shows tokens as one focusable list: the arrow keys move, Enter and a click keep a
// token, Escape lets go. moved is called with the index of the token looked at, or null.
function strip(tokens, { label, vertical = false, breaks = false, moved, title }) {
  const list = make("div", { class: vertical ? "" : "running", role: "listbox", "aria-label": label, "aria-orientation": vertical ? "vertical" : "horizontal" });
  let kept = null, over = null, stop = 0;
  const items = tokens.map((t, i) => make("span", { class: "token", role: "option", tabindex: i ? -1 : 0, "data-i": i }, t));
  items.forEach((e, i) => {
    list.append(e);
    if (breaks && tokens[i].endsWith("\\n")) list.append(make("br"));
  });
  const tellMoved = () => {
    items.forEach((e, i) => {
      e.classList.toggle("at", i === (over ?? kept));
      e.setAttribute("aria-selected", i === kept);
    });
    moved(over ?? kept);
  };
  const index = (event) => {
    const e = event.target.closest?.(".token");
    return e && list.contains(e) ? Number(e.dataset.i) : null;
  };
  list.addEventListener("pointerover", (e) => {
    over = index(e);
    tellMoved();
  });
  list.addEventListener("pointerleave", () => {
    over = null;
    tellMoved();
  });
  list.addEventListener("click", (e) => {
    const i = index(e);
    kept = i === kept ? null : i;
    tellMoved();
  });
  list.addEventListener("keydown", (e) => {
    const by = step(e);
    if (by) {
      const d = by[0] || by[1];
      kept = clamp((kept ?? stop) + d, 0, tokens.length - 1);
      items[stop].tabIndex = -1;
      stop = kept;
      items[stop].tabIndex = 0;
      items[stop].focus();
    } else if (e.key === "Escape") kept = null;
    else if (e.key === "Enter" || e.key === " ") kept = kept === stop ? null : stop;
    else return;
    e.preventDefault();
    over = null;
    tellMoved();
  });
  return {
    list, items,
    // paint colours each token by value(i); null leaves it plain.
    paint(value, scale) {
      items.forEach((e, i) => {
        const v = value(i);
        e.style.backgroundColor = v === null || v === undefined ? "" : scale.css(v);
        e.style.color = v === null || v === undefined ? "" : scale.ink(v);
        if (title) e.title = title(i, v);
      });
    },
    mark(i) {
      items.forEach((e, j) => e.classList.toggle("at", i === j));
    },
  };
}

views.text = (body, d) => {
  const output = make("output", { "aria-live": "polite" });
  const place = make("div");
  let series = 0, at = null;
  const text = strip(d.tokens, {
    label: "text", breaks: true,
    moved: (i) => {
      at = i;
      say();
    },
  });
  const say = () => tell(output, at !== null && `token ${at}  ${d.tokens[at]}  ${d.series[series].name} ${number(d.series[series].values[at])}`, "Move over a token for its value.");
  const show = (i) => {
    series = i;
    const scale = scaleOf(d.series[i].bounds);
    place.replaceChildren(legend(scale));
    text.paint((j) => d.series[i].values[j], scale);
    say();
  };
  if (d.series.length > 1) body.append(choices("value", d.series.map((s) => s.name), show));
  body.append(text.list, output, place);
  show(0);
  redraws.push(() => show(series));
};
