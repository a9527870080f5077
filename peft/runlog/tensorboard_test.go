package runlog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/internal/parity"
)

const tensorboard = "../../testdata/tensorboard/"

// ticks is a clock that says one time after the other.
func ticks(seconds ...float64) func() time.Time {
	return func() time.Time {
		now := seconds[0]
		if len(seconds) > 1 {
			seconds = seconds[1:]
		}
		return time.UnixMilli(int64(now * 1e3))
	}
}

// goneOn is the run of testdata/tensorboard/generate.py.
func goneOn(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	w, err := openTensorBoard(dir, 300, true, ticks(1e9, 1e9, 1e9+1, 1e9+2, 1e9+3.5))
	r := Record{Step: 301, Epoch: 1.5, Loss: 0.1, LR: 3.35e-3, GradNorm: 0.25, Tokens: 488, TokensPerS: 7115.25, StepMS: 68.5, PeakBytes: 31e6}
	evaluated := r
	evaluated.Step, evaluated.ValLoss, evaluated.ValPPL, evaluated.Accuracy = 302, some(0.0114), some(1.01147), some(0.997)
	writeAll(t, w, err, []Record{r, evaluated})
	b, err := os.ReadFile(filepath.Join(dir, "events.out.tfevents.1000000000.gpupeft"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEventsGolden compares with the bytes that TensorBoard's own classes write.
func TestEventsGolden(t *testing.T) {
	want, err := os.ReadFile(tensorboard + "events.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got := goneOn(t); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// TestFrames reads the golden file back: lengths and checksums lead to its end.
func TestFrames(t *testing.T) {
	b, err := os.ReadFile(tensorboard + "events.golden")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; len(b) > 0; n++ {
		size := int(binary.LittleEndian.Uint64(b))
		if crc := binary.LittleEndian.Uint32(b[8:]); crc != maskedCRC(b[:8]) {
			t.Errorf("event %d: length's checksum %x", n, crc)
		}
		data, rest := b[12:12+size], b[12+size:]
		if crc := binary.LittleEndian.Uint32(rest); crc != maskedCRC(data) {
			t.Errorf("event %d: checksum %x", n, crc)
		}
		b = rest[4:]
	}
	if n != 4 {
		t.Errorf("%d events", n)
	}
}

func TestEventFilesAreInOrder(t *testing.T) {
	dir := t.TempDir()
	for range 3 { // in the same second, on a clock that goes back
		w, err := openTensorBoard(dir, 5, true, ticks(2000, 1000))
		writeAll(t, w, err, records(6, 7))
	}
	got, err := filepath.Glob(filepath.Join(dir, "*"))
	want := []string{"events.out.tfevents.0000002000.gpupeft", "events.out.tfevents.0000002001.gpupeft", "events.out.tfevents.0000002002.gpupeft"}
	for i := range got {
		got[i] = filepath.Base(got[i])
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", err, got)
	}
	if _, err := OpenTensorBoard(dir, 0); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a new run among the files of another: %v", err)
	}
}

// TestParityTensorBoard asks TensorBoard itself what it sees of a run that was broken off
// after step 6 and went on after step 4.
func TestParityTensorBoard(t *testing.T) {
	python := parity.Python(t, "python")
	dir := t.TempDir()
	w, err := OpenTensorBoard(dir, 0)
	writeAll(t, w, err, records(1, 6))
	torn(t, dir)
	w, err = OpenTensorBoard(dir, 4)
	again := records(5, 8)
	for i := range again {
		again[i].Loss += 10
	}
	writeAll(t, w, err, again)

	out, err := exec.CommandContext(t.Context(), python, tensorboard+"generate.py", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][][2]float64
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := map[string][][2]float64{}
	for _, r := range append(records(1, 4), again...) {
		for _, c := range columns {
			if x := c.get(&r); x != nil && c.tag != "" {
				want[c.tag] = append(want[c.tag], [2]float64{float64(r.Step), float64(float32(*x))})
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if math.IsNaN(want["train/loss"][0][1]) {
		t.Error("nothing was compared")
	}
}

// TestParityTensorBoardAnew asks TensorBoard what it sees of a run that was broken off and
// began anew.
func TestParityTensorBoardAnew(t *testing.T) {
	python := parity.Python(t, "python")
	dir := t.TempDir()
	w, err := OpenTensorBoard(dir, 0)
	writeAll(t, w, err, records(1, 6))
	torn(t, dir)
	w, err = RestartTensorBoard(dir)
	writeAll(t, w, err, records(1, 3))
	out, err := exec.CommandContext(t.Context(), python, tensorboard+"generate.py", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][][2]float64
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if steps := got["train/lr"]; len(steps) != 3 || steps[0][0] != 1 || steps[2][0] != 3 {
		t.Errorf("got %v", steps)
	}
}

// torn leaves half an event at the end of the only file of a directory, as a kill does.
func torn(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatal(err, names)
	}
	f, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	half := frame(event{step: 7, scalars: []scalar{{"train/loss", 1}}}.encode())[:20]
	if _, err := f.Write(half); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
