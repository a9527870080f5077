//go:build linux && (amd64 || arm64)

package faults

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// archs are the kernel's names of Go's.
var archs = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// notification and response are struct seccomp_notif and seccomp_notif_resp of
// linux/seccomp.h.
type notification struct {
	id   uint64
	pid  uint32
	_    uint32 // flags
	nr   int32
	_    uint32 // architecture
	_    uint64 // instruction
	args [6]uint64
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
		nr     = 0 // offsets in struct seccomp_data
		arch   = 4
		flags  = 16 + 2*8 // the third argument
		opened = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT
	)
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
	const withListener = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, withListener, uintptr(unsafe.Pointer(&program))) // #nosec G103 -- there is no other way
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// ioctl passes one of the structs.
func ioctl[T notification | response](fd, request int, p *T) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(p))) // #nosec G103 -- there is no other way
	return errno
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
	written, _ := unix.Write(fd, data)
	return int64(max(written, 0))
}
