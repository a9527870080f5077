package cli_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mounted is a file system of its own in memory.
type mounted struct{ dir string }

// mount makes one, if the test may.
func mount(t *testing.T) mounted {
	t.Helper()
	m := mounted{t.TempDir()}
	if err := syscall.Mount("tmpfs", m.dir, "tmpfs", 0, ""); err != nil {
		t.Skip("needs the right to mount: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(m.dir, 0); err != nil {
			t.Error(err)
		}
	})
	return m
}

// change mounts it with other flags or options.
func (m mounted) change(t *testing.T, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount("", m.dir, "", syscall.MS_REMOUNT|flags, options); err != nil {
		t.Fatal(err)
	}
}

// used is its size if nothing were free, in pages of 4 KiB.
func (m mounted) used(t *testing.T) uint64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(m.dir, &s); err != nil {
		t.Fatal(err)
	}
	return (s.Blocks - s.Bfree) * uint64(s.Bsize) / 4096
}

// TestSmallDisk lets a disk become full for real, after any number of pages: the run ends
// with an error, and goes on to the same result when there is room again.
func TestSmallDisk(t *testing.T) {
	m := mount(t)
	rows := readyRows(t, t.TempDir(), 40)
	command := func(name string) []string {
		return []string{
			"tune", "--device", "cpu", "--model", tiny, "--data", rows, "--steps", "9", "--batch-size", "4", "--lr", "0.02", "--save-every", "3",
			"--keep", "2", "--resume", "auto", "--quiet", "--out", filepath.Join(m.dir, name), "--log-jsonl", filepath.Join(m.dir, name+".jsonl"),
		}
	}
	before := m.used(t)
	must(t, command("whole")...)
	whole := m.used(t)
	refused := 0
	for pages := uint64(1); ; pages += max(1, (whole-before)/20) {
		m.change(t, 0, fmt.Sprintf("size=%d", 4096*(whole+pages)))
		r := run(t, command("tuned")...)
		if r.code != 0 {
			refused++
			checkLine(t, r, 1, "no space left on device")
			if !strings.Contains(r.err, m.dir) {
				t.Errorf("%d pages: %s", pages, r.err)
			}
		}
		m.change(t, 0, "size=16m")
		must(t, command("tuned")...)
		same(t, m.dir, "whole", "tuned", 9)
		left, err := filepath.Glob(filepath.Join(m.dir, "tuned*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range left {
			err = errors.Join(err, os.RemoveAll(name))
		}
		if now := m.used(t); err != nil || now != whole {
			t.Fatalf("%d pages: %d are in use, not %d: %v", pages, now, whole, err)
		}
		if r.code == 0 {
			break
		}
	}
	t.Logf("%d sizes of the disk were too small", refused)
	if refused < 10 {
		t.Error("the disk was hardly ever full")
	}
}

// TestReadOnly: where nothing can be written, all commands say so, those that compute for
// long before they do.
func TestReadOnly(t *testing.T) {
	m := mount(t)
	rows := readyRows(t, t.TempDir(), 40)
	plan := write(t, t.TempDir(), "plan.yaml", "name: x\nsettings: {steps: 1}\nmethods: [{name: lora, method: lora}]\ndatasets: [{name: rows, data: "+rows+"}]\nmodels: [{name: tiny, model: "+tiny+"}]\n")
	m.change(t, syscall.MS_RDONLY, "")
	out, adapter := filepath.Join(m.dir, "new", "out"), tiny+"/adapter_lora"
	for _, args := range []string{
		"tune --device cpu --model " + tiny + " --data " + rows + " --steps 100000000 --out OUT",
		"tune --device cpu --model " + tiny + " --data " + rows + " --steps 100000000 --out /proc/self/out",
		"tune --device cpu --model " + tiny + " --data " + rows + " --steps 100000000 --out WRITABLE --log-jsonl OUT",
		"tune --device cpu --model " + tiny + " --data " + rows + " --steps 100000000 --out WRITABLE --tensorboard OUT",
		"capture --device cpu --model " + tiny + " --token-ids 3,4 --out OUT.safetensors",
		"merge --device cpu --model " + tiny + " --adapter " + adapter + " --out OUT",
		"convert --adapter " + adapter + " --to mlx --out OUT",
		"combine --adapter " + adapter + " --out OUT",
		"experiment --out OUT " + plan,
		"inspect-heads --device cpu --model " + tiny + " --random 4 --batch 1 --html OUT.html",
	} {
		name, _, _ := strings.Cut(args, " ")
		t.Run(name, func(t *testing.T) {
			args := strings.NewReplacer("OUT", out, "WRITABLE", filepath.Join(t.TempDir(), "out")).Replace(args)
			r := run(t, strings.Fields(args)...)
			said := r.out + r.err
			if r.code != 1 || !strings.Contains(said, "read-only file system") && !strings.Contains(said, "no such file") || !strings.Contains(said, m.dir) && !strings.Contains(said, "/proc/self") {
				t.Errorf("exit code %d: %s", r.code, said)
			}
		})
	}
}
