// Package cli is the command line of gpupeft. Each command turns its flags into the
// settings of a library call, makes the call and prints what comes of it.
//
// Results go to standard output, notes and errors to standard error. An error is
// one line. The exit code is 0, or 1 where something went wrong, 2 where the
// command line makes no sense, 130 after an interrupt
// and 143 after SIGTERM.
//
// This is the only package that falls back: where --device is auto and there is no
// real GPU it takes the CPU, and says so.
package cli
