package baseline_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/peft/baseline"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

// row is a prompt of one token with an answer and EOS.
func row(prompt int32, answer ...int32) data.Example {
	ids := append(append([]int32{prompt}, answer...), 2)
	return data.Example{IDs: ids, Labels: append([]int32{transformer.Masked}, ids[1:]...)}
}

func TestMajority(t *testing.T) {
	train := data.List{row(5, 6, 2), row(5, 7), row(9, 6, 2), row(8, 6, 2)}
	a, err := baseline.Majority(train, data.List{row(5, 6, 2), row(5, 7), row(5, 7), row(1, 6, 2)})
	if err != nil || a == nil || a.Right != 0.5 {
		t.Fatal(a, err)
	}
	if a, err := baseline.Majority(data.List{row(1, 3), row(1, 4), row(1, 5)}, train); a != nil || err != nil {
		t.Errorf("answers that all differ: %v, %v", a, err)
	}
}

// TestNGram: a bigram model knows what always follows, and counts as a neural one is
// counted.
func TestNGram(t *testing.T) {
	var train data.List
	for range 50 {
		train = append(train, row(5, 6, 7), row(8, 9, 7))
	}
	s, err := baseline.NGram(t.Context(), 2, 10, train, data.List{row(5, 6, 7), row(8, 3, 7)}, []int32{2})
	if err != nil {
		t.Fatal(err)
	}
	// Right are 6, 7, EOS and 7 after 3 or not, EOS; wrong is 3.
	if s.Targets != 6 || s.Exact == nil || *s.Exact != 0.5 || s.Accuracy < 4.0/6 || s.Accuracy >= 1 {
		t.Errorf("score %+v, exact %v", s, s.Exact)
	}
	if s.Loss < 0.5 || s.Loss > math.Log(10)+2 {
		t.Errorf("loss %v", s.Loss)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := baseline.NGram(ctx, 2, 10, train, train, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if !slices.Equal(train[0].IDs, []int32{5, 6, 7, 2}) {
		t.Error("the data was changed")
	}
}
