// The start: the theme, then each section. A section that fails says so in its place.
const theme = document.getElementById("theme");
function setTheme(on) {
  root.classList.toggle("dark", on);
  theme.textContent = on ? "Light" : "Dark";
  for (const f of redraws) f();
}
const system = matchMedia("(prefers-color-scheme: dark)");
setTheme(system.matches);
system.addEventListener("change", () => setTheme(system.matches));
theme.addEventListener("click", () => setTheme(!isDark()));
for (const s of page.sections) {
  const body = document.querySelector(`#${s.id} .body`);
  try {
    views[s.kind](body, s.data);
  } catch (error) {
    body.append(make("p", { class: "warning" }, "This section can’t be drawn: " + error.message));
  }
}
