package formats

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestBadGGUF: a pair of which one half is missing is an error, whichever it is.
func TestBadGGUF(t *testing.T) {
	const q, k = "blk.0.attn_q.weight", "blk.0.attn_k.weight"
	for _, c := range []struct {
		names []string
		says  string
	}{
		{[]string{q + ".lora_a", q + ".lora_b"}, ""},
		{[]string{q + ".lora_a"}, q + ": one of lora_a and lora_b is missing"},
		{[]string{q + ".lora_a", q + ".lora_b", k + ".lora_b"}, k + ": one of lora_a and lora_b is missing"},
		{[]string{q + ".lora_a", q}, `"blk.0.attn_q.weight" is neither`},
		{[]string{q + ".lora_b.lora_a", q + ".lora_b"}, "is neither"},
		{[]string{"blk.0.none.weight.lora_a", "blk.0.none.weight.lora_b"}, "no such matrix"},
	} {
		meta := []gguf.KV{
			{Key: "general.type", Value: "adapter"},
			{Key: "general.architecture", Value: "gemma"},
			{Key: "adapter.type", Value: "lora"},
			{Key: "adapter.lora.alpha", Value: float32(2)},
		}
		var tensors []gguf.Tensor
		for _, name := range c.names {
			shape := []int{2, 4}
			if strings.HasSuffix(name, "b") {
				shape = []int{4, 2}
			}
			tensors = append(tensors, gguf.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: make([]byte, 32)})
		}
		var b bytes.Buffer
		path := filepath.Join(t.TempDir(), "adapter.gguf")
		if err := errors.Join(gguf.Write(&b, meta, tensors), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		_, _, err := Read(path, Options{Model: &transformer.Config{Kind: "gemma"}})
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, peft.ErrFormat) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: got %v, want %q", c.names, err, c.says)
		}
	}
}
