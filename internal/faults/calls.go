package faults

import "syscall"

// Call is a kind of system calls that change files, such as Go's package os makes them.
type Call string

// The kinds of calls.
const (
	Make     Call = "make"  // of a file or directory, and opening one to write
	Write    Call = "write" // also cutting
	Copy     Call = "copy"  // by the kernel, in place of which Go writes after some errors, such as EIO
	Sync     Call = "sync"  // of a file
	SyncDir  Call = "sync directory"
	Rename   Call = "rename"   // also links
	SetMode  Call = "set mode" // chmod
	CloseOut Call = "close"    // of a file that was open for writing
	Remove   Call = "remove"   // of a file or directory
)

// CallRule says which of the calls below a directory fails.
type CallRule struct {
	At    int // the call, counted from 1; 0: none
	Errno syscall.Errno
	// Full is a disk that is full from then on: a write writes half of its bytes, and each
	// later call that needs room fails with Errno.
	Full bool
}

// Called is a call below the directory.
type Called struct {
	Call   Call
	Path   string
	Failed bool
}
