package cli

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
	"github.com/gpupeft/gpupeft/transformer"
)

const edgesDescription = `Finds the circuit that makes the difference between two texts: for every way from a part
of the model (the embedding, a head, an MLP) to a later one, an estimate of how much the
answer (the logit of --target, less that of --foil, after the text) changes if what goes
along it is the corrupted text's (edge attribution patching). --steps averages gradients on
the way from one text to the other (EAP-IG), which estimates better.

Keys and values are read by key heads, L3kv1, where several heads share one. The weights
are the model's own: merge an adapter to see its circuit.

Example:
   gpupeft edges -p "When Mary and John went to the shop, John gave a drink to" --corrupted \
      "When Mary and John went to the shop, Mary gave a drink to" --target " Mary" --foil " John" \
      --html circuit.html`

func (p *program) edgesCommand() *cli.Command {
	return &cli.Command{
		Name:        "edges",
		Usage:       "find the circuit behind the difference between two texts",
		UsageText:   "gpupeft edges [options] -p TEXT --corrupted TEXT --target TOKEN",
		Description: edgesDescription,
		Action:      p.edges,
		Flags: append(append([]cli.Flag{modelFlag()}, slices.Concat(inputFlags(), pairFlags())...),
			&cli.IntFlag{Name: "steps", Category: groupScores, Value: 1, Usage: "average the gradients of `N` steps between the texts"},
			&cli.IntFlag{Name: "top", Category: groupOutput, Value: 20, Usage: "show the `N` edges of the largest effect; the graph has them"},
			&cli.StringFlag{Name: "html", Category: groupOutput, Usage: "`FILE` for a page with the circuit; it needs no network"},
			deviceFlag(), quantFlag(), jsonFlag("print one JSON object"), quietFlag()),
	}
}

// edgesReport is the result of edges --json.
type edgesReport struct {
	Model string `json:"model"`
	textPair
	Steps int         `json:"steps"`
	Edges []foundEdge `json:"edges"` // all, the largest first

	top    int
	config *transformer.Config
	list   []interp.Edge
}

type foundEdge struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	Score float64 `json:"score"`
}

func (p *program) edges(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.Int("top") < 1 || c.Int("steps") < 1 {
		return usagef("--top %d --steps %d: want at least 1 of each", c.Int("top"), c.Int("steps"))
	}
	out := p.output(c)
	b, err := openBase(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	pair, err := p.pair(c, b, &adapterSet{})
	if err != nil {
		return err
	}
	b.explain(out)
	r := &edgesReport{Model: b.name, textPair: *pair, Steps: c.Int("steps"), top: c.Int("top"), config: b.model.Config}
	if r.list, err = interp.Edges(c.Context, b.model, [][]int32{r.Clean}, [][]int32{r.Corrupted}, r.metric, r.Steps); err != nil {
		return err
	}
	slices.SortStableFunc(r.list, func(a, b interp.Edge) int { return cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)) })
	for _, e := range r.list {
		r.Edges = append(r.Edges, foundEdge{r.name(e.From), r.name(e.To), e.Score})
	}
	if err := writePage(c, func() view.Page { return r.page(b) }); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	for _, e := range r.Edges[:min(r.top, len(r.Edges))] {
		fmt.Fprintf(out.result, "%+8.3f  %s → %s\n", e.Score, e.From, e.To)
	}
	if name := c.String("html"); name != "" {
		fmt.Fprintf(out.result, "\nwrote %s\n", name)
	}
	return nil
}

// shared says whether a node is of a key head that several heads read.
func (r *edgesReport) shared(n interp.Node) bool {
	return (n.Point == transformer.K || n.Point == transformer.V) && r.config.KVHeads < r.config.Heads
}

// name is a node's; that of a key head is its own.
func (r *edgesReport) name(n interp.Node) string {
	if r.shared(n) {
		return strings.Replace(n.String(), "H", "kv", 1)
	}
	return n.String()
}

// page draws the circuit.
func (r *edgesReport) page(b *base) view.Page {
	top := r.list[:min(r.top, len(r.list))]
	table := view.Table{Title: "Edges", Columns: []string{"from", "to", "effect"}}
	for i := range top {
		e := r.Edges[i]
		table.Rows = append(table.Rows, []string{e.From, e.To, fmt.Sprintf("%+.4f", e.Score)})
	}
	graph := view.Graph{Title: "Circuit", Unit: "effect on the answer", About: fmt.Sprintf("The %d of %s with the largest effect, if what goes along them is the corrupted text's. "+
		"Queries, keys and values of a head are drawn as one.", len(top), count(len(r.list), "edge"))}
	nodes := map[string]int{}
	node := func(n interp.Node) int {
		name, row, kind := r.drawnNode(n)
		if _, ok := nodes[name]; !ok {
			nodes[name] = len(graph.Nodes)
			graph.Nodes = append(graph.Nodes, view.Node{Name: name, Row: row, Kind: kind})
		}
		return nodes[name]
	}
	weights := map[[2]int]float64{}
	var order [][2]int
	for _, e := range top {
		ends := [2]int{node(e.From), node(e.To)}
		if _, ok := weights[ends]; !ok {
			order = append(order, ends)
		}
		weights[ends] += e.Score
	}
	for _, ends := range order {
		graph.Edges = append(graph.Edges, view.Edge{From: ends[0], To: ends[1], Weight: float32(weights[ends])})
	}
	return view.Page{Title: "Circuit: " + filepath.Base(r.Model), Sections: []view.Section{graph, table}, Facts: []view.Fact{
		{Name: "clean", Value: strings.Join(b.pieces(r.Clean), "")},
		{Name: "corrupted", Value: strings.Join(b.pieces(r.Corrupted), "")},
		{Name: "target", Value: view.Label(b.piece(r.Target))},
		{Name: "steps", Value: fmt.Sprint(r.Steps)},
		madeBy(),
	}}
}

// drawnNode is what a node is called in the graph, and where it stands: key heads below
// heads, these below the MLP.
func (r *edgesReport) drawnNode(n interp.Node) (name string, row int, kind string) {
	name, _, _ = strings.Cut(r.name(n), ".q")
	switch n.Point {
	case transformer.Embed:
		return "embed", 0, "embed"
	case transformer.UnembedIn:
		return "logits", 3*len(r.config.Layers) + 1, "logits"
	case transformer.MLPOut, transformer.Norm2:
		return name, 3*n.Layer + 3, "mlp"
	case transformer.K, transformer.V:
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".k"), ".v")
		if r.shared(n) {
			return name, 3*n.Layer + 1, "key head"
		}
	}
	return name, 3*n.Layer + 2, "head"
}
