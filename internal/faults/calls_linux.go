//go:build linux && (amd64 || arm64)

package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

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

// callKinds are the calls that the filter reports. Reading and opening to read are left alone.
var callKinds = map[uint32]Call{
	unix.SYS_MKDIRAT: Make, unix.SYS_OPENAT: Make,
	unix.SYS_WRITE: Write, unix.SYS_PWRITE64: Write, unix.SYS_FTRUNCATE: Write,
	unix.SYS_COPY_FILE_RANGE: Copy, unix.SYS_SENDFILE: Copy, unix.SYS_SPLICE: Copy,
	unix.SYS_FSYNC: Sync, unix.SYS_FDATASYNC: Sync,
	unix.SYS_RENAMEAT: Rename, unix.SYS_RENAMEAT2: Rename, unix.SYS_LINKAT: Rename, unix.SYS_SYMLINKAT: Rename,
	unix.SYS_FCHMOD: SetMode, unix.SYS_FCHMODAT: SetMode,
	unix.SYS_CLOSE: CloseOut, unix.SYS_UNLINKAT: Remove,
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
			if ioctl(w.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, &n) != 0 {
				continue // the process was killed meanwhile
			}
			r := w.answer(&n)
			r.id = n.id
			_ = ioctl(w.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, &r)
		case poll[1].Revents != 0:
			return nil
		}
	}
}

// answer lets a call through, or fails it.
func (w *Calls) answer(n *notification) response {
	through := response{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	path, err := n.path()
	if err != nil || path != w.dir && !strings.HasPrefix(path, w.dir+"/") || n.kind() == CloseOut && !n.writable() {
		return through
	}
	c := Called{Call: n.kind(), Path: path}
	if info, err := os.Stat(path); c.Call == Sync && err == nil && info.IsDir() {
		c.Call = SyncDir
	}
	defer func() { w.made = append(w.made, c) }()
	at := w.rule.At > 0 && len(w.made)+1 == w.rule.At
	needsRoom := c.Call == Make || c.Call == Write || c.Call == Copy
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
