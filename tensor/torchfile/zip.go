package torchfile

import (
	"archive/zip"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// record is a stored entry of an archive.
type record struct {
	name        string
	start, size int64
}

// readZip reads the object of a zip archive, with its storages in place, and the number of
// objects that it took to make it.
func readZip(r io.ReaderAt, size int64) (root any, objects int, err error) {
	records, err := readDirectory(r, size)
	if err != nil {
		return nil, 0, err
	}
	folder, err := findFolder(records)
	if err != nil {
		return nil, 0, err
	}
	if err := checkByteOrder(r, records[folder+"byteorder"]); err != nil {
		return nil, 0, err
	}
	pickle := records[folder+"data.pkl"]
	m := machine{s: newScanner(r, pickle.start, pickle.size), storages: map[string]*storage{}, idLength: 5}
	if root, err = m.run(); err != nil {
		return nil, 0, fmt.Errorf("data.pkl: %w", err)
	}
	if m.s.at != pickle.size {
		return nil, 0, malformed("data.pkl has %d bytes behind its end", pickle.size-m.s.at)
	}
	for key, s := range m.storages {
		rec, ok := records[folder+"data/"+key]
		if !ok {
			return nil, 0, malformed("storage data/%.100s is missing in the archive", key)
		}
		if rec.size != s.bytes {
			return nil, 0, malformed("storage data/%.100s has %d bytes, the pickle says %d", key, rec.size, s.bytes)
		}
		s.start = rec.start
	}
	return root, m.objects, nil
}

// readDirectory lists the entries of an archive and checks that they are stored as they
// are, within the file and apart.
func readDirectory(r io.ReaderAt, size int64) (map[string]record, error) {
	section := io.NewSectionReader(r, 0, size) // at negative offsets, which a file may claim, it is at its end
	archive, err := zip.NewReader(section, size)
	if err != nil {
		return nil, archiveError(err)
	}
	records := make(map[string]record, len(archive.File))
	var list []record
	for _, f := range archive.File {
		if _, twice := records[f.Name]; twice {
			return nil, malformed("entry %.100q stands twice in the archive", f.Name)
		}
		rec, err := locate(f, size)
		if err != nil {
			return nil, fmt.Errorf("entry %.100q: %w", f.Name, err)
		}
		records[f.Name] = rec
		list = append(list, rec)
	}
	slices.SortFunc(list, func(a, b record) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.size, b.size)) })
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; a.start+a.size > b.start {
			return nil, malformed("entries %.100q and %.100q overlap", a.name, b.name)
		}
	}
	return records, nil
}

// locate finds an entry's bytes in a file of the given size.
func locate(f *zip.File, size int64) (record, error) {
	if f.Method != zip.Store || f.Flags&1 != 0 {
		return record{}, unsupported("it is compressed or encrypted, which torch.save doesn't do")
	}
	if f.UncompressedSize64 != f.CompressedSize64 {
		return record{}, malformed("%d bytes are stored as %d", f.UncompressedSize64, f.CompressedSize64)
	}
	start, err := f.DataOffset()
	if err != nil {
		return record{}, archiveError(err)
	}
	if start > size || f.UncompressedSize64 > uint64(size-start) {
		return record{}, malformed("%d bytes at %d are beyond a file of %d (truncated?)", f.UncompressedSize64, start, size)
	}
	return record{f.Name, start, int64(f.UncompressedSize64)}, nil
}

// findFolder returns the name, with the slash, of the folder that all entries lie in.
func findFolder(records map[string]record) (string, error) {
	for name := range records {
		folder, rest, _ := strings.Cut(name, "/")
		if rest != "data.pkl" {
			continue
		}
		if _, script := records[folder+"/constants.pkl"]; script {
			return "", unsupported("a TorchScript program: save the model's state_dict()")
		}
		for other := range records {
			if !strings.HasPrefix(other, folder+"/") {
				return "", malformed("entry %.100q isn't in the folder of %q", other, name)
			}
		}
		return folder + "/", nil
	}
	return "", malformed("a zip archive without data.pkl in a folder, so not of torch.save")
}

// checkByteOrder reads the entry that says how numbers are laid out, if there is one.
func checkByteOrder(r io.ReaderAt, rec record) error {
	if rec.size == 0 {
		return nil
	}
	order := make([]byte, min(rec.size, 8))
	if err := readFull(r, order, rec.start); err != nil {
		return fmt.Errorf("byteorder: %w", err)
	}
	switch string(order) {
	case "little":
		return nil
	case "big":
		return unsupported("the file is big-endian: load and save it on a little-endian machine")
	}
	return malformed("byteorder is %q", order)
}

// archiveError tells broken archives from failures of reading.
func archiveError(err error) error {
	for _, broken := range []error{zip.ErrFormat, zip.ErrAlgorithm, zip.ErrChecksum, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, broken) {
			return malformed("zip archive: %v", err)
		}
	}
	return err
}
