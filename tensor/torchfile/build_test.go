package torchfile_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// The parts of pickles, put together by cat.

func cat(parts ...string) string { return strings.Join(parts, "") }

func le(width int, n uint64) string {
	return string(binary.LittleEndian.AppendUint64(nil, n)[:width])
}

// str is a BINUNICODE, num a LONG1 of eight bytes, global a GLOBAL.
func str(s string) string               { return "X" + le(4, uint64(len(s))) + s }
func num(n int64) string                { return "\x8a\x08" + le(8, uint64(n)) }
func global(module, name string) string { return "c" + module + "\n" + name + "\n" }

// tup is a tuple of values that a pickle makes.
func tup(values ...string) string { return "(" + cat(values...) + "t" }

func nums(ns ...int64) string {
	var list []string
	for _, n := range ns {
		list = append(list, num(n))
	}
	return tup(list...)
}

// storageID names a storage as torch.save does.
func storageID(class, key string, elements int64) string {
	return tup(str("storage"), global("torch", class), str(key), str("cpu"), num(elements)) + "Q"
}

const rebuild = "ctorch._utils\n_rebuild_tensor_v2\n"

// view is a tensor of a storage.
func view(storage string, offset int64, shape, stride string) string {
	return cat(rebuild, tup(storage, num(offset), shape, stride, "\x89", "}"), "R")
}

// vector is a contiguous one of storage "0".
func vector(n int64) string { return view(storageID("FloatStorage", "0", n), 0, nums(n), nums(1)) }

// one is a pickle of {"w": value}.
func one(value string) string { return cat("\x80\x02}", str("w"), value, "s.") }

// entry is a file of an archive.
type entry struct {
	name, data string
	method     uint16
}

// archive makes a zip archive of stored entries, or, where a method is given, of entries
// that only claim to be compressed.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.CreateRaw(&zip.FileHeader{
			Name: e.name, Method: e.method, CRC32: crc32.ChecksumIEEE([]byte(e.data)),
			CompressedSize64: uint64(len(e.data)), UncompressedSize64: uint64(len(e.data)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pt is a file of a pickle, a storage "0" of so many bytes, and more entries.
func pt(t testing.TB, pickle string, data int, more ...entry) []byte {
	t.Helper()
	entries := []entry{{name: "a/data.pkl", data: pickle}, {name: "a/data/0", data: strings.Repeat("\x01", data)}}
	return archive(t, append(entries, more...)...)
}

// patched changes bytes of a file: each old to new, of the same length, which must be there.
func patched(t testing.TB, file []byte, old, new string) []byte {
	t.Helper()
	if len(old) != len(new) || !bytes.Contains(file, []byte(old)) {
		t.Fatalf("%q isn't in the file, or isn't as long as %q", old, new)
	}
	return bytes.ReplaceAll(slices.Clone(file), []byte(old), []byte(new))
}

// legacyMagic is the pickled magic number, legacyHead what stands before the object.
const (
	legacyMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
	legacyHead  = legacyMagic + "\x80\x02M\xe9\x03.\x80\x02}."
)

// legacyVector is a pickle of {"w": a vector of the legacy storage "0"}.
func legacyVector(n int64) string {
	id := tup(str("storage"), global("torch", "FloatStorage"), str("0"), str("cpu"), num(n), "N") + "Q"
	return one(view(id, 0, nums(n), nums(1)))
}

// legacyKeys is a pickle of a list of strings, elements a storage's data.
func legacyKeys(keys ...string) string {
	list := "\x80\x02]("
	for _, k := range keys {
		list += str(k)
	}
	return list + "e."
}

func elements(claimed uint64, bytes int) string {
	return le(8, claimed) + strings.Repeat("\x01", bytes)
}

// nested is a value within so many lists.
func nested(value string, depth int) string {
	return cat(strings.Repeat("]", depth), value, strings.Repeat("a", depth))
}

// doubled is a tuple of lists of twice the one before, n times: 2^n paths to a tensor in a
// few bytes.
func doubled(n byte) string {
	b := "(]" + vector(4) + "aq\x00"
	for i := range n {
		b += cat("](h", string([]byte{i}), "h", string([]byte{i}), "eq", string([]byte{i + 1}))
	}
	return b + "t"
}
