package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// HashFile returns the SHA-256 of a file.
func HashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Files above wholeFile bytes are sampled: samples pieces of sampleSize bytes, the first
// and the last among them.
const (
	wholeFile  = 256 << 20
	samples    = 1024
	sampleSize = 64 << 10
)

// Fingerprint returns a SHA-256 that tells models or data sets from each other: of the
// names, sizes and contents of files, in the order given. Of a file above 256 MiB, 1,024
// pieces of 64 KiB at equal distances stand for the content, the first and the last
// included: that takes a fraction of a second, and weights that were trained on, or
// converted, differ everywhere. A name may be a directory, which stands for the files in
// it.
func Fingerprint(dir fs.FS, names ...string) (string, error) {
	h := sha256.New()
	for _, name := range names {
		err := fs.WalkDir(dir, name, func(at string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			return hashInto(h, dir, at)
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashInto(h io.Writer, dir fs.FS, name string) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if _, err := fmt.Fprintf(h, "%s %d\n", path.Base(name), size); err != nil {
		return err
	}
	at, ok := f.(io.ReaderAt)
	if size <= wholeFile || !ok {
		_, err := io.Copy(h, f)
		return err
	}
	piece := make([]byte, sampleSize)
	for i := range int64(samples) {
		if _, err := at.ReadAt(piece, (size-sampleSize)*i/(samples-1)); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := h.Write(piece); err != nil {
			return err
		}
	}
	return nil
}
