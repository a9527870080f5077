package data_test

import (
	"context"
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

func ExampleOpen() {
	tok, err := tokenizer.Load(demo.Model())
	if err != nil {
		fmt.Println(err)
		return
	}
	dir := fstest.MapFS{"rows.csv": {Data: []byte("text,label\nGood soup.,1\nCold soup.,0\n")}}
	files, err := data.Open(context.Background(), dir, "rows.csv", data.Options{Tokens: tok, Vocab: tok.Size(), MaxLength: 64, Classes: []string{"bad", "good"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer files.Close()
	s := files.Train
	fmt.Printf("%s: %s (%s)\n", s.Name, s.Format, s.Why)
	for e, err := range s.All() {
		fmt.Printf("%q → %q %v\n", tok.Decode(e.Prompt(), true), tok.Decode(e.Completion(), true), err)
	}
	// Output:
	// rows.csv: rows of text and label (the first row has "text" and "label")
	// "Good soup.\nLabel:" → "good" <nil>
	// "Cold soup.\nLabel:" → "bad" <nil>
}

func ExampleLoader_Start() {
	var list data.List
	for i := range int32(6) {
		list = append(list, data.Example{IDs: []int32{i, 9}, Labels: []int32{-100, 9}})
	}
	l := data.Loader{Batch: 2, Seed: 1}
	c, err := l.Start(list, data.State{})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _ := c.Next()
	state := c.State() // goes into a checkpoint
	second, _ := c.Next()
	resumed, _ := l.Start(list, state)
	again, _ := resumed.Next()
	fmt.Println(len(first[0].IDs), state.Step, fmt.Sprint(second) == fmt.Sprint(again))
	// Output: 2 1 true
}

func ExampleExamine() {
	tok, err := tokenizer.Load(demo.Model())
	if err != nil {
		fmt.Println(err)
		return
	}
	rows := `{"prompt": "Say yes:", "completion": " yes"}` + "\n" + `{"prompt": "Say nothing:", "completion": ""}`
	s, err := data.Read(context.Background(), "rows.jsonl", strings.NewReader(rows), data.Options{Tokens: tok, Vocab: tok.Size(), MaxLength: 64})
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := data.Examine(context.Background(), &data.Files{Train: s}, data.ExamineOptions{Tokens: tok, Vocab: tok.Size()})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range x.Warnings {
		fmt.Println(w.Problem, w.Rows, w.Text)
	}
	// Output: empty-target [2] 1 row: the answer is empty, there is nothing to learn
}
