package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
)

func deviceFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "device", Value: "auto", Category: groupCompute,
		Usage: "`DEVICE`: auto, cpu, gpu, or gpu:N as gpupeft devices counts them; auto takes a GPU unless it is emulated in software",
	}
}

// quietDrivers keeps a Vulkan layer of Mesa's from writing to standard error that
// there is no desktop session, by naming a directory in which it finds none.
func quietDrivers() {
	const name = "XDG_RUNTIME_DIR"
	if _, set := os.LookupEnv(name); !set && runtime.GOOS == "linux" {
		os.Setenv(name, os.TempDir())
	}
}

// openDevice opens what --device names. A note says why auto took the CPU, or what a GPU leaves to it.
func openDevice(ctx context.Context, want string) (b tensor.Backend, note string, err error) {
	quietDrivers()
	kind, adapter, _ := strings.Cut(want, ":")
	switch {
	case want == "cpu":
		return tensor.NewCPU(0), "", nil
	case kind == "gpu":
		b, note, err := openGPU(ctx, adapter)
		if err != nil {
			return nil, "", fmt.Errorf("--device %s: %w (--device cpu works everywhere)", want, err)
		}
		return b, note, nil
	case want != "auto":
		return nil, "", usagef("--device %q (known: auto, cpu, gpu, gpu:N)", want)
	}
	choice := chooseAuto(gpu.Adapters(ctx))
	if choice.Device == "cpu" {
		return tensor.NewCPU(0), "using the CPU: " + choice.Reason, ctx.Err()
	}
	b, note, err = openGPU(ctx, strings.TrimPrefix(choice.Device, "gpu:"))
	if err == nil {
		return b, note, nil
	}
	return tensor.NewCPU(0), "using the CPU: " + oneLine(err), ctx.Err()
}

// openGPU opens a GPU that computes right. A note says what it leaves to the CPU.
func openGPU(ctx context.Context, adapter string) (_ tensor.Backend, note string, err error) {
	b, err := gpu.Open(ctx, gpu.Config{Adapter: adapter})
	if err != nil {
		return nil, "", err
	}
	trusted, err := trustGPU(ctx, adapter, b.Device().Info())
	if err != nil {
		return nil, "", errors.Join(err, b.Close())
	}
	if len(trusted.OnCPU) == 0 {
		return b, "", nil
	}
	if err := b.Close(); err != nil {
		return nil, "", err
	}
	if b, err = gpu.Open(ctx, gpu.Config{Adapter: adapter, OnCPU: trusted.OnCPU}); err != nil {
		return nil, "", err
	}
	return b, trusted.note(), nil
}

// autoChoice is what --device auto means on this machine.
type autoChoice struct {
	Device string `json:"device"`
	Reason string `json:"reason"`
}

// chooseAuto takes the first adapter that is a real GPU. The list is in order of
// preference.
func chooseAuto(adapters []gpu.AdapterInfo, err error) autoChoice {
	if err != nil {
		return autoChoice{"cpu", strings.TrimPrefix(oneLine(err), "gpu: ")}
	}
	for i, a := range adapters {
		if a.Type != gpu.SoftwareGPU {
			return autoChoice{fmt.Sprintf("gpu:%d", i), "the best real GPU is " + a.Name}
		}
	}
	if len(adapters) == 0 {
		return autoChoice{"cpu", "there is no GPU"}
	}
	return autoChoice{"cpu", fmt.Sprintf("the only adapter, %s, emulates a GPU in software (--device gpu takes it)", adapters[0].Name)}
}

// deviceName describes a backend.
func deviceName(i tensor.Info) string {
	text := i.Kind + ": " + i.Name
	if i.API != "" {
		text += " through " + i.API
	}
	if i.Threads > 0 {
		text += fmt.Sprintf(", %s", count(i.Threads, "thread"))
	}
	return text
}
