//go:build linux && (amd64 || arm64)

package faults

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls are a process, and the calls that it and those that it starts make below a directory.
type Calls struct {
	process  *exec.Cmd
	dir      string
	rule     CallRule
	listener int      // of the kernel
	end      *os.File // is closed when the process has ended
	done     chan error

	made []Called
	full bool
}

// StartCalls starts a command, of whose calls below a directory one fails as a rule says.
// It uses the kernel's own way to answer a process' calls in its place (seccomp's user
// notifications): where there is none, as in Linux before 5.19, the test is skipped, unless
// GPUPEFT_REQUIRE_CALLS=1 says that there must be.
func StartCalls(t testing.TB, c *exec.Cmd, dir string, rule CallRule) *Calls {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	ended, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := &Calls{process: c, dir: dir, rule: rule, end: end, done: make(chan error, 1)}
	var missing error
	started := make(chan error)
	go func() {
		// The filter is this thread's, and of what it starts. The thread goes with the goroutine.
		runtime.LockOSThread()
		if w.listener, missing = listen(); missing != nil {
			started <- missing
			return
		}
		go func() { w.done <- w.watch(ended) }()
		started <- c.Start()
	}()
	err = <-started
	if missing != nil && os.Getenv("GPUPEFT_REQUIRE_CALLS") != "1" {
		t.Skip("needs seccomp's user notifications: ", missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Wait waits for the command, and returns the calls up to its end and what Cmd.Wait does.
func (w *Calls) Wait(t testing.TB) ([]Called, error) {
	t.Helper()
	err := w.process.Wait()
	_ = w.end.Close()
	if err := <-w.done; err != nil {
		t.Fatal("watching system calls: ", err)
	}
	return w.made, err
}

// kinds are the calls that the filter reports. Reading and opening to read are left alone.
var callKinds = map[uint32]Call{
	unix.SYS_MKDIRAT: Make, unix.SYS_OPENAT: Make,
	unix.SYS_WRITE: Write, unix.SYS_PWRITE64: Write, unix.SYS_FTRUNCATE: Write, unix.SYS_COPY_FILE_RANGE: Write, unix.SYS_SENDFILE: Write, unix.SYS_SPLICE: Write,
	unix.SYS_FSYNC: Sync, unix.SYS_FDATASYNC: Sync,
	unix.SYS_RENAMEAT: Rename, unix.SYS_RENAMEAT2: Rename, unix.SYS_LINKAT: Rename, unix.SYS_SYMLINKAT: Rename,
	unix.SYS_FCHMOD: SetMode, unix.SYS_FCHMODAT: SetMode,
	unix.SYS_CLOSE: CloseOut, unix.SYS_UNLINKAT: Remove,
}

// archs are the kernel's names of Go's.
var archs = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// notification and response are struct seccomp_notif and seccomp_notif_resp of
// linux/seccomp.h.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// listen puts the filter on this thread, and returns where it reports.
func listen() (int, error) {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		nr     = 0        // offsets in struct seccomp_data
		arch   = 4        //
		flags  = 16 + 2*8 // the third argument
		opened = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT
	)
	if archs[runtime.GOARCH] == 0 {
		return 0, fmt.Errorf("not on %s", runtime.GOARCH)
	}
	code := []unix.SockFilter{
		{Code: load, K: arch},
		{Code: equal, K: archs[runtime.GOARCH], Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: load, K: nr},
		{Code: equal, K: unix.SYS_OPENAT, Jf: 3},
		{Code: load, K: flags},
		{Code: anyBit, K: opened, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: load, K: nr},
	}
	for n := range callKinds {
		if n != unix.SYS_OPENAT {
			code = append(code, unix.SockFilter{Code: equal, K: n, Jf: 1}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
		}
	}
	code = append(code, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// watch answers calls until the process has ended.
func (w *Calls) watch(ended *os.File) error {
	defer ended.Close()
	defer unix.Close(w.listener)
	for {
		poll := []unix.PollFd{{Fd: int32(w.listener), Events: unix.POLLIN}, {Fd: int32(ended.Fd())}}
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return err
		}
		switch {
		case poll[0].Revents&unix.POLLIN != 0:
			var n notification
			if ioctl(w.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) != 0 {
				continue // the process was killed meanwhile
			}
			r := w.answer(&n)
			r.id = n.id
			_ = ioctl(w.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
		case poll[1].Revents != 0:
			return nil
		}
	}
}

func ioctl(fd, request int, p unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(p))
	return errno
}

// answer lets a call through, or fails it.
func (w *Calls) answer(n *notification) response {
	through := response{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	path, err := n.path()
	if err != nil || path != w.dir && !strings.HasPrefix(path, w.dir+"/") || n.kind() == CloseOut && !n.writable() {
		return through
	}
	c := Called{Call: n.kind(), Path: path}
	defer func() { w.made = append(w.made, c) }()
	at := w.rule.At > 0 && len(w.made)+1 == w.rule.At
	needsRoom := c.Call == Make || c.Call == Write
	c.Failed = at || w.full && needsRoom
	if !c.Failed {
		return through
	}
	if at && w.rule.Full {
		w.full = true
		if half := n.writeHalf(); half > 0 {
			return response{val: half}
		}
	}
	return response{error: -int32(w.rule.Errno)}
}

func (n *notification) kind() Call { return callKinds[uint32(n.nr)] }

// proc is a file that tells about the process.
func (n *notification) proc(parts ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(int(n.pid))}, parts...)...)
}

// fd is an argument that is a file.
func (n *notification) fd(arg int) string { return strconv.Itoa(int(int32(n.args[arg]))) }

// path is what the call is about; of a renaming, the new name.
func (n *notification) path() (string, error) {
	at, name := 0, 1
	switch n.nr {
	case unix.SYS_COPY_FILE_RANGE, unix.SYS_SPLICE:
		return os.Readlink(n.proc("fd", n.fd(2)))
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT:
		at, name = 2, 3
	case unix.SYS_SYMLINKAT:
		at, name = 1, 2
	case unix.SYS_OPENAT, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_FCHMODAT:
	default:
		return os.Readlink(n.proc("fd", n.fd(0)))
	}
	text, err := n.memory(n.args[name], unix.PathMax)
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text, err = text[:end], nil
	}
	if err != nil || filepath.IsAbs(string(text)) {
		return filepath.Clean(string(text)), err
	}
	dir := n.proc("cwd")
	if int32(n.args[at]) != unix.AT_FDCWD {
		dir = n.proc("fd", n.fd(at))
	}
	dir, err = os.Readlink(dir)
	return filepath.Join(dir, string(text)), err
}

// memory reads the process' memory, up to its end.
func (n *notification) memory(address uint64, size int) ([]byte, error) {
	f, err := os.Open(n.proc("mem"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := make([]byte, size)
	read, err := f.ReadAt(text, int64(address))
	return text[:read], err
}

// writable says whether a file that is closed was open for writing.
func (n *notification) writable() bool {
	text, err := os.ReadFile(n.proc("fdinfo", n.fd(0)))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), "flags:")
	line, _, _ := strings.Cut(rest, "\n")
	flags, err := strconv.ParseUint(strings.TrimSpace(line), 8, 64)
	return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
}

// writeHalf writes half of what a call would, and returns how much that was.
func (n *notification) writeHalf() int64 {
	if n.nr != unix.SYS_WRITE || n.args[2] < 2 {
		return 0
	}
	data, err := n.memory(n.args[1], int(n.args[2]/2))
	if err != nil {
		return 0
	}
	text, err := os.ReadFile(n.proc("status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "Tgid:")
	process, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		return 0
	}
	p, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(p)
	fd, err := unix.PidfdGetfd(p, int(n.args[0]), 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	written, err := unix.Write(fd, data)
	return int64(max(written, 0))
}
