package data_test

import (
	"reflect"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
)

func TestFewShot(t *testing.T) {
	const bos, eos, blank = 1, 2, 9
	shot := func(question, answer int32) data.Example {
		return data.Example{IDs: []int32{bos, question, answer, eos}, Labels: []int32{masked, masked, answer, eos}}
	}
	f := data.FewShot{Source: data.List{shot(5, 6)}, Shots: []data.Example{shot(3, 4), shot(7, 8)}, Between: []int32{blank}, BOS: bos, Stop: []int32{eos}}
	e, err := f.Example(0)
	want := data.Example{
		IDs:    []int32{bos, 3, 4, blank, 7, 8, blank, 5, 6, eos},
		Labels: []int32{masked, masked, masked, masked, masked, masked, masked, masked, 6, eos},
	}
	if err != nil || !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, %v, want %+v", e, err, want)
	}
	if f.Length(0) < len(e.IDs) || f.Len() != 1 {
		t.Errorf("length %d of %d tokens, %d examples", f.Length(0), len(e.IDs), f.Len())
	}
	f.Stop, f.BOS, f.Between = nil, -1, nil // conversations keep what their template writes
	if e, _ = f.Example(0); len(e.IDs) != 12 || e.Targets() != 2 {
		t.Errorf("%+v", e)
	}
}
