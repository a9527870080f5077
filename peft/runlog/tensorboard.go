package runlog

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// eventPrefix is what TensorBoard knows event files by. Seconds follow, and it reads
// the files of a directory in the order of their names.
const eventPrefix = "events.out.tfevents."

// tensorBoard is an event file that is being written.
type tensorBoard struct {
	f   *os.File
	now func() time.Time
}

// OpenTensorBoard makes a new event file in a directory, which it makes if need be, for
// a run that goes on after a step. If after is more than 0, the file says that steps
// beyond it in the directory's older files don't count. After step 0 there must be none.
func OpenTensorBoard(dir string, after int) (Writer, error) {
	return openTensorBoard(dir, after, after > 0, time.Now)
}

// RestartTensorBoard is OpenTensorBoard for a run that begins anew: of the directory's
// older files, no step counts.
func RestartTensorBoard(dir string) (Writer, error) {
	return openTensorBoard(dir, 0, true, time.Now)
}

// openTensorBoard makes the file; again says that older ones may be there.
func openTensorBoard(dir string, after int, again bool, now func() time.Time) (Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	last, err := lastEventFile(dir)
	if err != nil {
		return nil, err
	}
	if !again && last > 0 {
		return nil, fmt.Errorf("%s: there are event files of another run: %w", dir, fs.ErrExist)
	}
	name := fmt.Sprintf("%s%010d.gpupeft", eventPrefix, max(now().Unix(), last+1))
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	t := &tensorBoard{f, now}
	err = t.put(event{time: t.now(), version: true})
	if err == nil && again {
		err = t.put(event{time: t.now(), step: after + 1, restart: true})
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// lastEventFile returns the largest number in the names of a directory's event files, 0
// if there are none.
func lastEventFile(dir string) (last int64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), eventPrefix)
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, ".")
		n, _ := strconv.ParseInt(digits, 10, 64) // 0 for names that others gave
		last = max(last, n, 1)
	}
	return last, err
}

func (t *tensorBoard) Write(r Record) error {
	e := event{time: t.now(), step: r.Step}
	for _, c := range columns {
		if x := c.get(&r); x != nil && c.tag != "" && !math.IsNaN(*x) {
			e.scalars = append(e.scalars, scalar{c.tag, float32(*x)})
		}
	}
	return t.put(e)
}

func (t *tensorBoard) put(e event) error {
	_, err := t.f.Write(frame(e.encode()))
	return err
}

func (t *tensorBoard) Sync() error { return t.f.Sync() }

func (t *tensorBoard) Close() error { return closeOnce(t.f) }
