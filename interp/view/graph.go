package view

import "fmt"

// Graph is a section with a circuit: heads and MLPs as nodes, weighted edges from those
// that write to the residual stream to those that read from it.
type Graph struct {
	Title, About string
	Unit         string // what the weights are
	Nodes        []Node
	Edges        []Edge
}

// Node is a head, an MLP, the input or the output.
type Node struct {
	Name string // "L5H1"
	// Row is where it is drawn, 0 at the bottom: of a model, 2l+1 for the heads of layer
	// l, 2l+2 for its MLP, 0 for the embedding. Edges go upwards.
	Row  int
	Kind string // "head", "mlp" or other, which gives its colour
}

// Edge goes from one node to another, by index.
type Edge struct {
	From, To int
	Weight   float32
}

func (g Graph) section() (heading, any, error) {
	h := heading{"graph", g.Title, g.About}
	type node struct {
		Name string `json:"name"`
		Row  int    `json:"row"`
		Kind string `json:"kind"`
	}
	if len(g.Nodes) == 0 {
		return h, nil, fmt.Errorf("no nodes: %w", ErrInput)
	}
	var nodes []node
	for _, n := range g.Nodes {
		nodes = append(nodes, node{visible(n.Name, maxLabel), n.Row, visible(n.Kind, maxLabel)})
	}
	edges := make([][2]int, len(g.Edges))
	weights := make([]float32, len(g.Edges))
	for i, e := range g.Edges {
		if e.From < 0 || e.To < 0 || e.From >= len(g.Nodes) || e.To >= len(g.Nodes) || g.Nodes[e.From].Row >= g.Nodes[e.To].Row {
			return h, nil, fmt.Errorf("edge %d from %d to %d doesn't go upwards between two of %d nodes: %w", i, e.From, e.To, len(g.Nodes), ErrInput)
		}
		edges[i], weights[i] = [2]int{e.From, e.To}, e.Weight
	}
	if err := noneInfinite(weights); err != nil {
		return h, nil, fmt.Errorf("edges: %w", err)
	}
	return h, map[string]any{"unit": visible(g.Unit, maxLabel), "nodes": nodes, "edges": edges, "weights": floats(weights)}, nil
}
