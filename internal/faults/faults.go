// Package faults gives tests a disk and a Vulkan driver that fail when they want it to.
//
// The disk fails in the system calls of a process below a directory, which the kernel lets
// the test answer in its place:
//
//	made, err := faults.StartCalls(t, command, dir, faults.CallRule{At: 3, Errno: syscall.ENOSPC}).Wait(t)
//
// The driver is a loader, built from testdata/vulkan.c, that stands before the machine's own:
//
//	loader := faults.New(t)
//	loader.Set(faults.Submit, faults.Rule{After: 3, Result: faults.DeviceLost})
//	command.Env = append(os.Environ(), loader.Env()...)
//
// Native libraries load Vulkan once, so the driver fails in processes that are started
// with Env; Opened gives such a process its loader.
package faults

import (
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Kind is a kind of calls, which are counted together.
type Kind int

// The kinds of calls.
const (
	Submit   Kind = iota // vkQueueSubmit
	Allocate             // vkAllocateMemory
	Wait                 // vkWaitForFences and vkWaitSemaphores
	State                // vkGetFenceStatus and vkGetSemaphoreCounterValue
	Map                  // vkMapMemory
	Pipeline             // vkCreateComputePipelines
	Object               // making buffers, layouts, shader modules and descriptors
	Commands             // making, beginning and ending command buffers
	Device               // vkCreateDevice
	kinds
)

// Result is a VkResult.
type Result int32

// The results of failed calls.
const (
	Timeout              Result = 2
	OutOfHostMemory      Result = -1
	OutOfDeviceMemory    Result = -2
	InitializationFailed Result = -3
	DeviceLost           Result = -4
	MemoryMapFailed      Result = -5
)

// Rule says which call fails.
type Rule struct {
	After  int // the call, counted from 1; 0: none
	Again  int // the one that fails after that, counted from 1 again; 0: none
	Result Result
}

// Loader is the faulty loader and its rules.
type Loader struct {
	t   testing.TB
	dir string
}

//go:embed testdata/vulkan.c
var source []byte

const (
	envName     = "GPUPEFT_FAULTS"
	controlName = "control"
	fields      = 5 // of a rule in vulkan.c, 4 bytes each
)

// New builds the loader. Without Linux, a C compiler and a Vulkan loader the test is
// skipped, unless GPUPEFT_REQUIRE_GPU=1 says that there must be a GPU.
func New(t testing.TB) *Loader {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("GPUPEFT_REQUIRE_GPU") == "1" {
			t.Fatal("a faulty driver needs ", what)
		}
		t.Skip("a faulty driver needs ", what)
	}
	if runtime.GOOS != "linux" {
		missing("Linux")
	}
	compiler, err := exec.LookPath("cc")
	if err != nil {
		missing("a C compiler")
	}
	path, err := exec.Command(compiler, "-print-file-name=libvulkan.so.1").Output()
	real := strings.TrimSpace(string(path))
	if err != nil || !filepath.IsAbs(real) {
		missing("a Vulkan loader, libvulkan.so.1")
	}
	l := &Loader{t, t.TempDir()}
	code := filepath.Join(l.dir, "vulkan.c")
	l.check(os.WriteFile(code, source, 0o600))
	l.check(os.WriteFile(l.control(), make([]byte, 4*fields*int(kinds)), 0o600))
	out, err := exec.Command(compiler, "-std=gnu11", "-O1", "-Wall", "-shared", "-fPIC", `-DLOADER="`+real+`"`, "-o", filepath.Join(l.dir, "libvulkan.so.1"), code, "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return l
}

// Opened is the loader of this process, nil if it has none.
func Opened(t testing.TB) *Loader {
	if control := os.Getenv(envName); control != "" {
		return &Loader{t, filepath.Dir(control)}
	}
	return nil
}

// Env is what a process needs in its environment to get the loader.
func (l *Loader) Env() []string {
	path := l.dir
	if more := os.Getenv("LD_LIBRARY_PATH"); more != "" {
		path += ":" + more
	}
	return []string{"LD_LIBRARY_PATH=" + path, envName + "=" + l.control()}
}

func (l *Loader) control() string { return filepath.Join(l.dir, controlName) }

func (l *Loader) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// Set makes a rule, and counts from 0.
func (l *Loader) Set(k Kind, r Rule) {
	l.t.Helper()
	f, err := os.OpenFile(l.control(), os.O_WRONLY, 0)
	l.check(err)
	var data []byte
	for _, v := range [fields]int32{0, 0, int32(r.After), int32(r.Again), int32(r.Result)} {
		data = binary.NativeEndian.AppendUint32(data, uint32(v))
	}
	_, err = f.WriteAt(data, 4*fields*int64(k))
	l.check(err)
	l.check(f.Close())
}

// Calls returns how many calls of a kind there were since Set, and how many failed.
func (l *Loader) Calls(k Kind) (calls, failed int) {
	l.t.Helper()
	data, err := os.ReadFile(l.control())
	l.check(err)
	at := data[4*fields*int(k):]
	return int(binary.NativeEndian.Uint32(at)), int(binary.NativeEndian.Uint32(at[4:]))
}
