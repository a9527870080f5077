package results

import (
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string

	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"visible": visible}).Parse(pageText))
)

// page is what page.html shows. Parts that are empty are left out.
type page struct {
	Title, Lead, Made string
	Notes             []string
	Facts             []Pair
	Sections          []section
	Samples           []Sample
	Groups            []Group
	Policy            string       // what a browser may do with the page
	Style             template.CSS // whose digest is in the policy
	Script            template.JS
}

// section is a table, a figure, or both.
type section struct {
	Name   string
	Table  *sheet
	Figure *picture
}

// picture is a figure within a page.
type picture struct {
	SVG   template.HTML
	Hover string // JSON, for page.js
}

// newPicture draws a figure; nil stays nil.
func newPicture(f *Figure) (*picture, error) {
	if f == nil {
		return nil, nil
	}
	svg, err := f.inline()
	if err != nil {
		return nil, err
	}
	for i := range f.marks {
		f.marks[i].Text = visible(f.marks[i].Text)
	}
	hover, err := json.Marshal(map[string]any{"marks": f.marks, "byX": f.byX, "top": f.top, "bottom": f.bottom})
	if err != nil {
		return nil, err
	}
	return &picture{svg, string(hover)}, nil
}

// sheet is a table within a page.
type sheet struct {
	Titles   []string // of all columns; the first is that of the rows' names
	Rows     []sheetRow
	Sortable bool
	Note     string
}

// sheetRow is a row of a sheet.
type sheetRow struct {
	Name     string
	Baseline bool
	Cells    []cell
}

// cell is a text with the number that it is sorted by.
type cell struct {
	Text string
	Sort string // "": none
	Best bool
}

func (p *page) write(w io.Writer) error {
	style := colorRules(light) + "@media(prefers-color-scheme:dark){" + colorRules(dark) + "}" + shapeRules + pageStyle
	p.Style, p.Script = template.CSS(style), template.JS(pageScript) //nolint:gosec // both are part of the program
	p.Policy = fmt.Sprintf("default-src 'none'; base-uri 'none'; form-action 'none'; style-src %s; script-src %s", digest(style), digest(pageScript))
	return pageTemplate.Execute(w, p)
}

// digest names a text in a content security policy.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
