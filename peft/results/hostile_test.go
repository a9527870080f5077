package results

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// hostile are texts that would do harm in a page that didn't expect them.
func hostile(server string) []string {
	return []string{
		`</script><script>document.title="harm"</script>`, `</style><style>*{display:none}`, `</title><h1>harm</h1>`, `</svg></figure></section>`,
		`<img src=` + server + `/img onerror=document.title="harm">`, `"><svg onload=document.title="harm">`, `' onmouseover='harm`,
		`<link rel=stylesheet href=` + server + `/css><base href=` + server + `>`, `<iframe src="` + server + `/frame"></iframe>`,
		`<meta http-equiv=refresh content="0;url=` + server + `/refresh">`, `{{.Script}}`, `<!--`, `-->`, `]]>`, `&lt;script&gt;`, `javascript:harm`,
		"\u2028\u2029", "\u202e\u2066 turned", "\ufeff\u200b\x00\x07\x1b[31m", "\xff\xfe<\xc3", "`${harm}`", `\u003cscript\u003e`,
	}
}

// pages are all kinds of pages, with a text wherever one can come from a model, a data set
// or a file's name.
func pages(t *testing.T, text func() string) []string {
	t.Helper()
	run := Run{
		Title: text(), Lead: text(), Notes: []string{text()}, Facts: []Pair{{text(), text()}}, Log: steps(30), Made: text(),
		Scores:  Scores{Metrics: []Metric{{Name: text()}}, Rows: []ScoreRow{{Name: text(), Values: []float64{1}}, {Name: text(), Baseline: true}}},
		Samples: []Sample{{text(), text(), text(), text(), []Pair{{text(), text()}}}},
		Groups:  []Group{{text(), []Pair{{text(), text()}}}},
	}
	metric := Metric{Name: text()}
	model, data := text(), text()
	var all []Trial
	for i := range 4 {
		all = append(all, Trial{Model: model, Data: data, Method: fmt.Sprint(i) + text(), Params: int64(100 * i), Metrics: map[string]float64{metric.Name: float64(i)}})
	}
	table := NewTable(text(), []Metric{metric}, all)
	var b strings.Builder
	if err := table.HTML(&b, text()); err != nil {
		t.Fatal(err)
	}
	return []string{written(t, run.HTML), b.String()}
}

// elements counts a page's elements with the names of their attributes. Labels that found
// no place in a figure are no elements, so texts of SVG don't count.
func elements(t *testing.T, page string) map[string]int {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			counts["comment"]++
		}
		if n.Type != html.ElementNode || n.Data == "text" {
			continue
		}
		name := n.Namespace + ":" + n.Data
		for _, a := range n.Attr {
			name += " " + a.Key
		}
		counts[name]++
	}
	return counts
}

// TestHostileTextsAreText: whatever texts say, pages have the same elements.
func TestHostileTextsAreText(t *testing.T) {
	var want []map[string]int
	for _, page := range pages(t, func() string { return "plain" }) {
		want = append(want, elements(t, page))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	parts := hostile("http://localhost")
	text := func() string {
		s := ""
		for range 1 + rng.IntN(3) {
			s += parts[rng.IntN(len(parts))]
		}
		if rng.IntN(4) == 0 && len(s) > 1 {
			s = s[rng.IntN(len(s)):]
		}
		return "x" + s
	}
	for range 1000 / 25 { // texts in two pages
		for i, page := range pages(t, text) {
			if got := elements(t, page); !reflect.DeepEqual(got, want[i]) {
				t.Fatalf("page %d: %v\nwant %v\n%s", i, got, want[i], page)
			}
			for _, r := range page {
				if strings.ContainsRune("\u202e\u2066\u2028\u200b\x00\x1b", r) {
					t.Fatalf("page %d holds %U", i, r)
				}
			}
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	for _, page := range pages(t, func() string { return strings.Repeat("x<", 1<<19) }) {
		if len(page) > 2_000_000 {
			t.Errorf("a page of %d bytes", len(page))
		}
	}
	if got := visible("a\u202eb\x1b\xff\n\té"); got != "a⟨U+202E⟩b⟨U+001B⟩\ufffd\n\té" {
		t.Errorf("%q", got)
	}
}

// browser returns Chromium, with which a page is opened like: browser(page) → its
// elements after scripts have run.
func browser(t *testing.T) func(page string) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		return func(page string) string {
			name := filepath.Join(t.TempDir(), "page.html")
			if err := os.WriteFile(name, []byte(page), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), path, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
				"--virtual-time-budget=2000", "--dump-dom", "file://"+name).Output()
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
	}
	t.Skip("there is no Chromium to open pages with")
	return nil
}

// TestBrowser opens pages in Chromium: the page's own script runs, no other does, and
// nothing is fetched.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	open := browser(t)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()

	parts, i := hostile(server.URL), 0
	text := func() string { i++; return parts[i%len(parts)] }
	for i, page := range pages(t, text) {
		dom := open(page)
		if n := asked.Load(); n > 0 {
			t.Errorf("page %d: %d requests", i, n)
		}
		if strings.Contains(dom, "<title>harm") || !strings.Contains(dom, `<svg viewBox="0 0 800 500" role="img" aria-label="" tabindex="0">`) {
			t.Errorf("page %d: the wrong script ran:\n%.3000s", i, dom)
		}
		// Were texts not escaped, the page's policy would still hold.
		dom = open(strings.Replace(page, "<main>", "<main>"+strings.Join(parts[4:8], "")+`<script>document.title="harm"</script>`, 1))
		if n := asked.Load(); n > 0 || strings.Contains(dom, "<title>harm") {
			t.Errorf("page %d: the policy lets a script run, or %d requests through", i, n)
		}
	}
	// The same in a page without a policy shows that the test would see it.
	dom := open(`<title>plain</title><script>document.title="harm"</script>` + parts[4])
	for wait := 0; wait < 50 && asked.Load() == 0; wait++ {
		time.Sleep(20 * time.Millisecond)
	}
	if asked.Load() == 0 || !strings.Contains(dom, "<title>harm") {
		t.Errorf("%d requests, %s", asked.Load(), dom)
	}
}
