package view_test

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/interp/view"
)

var shots = flag.String("shots", "", "write pictures of the pages to this directory")

// open writes a page to a file and opens it in Chromium.
func open(t *testing.T, p view.Page) *browser {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := view.HTML(f, p); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b := startBrowser(t, file)
	b.wait(`document.querySelector("section:last-child .body").children.length > 0`)
	// Pictures are drawn when the first frame gives them their width.
	b.eval(`void requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = true; }))`)
	b.wait(`window.drawn === true`)
	return b
}

// contains fails unless an expression's value has the text.
func (b *browser) contains(expression, want string) {
	b.t.Helper()
	if got := b.eval(expression); !strings.Contains(got, want) {
		b.t.Errorf("%s: %q has no %q", expression, got, want)
	}
}

const (
	readOutOf = `document.querySelector(".%s output").textContent`
	headShown = `document.querySelector(".attention .toolbar strong").textContent`
)

func readOut(section string) string { return strings.ReplaceAll(readOutOf, "%s", section) }

// TestBrowser uses a page as a reader does: pointer, clicks and keys.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	b := open(t, samplePage())
	b.contains(headShown, "L2H1 (kv0)")

	b.hover(".scores canvas", 0.5, 0.5)
	b.contains(readOut("scores"), "previous token")
	b.contains(readOut("scores"), "against the baseline")
	b.shot("#s0", "scores")
	b.click(".scores canvas", 0.1, 0.14) // the first head
	b.contains(headShown, "L0H0")
	b.eval(`document.querySelector(".scores canvas").focus()`)
	for range 2 {
		b.key("ArrowRight")
	}
	b.key("ArrowDown")
	b.contains(readOut("scores"), "L1H2")
	b.key("Enter")
	b.contains(headShown, "L1H2")
	b.click(".scores .choices label:nth-child(4) input", 0.5, 0.5)
	b.contains(readOut("scores"), "direct logit attribution")
	b.shot("#s0", "scores-signed")

	b.click(`.attention button[aria-label="next head"]`, 0.5, 0.5)
	b.contains(headShown, "L1H3 (kv1)")
	b.eval(`(() => { const s = document.querySelector(".attention select"); s.value = "4"; s.dispatchEvent(new Event("change")); })()`)
	b.contains(headShown, "L4H3")
	b.eval(`document.querySelectorAll(".attention canvas[tabindex]")[1].focus()`) // all heads
	b.key("ArrowUp")
	b.key("ArrowLeft")
	b.contains(headShown, "L3H2")
	b.eval(`document.querySelector(".attention canvas[tabindex]").focus()`)
	b.key("ArrowDown")
	b.key("ArrowDown")
	b.contains(readOut("attention"), "→")
	b.key("Escape")
	b.hover(".attention .running .token[data-i='36']", 0.5, 0.5)
	b.contains(readOut("attention"), "·park")
	b.contains(`getComputedStyle(document.querySelector(".attention .running .token")).backgroundColor`, "rgb(")
	b.shot("#s1", "attention")
	b.hover(".attention .pairs .to .token[data-i='9']", 0.5, 0.5)
	b.contains(readOut("attention"), "←")

	b.hover(".text .running .token[data-i='4']", 0.5, 0.5)
	b.contains(readOut("text"), "loss")
	b.shot("#s2", "tokens")
	b.hover(".lens td[data-r='2'][data-t='3']", 0.5, 0.5)
	b.contains(readOut("lens"), "encyclopaedia")
	b.eval(`document.querySelector(".lens td[tabindex='0']").focus()`)
	b.key("ArrowDown")
	b.contains(readOut("lens"), "layer 10, after 0")
	b.shot("#s3", "lens")
	b.click(".bars .choices label:nth-child(2) input", 0.5, 0.5)
	b.shot("#s4", "bars")
	b.hover(".lines svg", 0.5, 0.5)
	b.contains(readOut("lines"), "step 4")
	b.shot("#s5", "lines")
	b.hover(".maps canvas", 0.6, 0.6)
	b.contains(readOut("maps"), "query")
	b.shot("#s6", "maps")
	b.hover(".graph .node", 0.5, 0.5)
	b.contains(readOut("graph"), "→")
	b.shot("#s7", "graph")

	b.click("#theme", 0.5, 0.5)
	b.contains(`document.documentElement.className`, "dark")
	for i, name := range []string{"scores", "attention", "tokens", "lens", "bars", "lines", "maps", "graph"} {
		b.shot("#s"+string(rune('0'+i)), "dark-"+name)
	}
	b.shot("header", "header")

	b.quiet()
}

// TestBrowserDifference opens the comparison of two models, and a narrow window.
func TestBrowserDifference(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	b := open(t, differencePage())
	b.hover(".scores .panel:nth-child(3) canvas", 0.5, 0.5)
	b.contains(`document.querySelectorAll(".scores output")[2].textContent`, "previous token")
	b.click(".scores tbody button", 0.5, 0.5)
	first := b.eval(`document.querySelector(".scores tbody button").textContent`)
	b.contains(headShown, first)
	b.hover(".maps .panel:nth-child(5) canvas", 0.6, 0.6)
	b.contains(readOut("maps"), "layer 4, head")
	b.click(".table th:nth-child(5) button", 0.5, 0.5)
	b.contains(`document.querySelector(".table tbody td").textContent`, "7")
	for i, name := range []string{"scores", "lines", "maps", "table", "attention"} {
		b.shot("#s"+string(rune('0'+i)), "difference-"+name)
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.wait(`innerWidth === 420`)
	b.wait(`document.documentElement.scrollWidth <= 420`)
	b.eval(`scrollTo(0, 0)`)
	b.shot("#s0", "narrow-scores")
	b.shot("#s4", "narrow-attention")
	b.quiet()
}

// TestBrowserHostile: strings of tokens do nothing when the script has drawn them either.
func TestBrowserHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	count := func(s string) (string, *browser) {
		b := open(t, pageOf(s))
		return b.eval(`[...document.querySelectorAll("*")].map((e) => e.localName).join(" ")`), b
	}
	want, _ := count("token")
	for _, s := range []string{`</script><img src=x onerror="document.title='bad'"><script>document.title='bad'</script>`, "\u202e\u2028\xff\x00<b>"} {
		got, b := count(s)
		if got != want {
			t.Errorf("%q: other elements: %s\nwant %s", s, got, want)
		}
		b.contains(`String(document.title !== "bad")`, "true")
		b.quiet()
	}
}

// TestBrowserEmpty: sections without a single value are drawn.
func TestBrowserEmpty(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	none := []float32{float32(math.NaN())}
	one := []string{"a"}
	b := open(t, view.Page{Sections: []view.Section{
		view.Scores{Scores: []view.Score{{Values: [][]float32{none}}}},
		view.Scores{Runs: []string{"a", "b"}, Scores: []view.Score{{Values: [][]float32{none}, Second: [][]float32{none}}}},
		view.Text{Tokens: one, Series: []view.Series{{Values: none}}},
		view.Bars{Names: one, Values: none},
		view.Lines{X: one, Series: []view.Series{{Values: none}}},
		view.Maps{Maps: []view.Matrix{{Values: [][]float32{none}}}},
		view.Graph{Nodes: []view.Node{{Name: "a"}}},
		view.Table{},
		view.Attention{Tokens: one, Heads: 1, Patterns: [][]float32{{1}}},
	}})
	for _, section := range []string{"scores", "text", "lines", "maps"} {
		b.hover("."+section+" .body", 0.1, 0.5)
	}
	b.quiet()
}

// quiet fails if the page asked for anything, or anything went wrong in it.
func (b *browser) quiet() {
	b.t.Helper()
	if urls := b.requests(); len(urls) != 1 || !strings.HasPrefix(urls[0], "file:") {
		b.t.Errorf("requests: %q", urls)
	}
	if all := b.complaints(); len(all) > 0 {
		b.t.Errorf("%d complaints: %s", len(all), all[0])
	}
	if b.eval(`document.querySelectorAll(".body > .warning").length`) != "0" {
		b.t.Error("a section can't be drawn")
	}
}
