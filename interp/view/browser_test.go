package view_test

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/chromium"
	"github.com/gpupeft/gpupeft/interp/view"
)

var shots = flag.String("shots", "", "write pictures of the pages to this directory")

// open writes a page to a file and opens it in Chromium.
func open(t *testing.T, p view.Page) *chromium.Browser {
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
	return chromium.Open(t, file)
}

// shot writes a picture of an element, if the test was asked for pictures.
func shot(b *chromium.Browser, selector, name string) {
	if *shots != "" {
		b.Shot(selector, filepath.Join(*shots, name+".png"))
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
	b.Contains(headShown, "L2H1 (kv0)")

	b.Hover(".scores canvas", 0.5, 0.5)
	b.Contains(readOut("scores"), "previous token")
	b.Contains(readOut("scores"), "against the baseline")
	shot(b, "#s0", "scores")
	b.Click(".scores canvas", 0.1, 0.14) // the first head
	b.Contains(headShown, "L0H0")
	b.Eval(`document.querySelector(".scores canvas").focus()`)
	for range 2 {
		b.Key("ArrowRight")
	}
	b.Key("ArrowDown")
	b.Contains(readOut("scores"), "L1H2")
	b.Key("Enter")
	b.Contains(headShown, "L1H2")
	b.Click(".scores .choices label:nth-child(4) input", 0.5, 0.5)
	b.Contains(readOut("scores"), "direct logit attribution")
	shot(b, "#s0", "scores-signed")

	b.Click(`.attention button[aria-label="next head"]`, 0.5, 0.5)
	b.Contains(headShown, "L1H3 (kv1)")
	b.Key("[")
	b.Key("[")
	b.Contains(headShown, "L1H1")
	b.Key("]")
	b.Key("]")
	b.Contains(headShown, "L1H3 (kv1)")
	b.Eval(`(() => { const s = document.querySelector(".attention select"); s.value = "4"; s.dispatchEvent(new Event("change")); })()`)
	b.Contains(headShown, "L4H3")
	b.Eval(`document.querySelectorAll(".attention canvas[tabindex]")[1].focus()`) // all heads
	b.Key("ArrowUp")
	b.Key("ArrowLeft")
	b.Contains(headShown, "L3H2")
	b.Eval(`document.querySelector(".attention canvas[tabindex]").focus()`)
	b.Key("ArrowDown")
	b.Key("ArrowDown")
	b.Contains(readOut("attention"), "→")
	b.Key("Escape")
	b.Hover(".attention .running .token[data-i='36']", 0.5, 0.5)
	b.Contains(readOut("attention"), "·park")
	b.Contains(`getComputedStyle(document.querySelector(".attention .running .token")).backgroundColor`, "rgb(")
	shot(b, "#s1", "attention")
	b.Hover(".attention .pairs .to .token[data-i='9']", 0.5, 0.5)
	b.Contains(readOut("attention"), "←")

	b.Hover(".text .running .token[data-i='4']", 0.5, 0.5)
	b.Contains(readOut("text"), "loss")
	shot(b, "#s2", "tokens")
	b.Hover(".lens td[data-r='2'][data-t='3']", 0.5, 0.5)
	b.Contains(readOut("lens"), "encyclopaedia")
	b.Eval(`document.querySelector(".lens td[tabindex='0']").focus()`)
	b.Key("ArrowDown")
	b.Contains(readOut("lens"), "layer 10, after 0")
	shot(b, "#s3", "lens")
	b.Click(".bars .choices label:nth-child(2) input", 0.5, 0.5)
	shot(b, "#s4", "bars")
	b.Hover(".lines svg", 0.5, 0.5)
	b.Contains(readOut("lines"), "step 4")
	shot(b, "#s5", "lines")
	b.Hover(".maps canvas", 0.6, 0.6)
	b.Contains(readOut("maps"), "query")
	shot(b, "#s6", "maps")
	b.Hover(".graph .node", 0.5, 0.5)
	b.Contains(readOut("graph"), "→")
	shot(b, "#s7", "graph")

	b.Click("#theme", 0.5, 0.5)
	b.Contains(`document.documentElement.className`, "dark")
	for i, name := range []string{"scores", "attention", "tokens", "lens", "bars", "lines", "maps", "graph"} {
		shot(b, "#s"+string(rune('0'+i)), "dark-"+name)
	}
	shot(b, "header", "header")

	b.Quiet()
}

// TestBrowserDifference opens the comparison of two models, and a narrow window.
func TestBrowserDifference(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	b := open(t, differencePage())
	b.Hover(".scores .panel:nth-child(3) canvas", 0.5, 0.5)
	b.Contains(`document.querySelectorAll(".scores output")[2].textContent`, "previous token")
	b.Click(".scores tbody button", 0.5, 0.5)
	first := b.Eval(`document.querySelector(".scores tbody button").textContent`)
	b.Contains(headShown, first)
	b.Hover(".maps .panel:nth-child(5) canvas", 0.6, 0.6)
	b.Contains(readOut("maps"), "layer 4, head")
	b.Click(".table th:nth-child(5) button", 0.5, 0.5)
	b.Contains(`document.querySelector(".table tbody td").textContent`, "7")
	for i, name := range []string{"scores", "lines", "maps", "table", "attention"} {
		shot(b, "#s"+string(rune('0'+i)), "difference-"+name)
	}
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.Wait(`innerWidth === 420`)
	b.Wait(`document.documentElement.scrollWidth <= 420`)
	b.Eval(`scrollTo(0, 0)`)
	shot(b, "#s0", "narrow-scores")
	shot(b, "#s4", "narrow-attention")
	b.Quiet()
}

// TestBrowserHostile: strings of tokens do nothing when the script has drawn them either.
func TestBrowserHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	count := func(s string) (string, *chromium.Browser) {
		b := open(t, pageOf(s))
		return b.Eval(`[...document.querySelectorAll("*")].map((e) => e.localName).join(" ")`), b
	}
	want, _ := count("token")
	for _, s := range []string{`</script><img src=x onerror="document.title='bad'"><script>document.title='bad'</script>`, "\u202e\u2028\xff\x00<b>"} {
		got, b := count(s)
		if got != want {
			t.Errorf("%q: other elements: %s\nwant %s", s, got, want)
		}
		b.Contains(`String(document.title !== "bad")`, "true")
		b.Quiet()
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
		b.Hover("."+section+" .body", 0.1, 0.5)
	}
	b.Quiet()
}
