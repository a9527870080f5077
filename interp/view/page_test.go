package view_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gpupeft/gpupeft/interp/view"
)

// write returns a page as text.
func write(t testing.TB, p view.Page) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := view.HTML(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// elements lists the elements of a page with the names of their attributes, in order, and
// returns the texts of those whose text isn't markup, by name or id.
func elements(t testing.TB, page []byte) (list []string, texts map[string]string) {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		e := n.Data
		name := n.Data
		for _, a := range n.Attr {
			e += " " + a.Key
			if a.Key == "id" {
				name = a.Val
			}
			if a.Key == "content" && strings.HasPrefix(a.Val, "default-src") {
				texts["policy"] = a.Val
			}
		}
		list = append(list, e)
		if n.FirstChild != nil && n.FirstChild.Type == html.TextNode {
			texts[name] = n.FirstChild.Data
		}
	}
	return list, texts
}

// pageOf is a page that shows a string wherever one can be given.
func pageOf(s string) view.Page {
	tokens := []string{s, "b" + s, s + "c"}
	one := [][]float32{{0.5, 0.25, -1}}
	return view.Page{
		Title: s, Facts: []view.Fact{{Name: s, Value: s}}, Warnings: []string{s},
		Sections: []view.Section{
			view.Scores{Title: s, About: s, Runs: []string{s, s + s}, Scores: []view.Score{{Name: s, About: s, Values: one, Second: one}, {Name: s, Values: one, Second: one}}},
			view.Attention{Title: s, About: s, Tokens: tokens, Heads: 1, Patterns: [][]float32{{1, 0, 0, 0.5, 0.5, 0, 0, 0.25, 0.75}}},
			view.Text{Title: s, About: s, Tokens: tokens, Series: []view.Series{{Name: s, Values: one[0]}, {Name: s, Values: one[0]}}},
			view.Lens{
				Title: s, About: s, Tokens: tokens, Layers: []string{s}, Targets: tokens, Probability: [][]float32{{0, 1, 0.5}},
				Top: [][][]view.Candidate{{{{Token: s, Probability: 1}}, {{Token: s, Probability: 1}}, {{Token: s, Probability: 1}}}},
			},
			view.Bars{Title: s, About: s, Unit: s, Names: tokens, Values: one[0]},
			view.Lines{Title: s, About: s, XName: s, YName: s, X: tokens, Series: []view.Series{{Name: s, Values: one[0]}}},
			view.Maps{Title: s, About: s, Maps: []view.Matrix{{Title: s, RowName: s, ColumnName: s, Rows: []string{s}, Columns: tokens, Values: one}}},
			view.Graph{Title: s, About: s, Unit: s, Nodes: []view.Node{{Name: s, Kind: s}, {Name: s, Row: 1, Kind: s}}, Edges: []view.Edge{{To: 1, Weight: 2}}},
			view.Table{Title: s, About: s, Columns: tokens, Rows: [][]string{tokens}},
		},
	}
}

// TestHostileStrings: whatever a tokenizer holds stays text.
func TestHostileStrings(t *testing.T) {
	want, benign := elements(t, write(t, pageOf("token")))
	rng := rand.New(rand.NewPCG(1, 2))
	strange := []string{`</script><img onerror=alert(1)>`, "\u2028\u2029", "\u202e\u2066", "\xff\xfe", strings.Repeat("<b>", 1<<20/3)}
	for range 1000 {
		strange = append(strange, hostile(rng))
	}
	for _, s := range strange {
		page := write(t, pageOf(s))
		got, texts := elements(t, page)
		if !slices.Equal(got, want) {
			t.Fatalf("%.80q: other elements: %v", s, got)
		}
		for _, name := range []string{"style", "script", "policy"} {
			if texts[name] != benign[name] {
				t.Fatalf("%.80q: another %s", s, name)
			}
		}
		var data struct {
			Sections []struct{ Data struct{ Tokens []string } }
		}
		if err := json.Unmarshal([]byte(texts["data"]), &data); err != nil {
			t.Fatalf("%.80q: %v", s, err)
		}
		if shown := data.Sections[1].Data.Tokens[0]; shown != view.Label(s) {
			t.Fatalf("%.80q: shown as %q", s, shown)
		}
		if len(page) > 1<<20 {
			t.Fatalf("%.80q: a page of %d bytes", s, len(page))
		}
	}
}

// TestPolicy: the page lets through its own script and style sheet, and nothing else.
func TestPolicy(t *testing.T) {
	page := write(t, samplePage())
	_, texts := elements(t, page)
	want := "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-" + sum(texts["style"]) + "'; script-src 'sha256-" + sum(texts["script"]) + "'"
	if texts["policy"] != want {
		t.Errorf("policy %s, want %s", texts["policy"], want)
	}
	for _, word := range []string{"http:", "https:", "//cdn", "@import", "url(", "fetch(", "XMLHttpRequest", "import(", "eval(", "innerHTML", "outerHTML", "insertAdjacent", "document.write"} {
		if i := bytes.Index(page, []byte(word)); i >= 0 && !bytes.HasPrefix(page[i:], []byte("http://www.w3.org/2000/svg")) {
			t.Errorf("the page has %q: …%s…", word, page[max(0, i-30):min(len(page), i+50)])
		}
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}

// TestPageSize: twelve layers of twelve heads on 59 tokens stay far below 5 MB, and the
// same page is the same bytes.
func TestPageSize(t *testing.T) {
	page := write(t, samplePage())
	if len(page) > 1<<20 {
		t.Errorf("%d bytes", len(page))
	}
	if !bytes.Equal(page, write(t, samplePage())) {
		t.Error("the second time it is another page")
	}
}

// TestPacking: weights come back from the page to within half a step.
func TestPacking(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ layers, heads, queries, keys, bits int }{{2, 3, 7, 7, 16}, {1, 2, 4, 9, 16}, {1, 1, 1, 1, 16}, {1, 9, 500, 500, 8}} {
		a := view.Attention{Heads: c.heads, Tokens: make([]string, c.keys), Patterns: make([][]float32, c.layers)}
		var want []float32
		for l := range a.Patterns {
			for row := range c.heads * c.queries {
				for k := range c.keys {
					w := float32(0)
					if k <= c.keys-c.queries+row%c.queries {
						w = rng.Float32()
						want = append(want, w)
					}
					a.Patterns[l] = append(a.Patterns[l], w)
				}
			}
		}
		_, texts := elements(t, write(t, view.Page{Sections: []view.Section{a}}))
		var data struct {
			Sections []struct {
				Data struct {
					Bits, Queries int
					Layers        [][]byte
				}
			}
		}
		if err := json.Unmarshal([]byte(texts["data"]), &data); err != nil {
			t.Fatal(err)
		}
		d := data.Sections[0].Data
		if d.Bits != c.bits || d.Queries != c.queries {
			t.Errorf("%+v: %d bits, %d queries", c, d.Bits, d.Queries)
		}
		packed := slices.Concat(d.Layers...)
		if len(packed) != len(want)*c.bits/8 {
			t.Fatalf("%+v: %d bytes for %d weights", c, len(packed), len(want))
		}
		for i, w := range want {
			got, most := float64(packed[i*c.bits/8]), 255.0
			if c.bits == 16 {
				got, most = float64(packed[2*i])+256*float64(packed[2*i+1]), 65535
			}
			if math.Abs(got/most-float64(w)) > 0.5001/most {
				t.Fatalf("%+v: weight %d is %v, was %v", c, i, got/most, w)
			}
		}
	}
}

// TestBadSections: each mistake has an error that names the place.
func TestBadSections(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	ok := [][]float32{{1, 2}, {3, 4}}
	for _, c := range []struct {
		section view.Section
		want    string
	}{
		{view.Scores{}, "0 scores"},
		{view.Scores{Scores: []view.Score{{Name: "x"}}}, `score "x", run 0: no values`},
		{view.Scores{Scores: []view.Score{{Name: "x", Values: [][]float32{{1, 2}, {3}}}}}, "row 1 has 1 values, the first 2"},
		{view.Scores{Scores: []view.Score{{Values: ok}, {Name: "y", Values: [][]float32{{1}}}}}, "1 layers × 1 heads, not 2 × 2"},
		{view.Scores{Scores: []view.Score{{Values: [][]float32{{1, inf}}}}}, "value 1 is infinite"},
		{view.Scores{Runs: []string{"a", "b"}, Scores: []view.Score{{Name: "x", Values: ok}}}, `score "x", run 1: no values`},
		{view.Scores{Scores: []view.Score{{Values: ok, Baseline: math.NaN()}}}, "baseline NaN"},
		{view.Attention{Tokens: []string{"a"}}, "0 layers"},
		{view.Attention{Tokens: []string{"a", "b"}, Heads: 1, Patterns: [][]float32{{1, 0, 0.5}}}, "layer 0: 3 weights, not 1 heads × 1 × 2"},
		{view.Attention{Tokens: []string{"a", "b"}, Heads: 1, Patterns: [][]float32{{0.9, 0.1, 0.5, 0.5}}}, "on key 1, which comes later"},
		{view.Attention{Tokens: []string{"a"}, Heads: 2, Patterns: [][]float32{{1, nan}}}, "layer 0, head 1, query 0, key 0: weight NaN"},
		{view.Attention{Tokens: []string{"a"}, Heads: 1, Patterns: [][]float32{{1}}, Layer: 3}, "head 0 of layer 3, of 1 × 1"},
		{view.Attention{Tokens: []string{"a"}, Heads: 1, Patterns: [][]float32{{}}}, "0 weights"},
		{view.Text{}, "no tokens"},
		{view.Text{Tokens: []string{"a"}, Series: []view.Series{{Name: "loss", Values: []float32{1, 2}}}}, `"loss" has 2 values, not 1`},
		{view.Lens{Tokens: []string{"a"}, Layers: []string{"0"}}, "0 rows"},
		{view.Lens{Tokens: []string{"a"}, Layers: []string{"0"}, Top: [][][]view.Candidate{{{}}}}, "has no token"},
		{view.Lens{Tokens: []string{"a"}, Layers: []string{"0"}, Top: [][][]view.Candidate{{{{Token: "b", Probability: nan}}}}}, "probability NaN"},
		{view.Lens{Tokens: []string{"a"}, Layers: []string{"0"}, Targets: []string{"b"}, Top: [][][]view.Candidate{{{{Token: "b"}}}}}, "targets: no values"},
		{view.Bars{Names: []string{"a"}}, "0 values, not 1"},
		{view.Lines{X: []string{"0", "1"}, Series: []view.Series{{Name: "l", Values: []float32{1, -inf}}}}, `"l": value 1 is infinite`},
		{view.Maps{}, "no maps"},
		{view.Maps{Maps: []view.Matrix{{Title: "QK", Values: ok, Rows: []string{"a"}}}}, `map 0, "QK": 1 labels for 2 rows`},
		{view.Maps{Maps: []view.Matrix{{Values: ok, Min: 2, Max: 1}}}, "colours from 2 to 1"},
		{view.Graph{}, "no nodes"},
		{view.Graph{Nodes: make([]view.Node, 2), Edges: []view.Edge{{From: 0, To: 2}}}, "edge 0 from 0 to 2"},
		{view.Graph{Nodes: make([]view.Node, 2), Edges: []view.Edge{{From: 0, To: 1}}}, "doesn't go upwards"},
		{view.Table{Columns: []string{"a"}, Rows: [][]string{{"1", "2"}}}, "row 0 has 2 cells, not 1"},
	} {
		var b bytes.Buffer
		err := view.HTML(&b, view.Page{Sections: []view.Section{c.section}})
		if !errors.Is(err, view.ErrInput) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "section 0") {
			t.Errorf("%T: %v, want %q", c.section, err, c.want)
		}
		if b.Len() > 0 {
			t.Errorf("%T: %d bytes were written", c.section, b.Len())
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("disk full") }

func TestWriteError(t *testing.T) {
	if err := view.HTML(failing{}, pageOf("a")); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Error(err)
	}
	if err := view.PNG(failing{}, view.Matrix{Values: [][]float32{{1}}}, view.PNGOptions{}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Error(err)
	}
}
