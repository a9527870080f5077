package data

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// Vocabulary is what Examine asks of a tokenizer; *tokenizer.Tokenizer implements it.
type Vocabulary interface {
	BOS() (int32, bool)
	EOS() (int32, bool)
	Pad() (int32, bool)
	IsSpecial(id int32) bool
	Piece(id int32) string
}

// ExamineOptions say what is known beside the data.
type ExamineOptions struct {
	Tokens Vocabulary // nil: none
	Stop   []int32    // ids that end a text
	Vocab  int        // ids are below it
	// Embeddings, if given, returns rows of the model's embedding matrix, one after the
	// other, to find tokens that it never learned.
	Embeddings func(ctx context.Context, ids []int32) ([]float32, error)
	Preview    int // how many of the first examples to show
}

// Problem is a kind of mistake that training would not notice.
type Problem string

// The problems that Examine looks for.
const (
	DoubledBOS  Problem = "doubled-bos"      // examples begin with BOS twice: text and tokenizer both put it there
	MissingEOS  Problem = "missing-eos"      // nothing that ends a text is the last target: the model won't learn to stop
	PadIsEOS    Problem = "pad-is-eos"       // EOS is there, but masked, as when padding is masked by id and has EOS's
	EmptyTarget Problem = "empty-target"     // there is nothing to learn but to stop, or nothing at all
	CutTarget   Problem = "truncated-target" // targets are beyond the longest sequence
	Untrained   Problem = "untrained-token"  // the data uses tokens that the model never learned
	Duplicates  Problem = "duplicates"       // what is evaluated on is in the training data, too
	OneAnswer   Problem = "majority-class"   // nearly all answers are the same

)

// Warning is a problem that a part of the data has.
type Warning struct {
	Problem Problem `json:"problem"`
	Part    string  `json:"part"` // train, valid or test
	File    string  `json:"file"`
	Count   int     `json:"count"`
	Rows    []int   `json:"rows,omitempty"` // the first few, as Example.Row counts
	Text    string  `json:"text"`           // for people
}

// Examination is what Examine finds.
type Examination struct {
	Parts    []PartReport `json:"parts"`
	Warnings []Warning    `json:"warnings"`
	Preview  []Shown      `json:"preview,omitempty"`
	Majority *Majority    `json:"majority,omitempty"` // nil unless the answers look like classes
}

// PartReport describes a file, or what a split has left of it.
type PartReport struct {
	Part     string   `json:"part"` // train, valid or test
	File     string   `json:"file"`
	Format   Format   `json:"format"`
	Why      string   `json:"why"`
	SHA256   string   `json:"sha256"`
	Examples int      `json:"examples"`
	Tokens   int      `json:"tokens"`
	Targets  int      `json:"targets"`
	Longest  int      `json:"longest"`
	Cut      int      `json:"truncated"` // rows
	Dropped  int      `json:"dropped"`   // rows
	Lengths  []Bucket `json:"lengths"`
}

// Bucket counts the examples of From to To tokens.
type Bucket struct {
	From  int `json:"from"`
	To    int `json:"to"`
	Count int `json:"count"`
}

// Majority is the most frequent answer of the training data.
type Majority struct {
	Answer  []int32 `json:"answer"`  // tokens
	Share   float64 `json:"share"`   // of the rows
	Classes int     `json:"classes"` // different answers
}

// Shown is an example as the model sees it.
type Shown struct {
	Row    int     `json:"row"`
	Tokens []Token `json:"tokens"`
}

// Token is one token of it.
type Token struct {
	ID      int32  `json:"id"`
	Piece   string `json:"piece,omitempty"`
	Target  bool   `json:"target"`
	Special bool   `json:"special,omitempty"`
}

// Examine reads the data once and looks for mistakes that training would not notice.
// Errors are those of the temporary files and of Embeddings.
func Examine(ctx context.Context, f *Files, o ExamineOptions) (*Examination, error) {
	x := &examiner{ExamineOptions: o, used: make([]bool, o.Vocab), files: map[*store]bool{}, held: map[uint64]int{}}
	names := map[*Set]string{f.Train: "train", f.Valid: "valid", f.Test: "test"}
	for _, s := range slices.Backward(f.Parts()) { // what is evaluated on before what is trained on
		if err := x.part(ctx, names[s], s); err != nil {
			return nil, err
		}
	}
	slices.Reverse(x.Parts)
	x.majority()
	return &x.Examination, x.untrained(ctx)
}

// examiner is an examination that is under way.
type examiner struct {
	ExamineOptions
	Examination
	used    []bool          // ids of the data
	files   map[*store]bool // that were reported on
	held    map[uint64]int  // rows of the parts that are evaluated on, by what they ask
	answers tally           // of the training data
}

// finding collects the rows with a problem.
type finding struct {
	count int
	rows  []int
}

func (f *finding) add(row int) {
	if f.count++; len(f.rows) < named {
		f.rows = append(f.rows, row)
	}
}

// warn reports a finding, if there is one.
func (x *examiner) warn(p Problem, part string, s *Set, f finding, text string, args ...any) {
	if f.count == 0 {
		return
	}
	rows := fmt.Sprintf("%d rows", f.count)
	if f.count == 1 {
		rows = "1 row"
	}
	x.Warnings = append(x.Warnings, Warning{p, part, s.Name, f.count, f.rows, rows + ": " + fmt.Sprintf(text, args...)})
}

// part examines one part.
func (x *examiner) part(ctx context.Context, name string, s *Set) error {
	r := PartReport{
		Part: name, File: s.Name, Format: s.Format, Why: s.Why, SHA256: s.SHA256, Examples: s.Len(),
		Tokens: s.Tokens(), Longest: s.Longest(), Cut: s.Truncated, Dropped: s.Dropped, Lengths: histogram(s),
	}
	var doubled, endless, masked, hollow, twice finding
	seen := map[uint64]int{}
	for e, err := range s.All() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		r.Targets += e.Targets()
		for _, id := range e.IDs {
			x.used[id] = true
		}
		if x.beginsTwice(e) {
			doubled.add(e.Row)
		}
		if s.Format != Text && (s.Truncated == 0 || len(e.IDs) < s.limit) {
			switch end := x.end(e); {
			case end == maskedEnd:
				masked.add(e.Row)
			case end == noEnd:
				endless.add(e.Row)
			}
		}
		if s.Format != Text && x.nothing(e) {
			hollow.add(e.Row)
		}
		key := question(s.Format, e)
		if name != "train" {
			seen[key] = e.Row
		} else {
			if _, ok := x.held[key]; ok {
				twice.add(e.Row)
			}
			x.answers.add(s.Format, e)
			if len(x.Examination.Preview) < x.ExamineOptions.Preview {
				x.Examination.Preview = append(x.Examination.Preview, x.show(e))
			}
		}
	}
	maps.Copy(x.held, seen)
	x.Parts = append(x.Parts, r)
	cut := finding{s.Truncated, s.Cut.Rows}
	if x.files[s.store] {
		cut = finding{} // the other part of the file has been reported on
	} else if s.Lost == 0 {
		hollow.count += s.Dropped
		hollow.rows = append(hollow.rows, s.Left[:min(len(s.Left), named-len(hollow.rows))]...)
	}
	x.files[s.store] = true
	x.warn(DoubledBOS, name, s, doubled, "BOS stands in front twice, once from the text and once from the tokenizer")
	x.warn(MissingEOS, name, s, endless, "the last target isn't one that ends a text, so the model won't learn to stop there")
	x.warn(PadIsEOS, name, s, masked, "EOS is there but is no target, as if padding were masked by id and were EOS")
	x.warn(EmptyTarget, name, s, hollow, "the answer is empty, there is nothing to learn")
	if s.Cut.Targets > 0 {
		x.warn(CutTarget, name, s, cut, "cut to %d tokens, which loses %d targets", s.limit, s.Cut.Targets)
	}
	x.warn(Duplicates, name, s, twice, "also in the data that is evaluated on")
	return nil
}

// beginsTwice says whether an example has BOS twice in front.
func (x *examiner) beginsTwice(e Example) bool {
	if x.Tokens == nil || len(e.IDs) < 2 {
		return false
	}
	bos, ok := x.Tokens.BOS()
	return ok && e.IDs[0] == bos && e.IDs[1] == bos
}

// How an example ends.
const (
	goodEnd = iota
	noEnd
	maskedEnd
)

// ends says whether a token ends a text.
func (x *examiner) ends(id int32) bool {
	return slices.Contains(x.Stop, id) || x.Tokens != nil && x.Tokens.IsSpecial(id)
}

// end looks at the last target of an example; without a tokenizer or ids that end a
// text, nothing is known.
func (x *examiner) end(e Example) int {
	last := len(e.Labels) - 1
	for last >= 0 && e.Labels[last] == transformer.Masked {
		last--
	}
	switch {
	case x.Tokens == nil && len(x.Stop) == 0, last >= 0 && x.ends(e.Labels[last]):
		return goodEnd
	case last+1 < len(e.IDs) && x.ends(e.IDs[last+1]):
		return maskedEnd
	}
	return noEnd
}

// nothing says whether all targets only end the text.
func (x *examiner) nothing(e Example) bool {
	eos := int32(-1)
	if x.Tokens != nil {
		if id, ok := x.Tokens.EOS(); ok {
			eos = id
		}
	}
	for _, id := range e.Completion() {
		if id != eos && !slices.Contains(x.Stop, id) {
			return false
		}
	}
	return true
}

// question identifies what an example asks: its prompt, if it has one with an answer,
// else all of it.
func question(f Format, e Example) uint64 {
	ids := e.IDs
	if p := e.Prompt(); f.Answers() && len(p) > 1 {
		ids = p
	}
	h := fnv.New64a()
	for _, id := range ids {
		h.Write([]byte{byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)})
	}
	return h.Sum64()
}

// histogram counts lengths in buckets that double.
func histogram(s *Set) []Bucket {
	const first = 16
	var list []Bucket
	for i := range s.Len() {
		n := s.Length(i)
		at := 0
		for to := first; n > to; to *= 2 {
			at++
		}
		for len(list) <= at {
			from, to := 1, first<<len(list)
			if len(list) > 0 {
				from = to/2 + 1
			}
			list = append(list, Bucket{From: from, To: to})
		}
		list[at].Count++
	}
	return list
}

// show puts an example into words.
func (x *examiner) show(e Example) Shown {
	s := Shown{Row: e.Row}
	for i, id := range e.IDs {
		t := Token{ID: id, Target: i > 0 && e.Labels[i] != transformer.Masked}
		if x.Tokens != nil {
			t.Piece, t.Special = x.Tokens.Piece(id), x.Tokens.IsSpecial(id)
		}
		s.Tokens = append(s.Tokens, t)
	}
	return s
}
