package torchfile_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor/torchfile"
)

// TestPublishedAdapter reads a prompt adapter that PEFT saved before it used safetensors.
func TestPublishedAdapter(t *testing.T) {
	dir := os.Getenv("GPUPEFT_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	file, err := os.Open(filepath.Join(dir, "adapters/bloomz-560m-prompt-adapter/adapter_model.bin"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the published adapter isn't here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := torchfile.New(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	data, e, err := f.Read("prompt_embeddings")
	if err != nil || e.DType != "F32" || !slices.Equal(e.Shape, []int{8, 1024}) || len(data) != 8*1024*4 {
		t.Fatalf("%q: %+v, %v", f.Names(), e, err)
	}
	for at, bits := range map[int]int32{0: -1115223776, 1: -1106385682, 8*1024 - 1: 1029664134} { // as torch.load gives them
		if got := int32(binary.LittleEndian.Uint32(data[4*at:])); got != bits {
			t.Errorf("element %d has the bits %d, want %d", at, got, bits)
		}
	}
}
