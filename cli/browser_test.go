package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/chromium"
	"github.com/gpupeft/gpupeft/transformer/demo"
)

// hostile is what a token must not do to a page.
const hostile = `</script><img src=x onerror="document.title='bad'"><script>document.title='bad'</script>` + "\u202e\u2028<b>"

// hostileModel is the built-in model, one token of which is hostile.
func hostileModel(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "<b>model")
	if err := os.CopyFS(dir, demo.Model()); err != nil {
		t.Fatal(err)
	}
	var tok map[string]any
	if err := json.Unmarshal([]byte(read(t, dir, "tokenizer.json")), &tok); err != nil {
		t.Fatal(err)
	}
	model := tok["model"].(map[string]any)
	merges, vocab := model["merges"].([]any), model["vocab"].(map[string]any)
	last := strings.NewReplacer(" ", "", "[", "", "]", "").Replace(fmt.Sprint(merges[len(merges)-1]))
	id, ok := vocab[last]
	if !ok {
		t.Fatalf("no token %q", last)
	}
	delete(vocab, last)
	vocab[hostile], model["merges"] = id, merges[:len(merges)-1]
	tok["added_tokens"] = append(tok["added_tokens"].([]any), map[string]any{
		"id": id, "content": hostile, "single_word": false,
		"lstrip": false, "rstrip": false, "normalized": false, "special": false,
	})
	text, err := json.Marshal(tok)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPagesInBrowser opens the pages of inspect-heads and lens in Chromium: the keys change
// the head, hostile tokens stay text, and nothing is asked of a network or goes wrong.
func TestPagesInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	dir, model := t.TempDir(), hostileModel(t)
	harmless := func(b *chromium.Browser, running string) {
		t.Helper()
		b.Contains(`String(document.title === "bad")`, "false")
		b.Contains(`String(document.querySelectorAll("img, b, script:not(:is(head script, body > script))").length)`, "0")
		b.Contains(fmt.Sprintf("document.querySelector(%q).textContent", running), "onerror=")
		b.Quiet()
	}

	file := filepath.Join(dir, "heads.html")
	must(t, "inspect-heads", "--device", "cpu", "--model", model, "-p", "Review: good"+hostile+" soup.", "--html", file)
	b := chromium.Open(t, file)
	const shown = `document.querySelector(".attention .toolbar strong").textContent`
	first := b.Eval(shown)
	b.Key("]")
	if next := b.Eval(shown); next == first {
		t.Errorf("still %s after ]", next)
	}
	b.Key("[")
	b.Contains(shown, first)
	b.Eval(`document.querySelector(".scores canvas").focus()`)
	b.Key("ArrowRight")
	b.Key("Enter")
	b.Contains(shown, "L0H1 (kv0)")
	b.Hover(".attention .running .token[data-i='3']", 0.5, 0.5)
	b.Contains(`document.querySelector(".attention output").textContent`, "→")
	harmless(b, ".attention .running")

	file = filepath.Join(dir, "lens.html")
	must(t, "lens", "--device", "cpu", "--model", model, "-p", "Review: good"+hostile+" soup.", "--html", file)
	b = chromium.Open(t, file)
	b.Eval(`document.querySelector(".lens td[tabindex='0']").focus()`)
	b.Key("ArrowDown")
	b.Contains(`document.querySelector(".lens output").textContent`, "4.hook_resid_pre")
	harmless(b, ".lens")

	// What inspect-heads makes without a text.
	file = filepath.Join(dir, "random.html")
	must(t, "inspect-heads", "--device", "cpu", "--random", "20", "--batch", "2", "--html", file)
	b = chromium.Open(t, file)
	b.Hover(".scores canvas", 0.5, 0.5)
	b.Contains(`document.querySelector(".scores output").textContent`, "against the baseline")
	b.Quiet()
}
