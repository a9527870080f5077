package view

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

// Page is what one HTML file shows.
type Page struct {
	Title    string
	Facts    []Fact   // model, device, seed, …: a line each under the title
	Warnings []string // what the reader must know before believing any of it
	Sections []Section
}

// Fact is a named value.
type Fact struct{ Name, Value string }

// Section is a part of a page: Scores, Attention, Text, Lens, Bars, Lines, Maps, Graph or
// Table.
type Section interface {
	// section checks the section and returns what the page's script draws it from.
	section() (heading, any, error)
}

// heading is the part of a section that needs no script.
type heading struct{ Kind, Title, About string }

//go:embed page
var files embed.FS

// scripts are the parts of the page's script: the base, a file for each kind of section,
// and the start.
var scripts = []string{"core", "heat", "tokens", "scores", "attention", "model", "lens", "bars", "lines", "maps", "graph", "table", "main"}

// sheet and script are the page's style sheet and script, policy the content security
// policy that lets just those two through.
var sheet, script, policy = assets()

func assets() (css, js, policy string) {
	read := func(name string) []byte {
		b, err := files.ReadFile("page/" + name)
		if err != nil { // embedded: it can't be missing from a program that was tested
			return nil
		}
		return b
	}
	var b bytes.Buffer
	b.WriteString("\"use strict\";(()=>{\n")
	for _, name := range scripts {
		b.Write(read(name + ".js"))
	}
	b.WriteString("})();\n")
	css, js = string(read("page.css")), b.String()
	return css, js, fmt.Sprintf("default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'", hash(css), hash(js))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

var layout = template.Must(template.ParseFS(files, "page/page.html"))

// part is a section as the template has it.
type part struct {
	ID string
	heading
}

// HTML writes a page as one file that needs no other. Nothing is written if a section is
// bad.
func HTML(w io.Writer, p Page) error {
	shown := Page{Title: visible(p.Title, maxTitle)}
	for _, f := range p.Facts {
		shown.Facts = append(shown.Facts, Fact{visible(f.Name, maxLabel), visible(f.Value, maxTitle)})
	}
	for _, w := range p.Warnings {
		shown.Warnings = append(shown.Warnings, visible(w, maxAbout))
	}
	var parts []part
	type drawn struct {
		ID   string `json:"id"`
		Kind string `json:"kind"`
		Data any    `json:"data"`
	}
	var sections []drawn
	for i, s := range p.Sections {
		h, data, err := s.section()
		if err != nil {
			return fmt.Errorf("section %d, %q: %w", i, visible(h.Title, maxLabel), err)
		}
		id := fmt.Sprintf("s%d", i)
		parts = append(parts, part{id, heading{h.Kind, visible(h.Title, maxTitle), visible(h.About, maxAbout)}})
		sections = append(sections, drawn{id, h.Kind, data})
	}
	var b bytes.Buffer
	err := layout.Execute(&b, map[string]any{
		"Page": shown, "Parts": parts, "Policy": policy,
		"Style": template.CSS(sheet), "Script": template.JS(script),
		"Data": map[string]any{
			"ramps":    map[string]any{"light": light.ramps(), "dark": dark.ramps()},
			"sections": sections,
		},
	})
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func (t theme) ramps() map[string]any {
	return map[string]any{"sequential": t.sequential.stops(), "diverging": t.diverging.stops()}
}
