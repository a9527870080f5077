package results

import (
	"fmt"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
)

// fonts hold the Go fonts in the sizes that were asked for.
type fonts struct {
	regular, bold *opentype.Font
	scale         float64 // device pixels of a pixel
	faces         map[face]font.Face
}

func openFonts(scale float64) (*fonts, error) {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("font Go Regular: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("font Go Bold: %w", err)
	}
	return &fonts{regular, bold, scale, map[face]font.Face{}}, nil
}

// face returns a font's face; only size and weight of f count.
func (s *fonts) face(f face) (font.Face, error) {
	key := face{size: f.size, bold: f.bold}
	if known := s.faces[key]; known != nil {
		return known, nil
	}
	from := s.regular
	if f.bold {
		from = s.bold
	}
	made, err := opentype.NewFace(from, &opentype.FaceOptions{Size: f.size * s.scale, DPI: 72})
	if err == nil {
		s.faces[key] = made
	}
	return made, err
}

// width returns the width of a text in pixels.
func (s *fonts) width(text string, f face) float64 {
	use, err := s.face(f)
	if err != nil {
		return f.size * float64(len(text)) / 2
	}
	return float64(font.MeasureString(use, text)) / 64 / s.scale
}
