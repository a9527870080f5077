package exact_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/internal/exact"
)

func TestWrite(t *testing.T) {
	five := func(w io.Writer) error {
		_, err := io.WriteString(w, "ab")
		_, err2 := io.WriteString(w, "cde")
		return errors.Join(err, err2)
	}
	var b bytes.Buffer
	if err := exact.Write(&b, 5, five); err != nil || b.String() != "abcde" {
		t.Errorf("%q, %v", b.String(), err)
	}
	for _, n := range []int64{4, 6} {
		if err := exact.Write(io.Discard, n, five); !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("five bytes as %d: %v", n, err)
		}
	}
	broken := errors.New("broken")
	if err := exact.Write(io.Discard, 0, func(io.Writer) error { return broken }); !errors.Is(err, broken) || errors.Is(err, tensor.ErrFormat) {
		t.Errorf("got %v", err)
	}
}
