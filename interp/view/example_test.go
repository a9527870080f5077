package view_test

import (
	"bytes"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/gpupeft/gpupeft/interp/view"
)

// A page with the scores of two layers of two heads, and their patterns on four tokens.
func ExampleHTML() {
	uniform := []float32{
		1, 0, 0, 0,
		.5, .5, 0, 0,
		.33, .33, .34, 0,
		.25, .25, .25, .25,
	}
	previous := []float32{
		1, 0, 0, 0,
		1, 0, 0, 0,
		0, 1, 0, 0,
		0, 0, 1, 0,
	}
	page := view.Page{
		Title: "A small model",
		Facts: []view.Fact{{Name: "prompt", Value: "Bilbo was the one"}},
		Sections: []view.Section{
			view.Scores{Title: "Scores", Scores: []view.Score{{
				Name: "previous token", About: "Mean attention to the token before.",
				Values:   [][]float32{{0.36, 1}, {0.36, 0.36}}, // [layer][head]
				Baseline: 0.36, Threshold: 0.4,
			}}},
			view.Attention{
				Title: "Attention", Tokens: []string{"Bilbo", " was", " the", " one"}, Heads: 2,
				Patterns: [][]float32{append(append([]float32{}, uniform...), previous...), append(append([]float32{}, uniform...), uniform...)},
			},
		},
	}
	dir, err := os.MkdirTemp("", "view")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "heads.html"))
	if err != nil {
		log.Fatal(err)
	}
	if err := view.HTML(f, page); err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
}

// What tuning changed: the same scores of two models, and how far they are apart.
func Example_comparison() {
	page := view.Page{
		Title: "What tuning changed",
		Sections: []view.Section{
			view.Scores{Title: "Heads", Runs: []string{"base", "tuned"}, Scores: []view.Score{
				{Name: "induction", Values: [][]float32{{0, 0.1}, {0.9, 0}}, Second: [][]float32{{0, 0.1}, {0.4, 0.3}}},
			}},
			view.Lines{
				Title: "Divergence by layer", XName: "layer", YName: "KL, nats", X: []string{"0", "1"},
				Series: []view.Series{{Name: "mean over positions", Values: []float32{0.01, 0.4}}},
			},
			view.Maps{Title: "Attention to the prompt", Same: true, Maps: []view.Matrix{
				{Title: "layer 0", RowName: "head", ColumnName: "virtual token", Values: [][]float32{{0.1, 0.2}, {0, 0}}},
				{Title: "layer 1", RowName: "head", ColumnName: "virtual token", Values: [][]float32{{0.5, 0.1}, {0, 0.3}}},
			}},
			view.Table{
				Title: "Nearest tokens", Columns: []string{"virtual token", "nearest", "cosine"},
				Rows: [][]string{{"0", view.Label(" good"), "0.83"}, {"1", view.Label(" bad"), "0.71"}},
			},
		},
	}
	var b bytes.Buffer
	if err := view.HTML(&b, page); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Len() < 64<<10)
	// Output: true
}

// A heat map in shades, as files and pipes get it.
func ExampleTerminal() {
	none := float32(math.NaN())
	fmt.Print(view.Terminal(view.Matrix{
		Title: "induction", RowName: "layer", ColumnName: "head",
		Values:   [][]float32{{0.01, 0.02, 0, 0.01}, {0.31, 0.02, 0.11, 0}, {0.01, 0.93, 0.02, 0.55}},
		Baseline: 0.02, Group: 2,
	}, view.TerminalOptions{}))
	fmt.Print(view.Terminal(view.Matrix{
		Title: "direct logit attribution", Rows: []string{"attention", "MLP"},
		Values: [][]float32{{0.2, -1.5, 3}, {none, 1.2, -2.6}},
	}, view.TerminalOptions{}))
	// Output:
	// induction
	//       head
	// layer  0  1   2  3
	//     0
	//     1 ░░░
	//     2    ███    ▒▒▒
	//       0    ░░░░░░▒▒▒▓▓▓▓▓▓███ 0.930   baseline 0.020
	// direct logit attribution
	//            0  1  2
	// attention    -▒▒ ██
	//       MLP  ·  ▒▒-▓▓
	//           -3.00 -██-▓▓-░░    ░░ ▓▓ ██ 3.00
}
