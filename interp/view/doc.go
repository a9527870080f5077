// Package view draws what was found inside a model: one HTML file that needs no
// network, PNG images, and heat maps in a terminal. Its input is plain data; it knows
// nothing of models, and any program can use it.
//
//	err := view.HTML(w, view.Page{Title: "SmolLM2-135M", Sections: []view.Section{
//		view.Scores{Title: "Heads", Scores: []view.Score{{Name: "induction", Values: [][]float32{…}}}},
//		view.Attention{Title: "Attention", Tokens: tokens, Heads: 9, Patterns: patterns},
//	}})
//	err = view.PNG(w, matrix, view.PNGOptions{})
//	fmt.Print(view.Terminal(matrix, view.TerminalOptions{Color: true}))
//
// A page is a list of sections, each of one kind: Scores (layers × heads), Attention
// (patterns of all heads), Text (tokens coloured by values), Lens (the logit lens), Bars,
// Lines, Maps (matrices with named rows and columns, as full QK and OV circuits), Graph
// (a circuit) and Table. A comparison of two models is a page of Scores with two runs,
// Lines of the divergence by layer, and so on; the example Comparison shows one.
//
// Strings of tokens may be anything: what can't be seen, or would change the direction of
// the text around it, is written out, and what is long is cut (see Label). On a page all
// of it stays text: html/template writes it, the script only sets text contents, and a
// content security policy allows that script, that style sheet and nothing else.
//
// Colours: values that are nowhere negative go from the background to dark blue, signed
// values from red over the background to blue with zero in the middle. NaN is a cell
// without a value. Errors wrap ErrInput and name the section and the place.
package view
