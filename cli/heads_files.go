package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/interp/view"
)

// write makes the files.
func (r *headReport) write(c *cli.Context, b *base, with *adapterSet) error {
	var seen *seenText
	if c.String("html") != "" || c.String("png") != "" {
		var err error
		if seen, err = lookAt(c.Context, b, with, c.Int("task"), r.Tokens[0]); err != nil {
			return err
		}
		if !r.text && len(r.Tokens) > 1 {
			seen.attention.About += " The scores are of all sequences, this is the first."
		}
	}
	for _, f := range []struct {
		flag  string
		write func(name string) error
	}{
		{"csv", func(name string) error { return disk.Write(name, r.writeCSV) }},
		{"out", func(name string) error {
			return disk.Write(name, func(w io.Writer) error { return r.found.Trace().Write(w, traceMetadata(c, b)) })
		}},
		{"html", func(name string) error { return writeView(name, r.page(seen)) }},
		{"png", func(dir string) error { return r.pictures(dir, view.PNGOptions{Scale: c.Float64("png-scale")}, seen) }},
	} {
		if name := c.String(f.flag); name != "" {
			if err := f.write(name); err != nil {
				return fmt.Errorf("--%s: %w", f.flag, err)
			}
		}
	}
	return nil
}

// writeView writes a page.
func writeView(name string, p view.Page) error {
	return disk.Write(name, func(w io.Writer) error { return view.HTML(w, p) })
}

// writePage writes the page of --html, if it is asked for.
func writePage(c *cli.Context, page func() view.Page) error {
	name := c.String("html")
	if name == "" {
		return nil
	}
	if err := writeView(name, page()); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// madeBy is the fact of a page that says with what it was made.
func madeBy() view.Fact { return view.Fact{Name: "made by", Value: "gpupeft " + thisBuild().Version} }

// pictures draws each score that is shown, and the pattern of the head that is called by it.
func (r *headReport) pictures(dir string, o view.PNGOptions, seen *seenText) error {
	names, err := r.names()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	draw := func(name string, m view.Matrix) error {
		return disk.Write(filepath.Join(dir, name+".png"), func(w io.Writer) error { return view.PNG(w, m, o) })
	}
	for _, name := range names {
		if err := draw(name, r.drawnScore(name).Matrix(r.share)); err != nil {
			return err
		}
		top := r.found.Top(name, 1, nil, nil)[0]
		if t := r.threshold(name); t == 0 || top.Score < t {
			continue
		}
		m, err := seen.attention.Matrix(top.Layer, top.Head)
		if err != nil {
			return err
		}
		if err := draw(fmt.Sprintf("%s-L%dH%d", name, top.Layer, top.Head), m); err != nil {
			return err
		}
	}
	return nil
}

// writeCSV writes a row for each head.
func (r *headReport) writeCSV(w io.Writer) error {
	names := slices.Sorted(maps.Keys(r.Scores))
	out := csv.NewWriter(w)
	if err := out.Write(slices.Concat([]string{"layer", "head", "kv_head"}, names)); err != nil {
		return err
	}
	for l := range r.Layers {
		for h := range r.Heads {
			row := []string{strconv.Itoa(l), strconv.Itoa(h), strconv.Itoa(h / r.share)}
			for _, name := range names {
				row = append(row, strconv.FormatFloat(r.Scores[name][l][h], 'g', 7, 64))
			}
			if err := out.Write(row); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}
