package view_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gpupeft/gpupeft/interp/view"
)

func TestLabel(t *testing.T) {
	for token, want := range map[string]string{
		"":                             `""`,
		" the":                         "·the",
		"  ":                           "··",
		"a\n":                          `a\n`,
		"\t\r\x1b[31m":                 `\t\r\x1b[31m`,
		"\xe2\x96":                     `\xe2\x96`,
		"é\xffé":                       `é\xffé`,
		"\u2028":                       `\u2028`,
		"\u202ecod.exe":                `\u202ecod.exe`,
		"x\u200b\u2066y":               `x\u200b\u2066y`,
		"日本":                           "日本",
		"👍🏽":                           "👍🏽",
		"\ufffd":                       "\ufffd",
		"</script><b onclick='x'>":     "</script><b·onclick='x'>",
		strings.Repeat("x", 40):        strings.Repeat("x", 40),
		strings.Repeat("x", 41):        strings.Repeat("x", 39) + "…",
		strings.Repeat("\n", 30):       strings.Repeat(`\n`, 19) + "…",
		strings.Repeat("日", 1<<20):     strings.Repeat("日", 39) + "…",
		strings.Repeat("x", 39) + "\n": strings.Repeat("x", 39) + "…",
	} {
		got := view.Label(token)
		if got != want {
			t.Errorf("%.50q: %q, want %q", token, got, want)
		}
		if again := view.Label(got); again != got {
			t.Errorf("%.50q: %q, and again %q", token, got, again)
		}
	}
}

// hostile makes strings of the pieces that break pages, terminals and encodings.
func hostile(rng *rand.Rand) string {
	pieces := []string{
		"</script>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!--", "-->", "]]>", "<![CDATA[", "</style>", "</title>",
		`"`, "'", "`", "&lt;", "&", "<", ">", "\\", "\x00", "\x1b[2J", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff", "\xff", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"${alert(1)}", "{{.}}", "javascript:alert(1)", " onload=alert(1) ", "%3C", "\\u003c", "日本", "é", "👍🏽", "\n", "\r\n", "\t", " ", "a", "__proto__", "constructor",
	}
	var b strings.Builder
	for range 1 + rng.IntN(6) {
		if rng.IntN(4) == 0 {
			b.WriteByte(byte(rng.IntN(256)))
		} else {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
	}
	return b.String()
}

func TestLabelIsHarmless(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		s := hostile(rng)
		got := view.Label(s)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 40 || strings.ContainsAny(got, " \n\r\t\x00\x1b\u2028\u2029\u202e\u2066\ufeff") {
			t.Fatalf("%q: %q", s, got)
		}
		if again := view.Label(got); again != got {
			t.Fatalf("%q: %q, and again %q", s, got, again)
		}
	}
}
