package cli_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/interp"
)

// soups are two texts of as many tokens.
var soups = []string{
	"-p", "Review: Hugo and I ate the soup. Verdict:", "--corrupted", "Review: Hugo and I ate the pie. Verdict:",
	"--target", "good", "--foil", "bad", "--device", "cpu",
}

func TestPatch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "patch.html")
	type patchReport struct {
		Clean     []int32
		CleanIs   float64 `json:"clean_value"`
		Corrupted float64 `json:"corrupted_value"`
		To        []string
		Patches   []struct {
			What         string
			Values, Part interp.Table
		}
	}
	args := append([]string{"patch"}, soups...)
	got := decode[patchReport](t, must(t, append(args, "--json", "--what", "heads,resid_pre", "--html", file)...).out)
	p, _ := readPage(t, file)
	if p.kinds() != "maps" || len(p.Sections[0].Data["maps"].([]any)) != 2 {
		t.Errorf("sections %s", p.kinds())
	}
	heads, stream := got.Patches[0], got.Patches[1]
	if len(heads.Part) != 5 || len(heads.Part[0]) != 4 || len(stream.Part[0]) != len(got.Clean) {
		t.Errorf("%d layers of %d heads, %d tokens", len(heads.Part), len(heads.Part[0]), len(stream.Part[0]))
	}
	// Where the stream before the first layer is the clean one at the one token that differs,
	// all is as in the clean text.
	best := 0.0
	for _, v := range stream.Part[0] {
		best = max(best, v)
	}
	if math.Abs(best-1) > 1e-4 || got.CleanIs == got.Corrupted {
		t.Errorf("patched embeddings bring %v back", best)
	}
	for l := range heads.Part {
		for h, part := range heads.Part[l] {
			if want := (heads.Values[l][h] - got.Corrupted) / (got.CleanIs - got.Corrupted); math.Abs(part-want) > 1e-9 {
				t.Errorf("L%dH%d: part %v, want %v", l, h, part, want)
			}
		}
	}
	got = decode[patchReport](t, must(t, append(args, "--json", "--to", "L3H1.q,L4H0.v")...).out)
	if paths := got.Patches[0]; strings.Join(got.To, " ") != "L3H1.q L4H0.v" || paths.Part[4][0] != 0 || paths.Part[0][0] == 0 {
		t.Errorf("%+v", got)
	}
	if r := must(t, append(args, "--top", "2")...); !strings.Contains(r.out, "heads, the part of the way") || strings.Count(r.out, "(") != 2 {
		t.Errorf("%s", r.out)
	}
	for line, want := range map[string]string{
		"patch -p a":                                                "--corrupted is missing",
		"patch -p a --corrupted b":                                  "--target is missing",
		"patch --corrupted a --target 5":                            "--prompt",
		"patch -p a --corrupted a.b.c --target 5":                   "tokens",
		"patch -p a --corrupted b --target nonsensical":             "neither one token",
		"patch -p a --corrupted b --target 5 --what all":            "--what",
		"patch -p a --corrupted b --target 5 --to H1":               "--to",
		"patch -p a --corrupted b --target 5 --to L9H1.q":           "receiver",
		"patch -p a --corrupted b --target 5 --top 0":               "--top 0",
		"edges -p a --corrupted b":                                  "--target is missing",
		"edges -p a --corrupted b --target 5 --steps 0":             "--steps 0",
		"edges -p a --corrupted b --target 5 --html /nonexistent/x": "/nonexistent",
	} {
		r := run(t, append(strings.Fields(line), "--device", "cpu")...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q", line, r.code, r.err)
		}
	}
}

func TestEdges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "circuit.html")
	args := append([]string{"edges", "--html", file, "--top", "7"}, soups...)
	r := must(t, args...)
	if strings.Count(r.out, "→") != 7 || !strings.Contains(r.out, "wrote "+file) {
		t.Errorf("%s", r.out)
	}
	p, _ := readPage(t, file)
	if p.kinds() != "graph table" || len(p.Sections[1].Data["rows"].([]any)) != 7 {
		t.Errorf("sections %s", p.kinds())
	}
	got := decode[struct {
		Steps int
		Edges []struct {
			From, To string
			Score    float64
		}
	}](t, must(t, append(args, "--json", "--steps", "3")...).out)
	shared := 0
	for i, e := range got.Edges {
		if i > 0 && math.Abs(e.Score) > math.Abs(got.Edges[i-1].Score) {
			t.Fatalf("edge %d has the larger score", i)
		}
		if strings.Contains(e.To, "kv") {
			shared++
		}
	}
	// Five layers of four heads (two for keys) and an MLP: each reader has the embedding and
	// what comes before it.
	want := 26
	for l := range 5 {
		want += (4+2+2)*(1+5*l) + 1 + 5*l + 4
	}
	if len(got.Edges) != want || shared == 0 || got.Steps != 3 {
		t.Errorf("%d edges, want %d; %d to key heads", len(got.Edges), want, shared)
	}
}
