package torchfile

import (
	"encoding/binary"
	"fmt"
	"io"
)

// legacyMagic is 0x1950a86a20f9469cfc6c.
const legacyMagic = long("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")

// legacyVersion is the only one that there has been.
const legacyVersion = 1001

// readLegacy is readZip for a file without an archive.
func readLegacy(r io.ReaderAt, size int64) (root any, objects int, err error) {
	s := newScanner(r, 0, size)
	if err := checkLegacyHead(s); err != nil {
		return nil, 0, err
	}
	m := machine{s: s, storages: map[string]*storage{}, idLength: 6}
	if root, err = m.run(); err != nil {
		return nil, 0, fmt.Errorf("the object: %w", err)
	}
	keys, err := readLegacyKeys(s)
	if err != nil {
		return nil, 0, err
	}
	return root, m.objects, placeStorages(r, size, s.at, keys, m.storages)
}

// checkLegacyHead reads the three pickles before the object.
func checkLegacyHead(s *scanner) error {
	magic, err := (&machine{s: s}).run()
	if err != nil {
		return fmt.Errorf("the magic number: %w", err)
	}
	if magic != legacyMagic {
		return malformed("a pickle, but without the magic number of torch.save")
	}
	version, err := (&machine{s: s}).run()
	if err != nil {
		return fmt.Errorf("the version: %w", err)
	}
	if version != int64(legacyVersion) {
		return unsupported("a version other than %d", legacyVersion)
	}
	info, err := (&machine{s: s}).run()
	if err != nil {
		return fmt.Errorf("the facts about the machine: %w", err)
	}
	d, err := as[*dict](info, "what stands before the object")
	if err != nil {
		return err
	}
	for _, it := range d.items {
		if it.key == "little_endian" && it.value != true {
			return unsupported("the file is big-endian: load and save it on a little-endian machine")
		}
	}
	return nil
}

// readLegacyKeys reads the keys of the storages in the order in which they are stored.
func readLegacyKeys(s *scanner) ([]string, error) {
	v, err := (&machine{s: s}).run()
	if err != nil {
		return nil, fmt.Errorf("the list of storages: %w", err)
	}
	l, err := as[*list](v, "what stands behind the object")
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(l.items))
	for i, v := range l.items {
		if keys[i], err = as[string](v, "the key of a storage"); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// placeStorages finds the storages, which follow each other from a position on up to the
// end of the file.
func placeStorages(r io.ReaderAt, size, at int64, keys []string, storages map[string]*storage) error {
	for _, key := range keys {
		s, ok := storages[key]
		if !ok || s.start >= 0 {
			return malformed("storage %.100q is stored twice, or belongs to no tensor", key)
		}
		var b [8]byte
		if size-at < int64(len(b)) {
			return malformed("storage %.100q is beyond the end of the file (truncated?)", key)
		}
		if err := readFull(r, b[:], at); err != nil {
			return fmt.Errorf("storage %.100q: %w", key, err)
		}
		at += int64(len(b))
		elements := s.bytes / elementBytes[string(s.class)]
		if n := int64(binary.LittleEndian.Uint64(b[:])); n != elements {
			return malformed("storage %.100q has %d elements, the pickle says %d", key, n, elements)
		}
		if s.bytes > size-at {
			return malformed("storage %.100q of %d bytes at %d is beyond a file of %d (truncated?)", key, s.bytes, at, size)
		}
		s.start = at
		at += s.bytes
	}
	for key, s := range storages {
		if s.start < 0 {
			return malformed("storage %.100q isn't stored", key)
		}
	}
	if at != size {
		return malformed("%d bytes behind the last storage", size-at)
	}
	return nil
}
