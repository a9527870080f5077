//go:build !purego

package vec

import "golang.org/x/sys/cpu"

// hasAVX2 tells whether the assembly can run here.
var hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA
