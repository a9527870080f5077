package gpu_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
)

// squares squares numbers on the GPU.
func squares(ctx context.Context, x []float32) error {
	dev, err := gpu.OpenDevice(ctx, gpu.Config{})
	if err != nil {
		return err
	}
	defer dev.Close()
	square, err := dev.Kernel(gpu.KernelSource{Label: "square", Entry: "square", WGSL: `
		@group(0) @binding(0) var<storage, read_write> x: array<f32>;
		@compute @workgroup_size(64)
		fn square(@builtin(global_invocation_id) id: vec3<u32>) {
			if (id.x < arrayLength(&x)) { x[id.x] = x[id.x] * x[id.x]; }
		}`})
	if err != nil {
		return err
	}
	buf, err := dev.NewBuffer("x", int64(4*len(x)))
	if err != nil {
		return err
	}
	data := make([]byte, buf.Size())
	binary.Encode(data, binary.LittleEndian, x)
	if err := dev.Write(ctx, buf, 0, data); err != nil {
		return err
	}
	groups := [3]uint32{uint32(len(x)+63) / 64, 1, 1}
	if err := dev.Run(ctx, gpu.Dispatch{Kernel: square, Bindings: []gpu.Binding{buf.All()}, Groups: groups}); err != nil {
		return err
	}
	if err := dev.Read(ctx, buf, 0, data); err != nil {
		return err
	}
	return binary.Read(bytes.NewReader(data), binary.LittleEndian, x)
}

// Any WGSL kernel can be run over buffers, in a few lines and without WebGPU's own
// objects. (This example has no expected output, because examples with one fail on
// machines without a GPU; TestExample runs it.)
func Example() {
	x := []float32{1, 2, 3, 4}
	if err := squares(context.Background(), x); err != nil {
		log.Fatal(err) // errors.Is(err, gpu.ErrUnavailable) where there is no GPU
	}
	fmt.Println(x) // [1 4 9 16]
}

func TestExample(t *testing.T) {
	openDevice(t, gpu.Config{}) // skips without a GPU
	x := []float32{1, 2, 3, 4}
	must(t, squares(t.Context(), x))
	if got := fmt.Sprint(x); got != "[1 4 9 16]" {
		t.Errorf("squares %s", got)
	}
}
