package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/urfave/cli/v2"
)

// readConfig sets the flags of --config that the command line leaves open. A file has the
// flags' names, a list for what is separated by commas.
func readConfig(c *cli.Context) error {
	name := c.String("config")
	if name == "" {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return usagef("--config %s%w", name, syntaxError(err))
	}
	given := map[string]bool{}
	for _, f := range c.Command.Flags {
		n := f.Names()[0]
		given[n] = c.IsSet(n)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue // nothing but comments
		}
		entries, err := entriesOf(doc.Body)
		if err == nil {
			err = setAll(c, entries, given)
		}
		if err != nil {
			return usagef("--config %s%w", name, err)
		}
	}
	return nil
}

// syntaxError begins with a line's number, and leaves the parser's picture out.
func syntaxError(err error) error {
	var known interface {
		error
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &known) && known.GetToken() != nil {
		return fmt.Errorf(":%d: %s", known.GetToken().Position.Line, known.GetMessage())
	}
	return fmt.Errorf(": %w", err)
}

// entriesOf returns the lines of a mapping.
func entriesOf(n ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, fmt.Errorf(":%d: want lines such as \"batch-size: 4\"", line(n))
}

func line(n ast.Node) int {
	if n == nil || n.GetToken() == nil {
		return 1
	}
	return n.GetToken().Position.Line
}

// setAll sets flags, but not those that are given. Errors begin with a line's number.
func setAll(c *cli.Context, entries []*ast.MappingValueNode, given map[string]bool) error {
	for _, e := range entries {
		name, at := e.Key.String(), line(e.Key)
		if quoted, ok := e.Key.(*ast.StringNode); ok {
			name = quoted.Value
		}
		if set, known := given[name]; !known || slices.Contains(notInConfig, name) {
			return fmt.Errorf(":%d: unknown key %q (want the name of a flag, see: gpupeft help %s)", at, name, c.Command.Name)
		} else if set {
			continue
		}
		value, err := valueOf(e.Value)
		if err != nil {
			return fmt.Errorf(":%d: %s: %w", at, name, err)
		}
		if err := c.Set(name, value); err != nil {
			return fmt.Errorf(":%d: %s %s: a value of the wrong kind", at, name, value)
		}
	}
	return nil
}

// notInConfig are flags that a file can't have.
var notInConfig = []string{"config", "help"}

// valueOf returns what a flag gets.
func valueOf(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.SequenceNode:
		var parts []string
		for _, v := range n.Values {
			part, err := valueOf(v)
			if err != nil {
				return "", err
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("want a text, a number, true or false, or a list of these")
}
