package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gpupeft/gpupeft/internal/faults"
	"github.com/gpupeft/gpupeft/peft/runlog"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// rulesFor are the ways in which a call fails.
func rulesFor(at int, c faults.Called) []faults.CallRule {
	errors := map[faults.Call][]syscall.Errno{
		faults.Make: {syscall.ENOSPC, syscall.EACCES}, faults.Write: {syscall.ENOSPC, syscall.EIO}, faults.Copy: {syscall.ENOSPC}, faults.Rename: {syscall.EIO},
		faults.Sync: {syscall.EIO}, faults.SyncDir: {syscall.EIO}, faults.SetMode: {syscall.EPERM}, faults.CloseOut: {syscall.EIO}, faults.Remove: {syscall.EIO},
	}[c.Call]
	var rules []faults.CallRule
	for _, errno := range errors {
		rules = append(rules, faults.CallRule{At: at, Errno: errno})
	}
	if c.Call == faults.Make || c.Call == faults.Write || c.Call == faults.Copy {
		rules = append(rules, faults.CallRule{At: at, Errno: syscall.ENOSPC, Full: true})
	}
	return rules
}

// sweep is a command whose calls fail, one after the other, in a world that is the same
// each time.
type sweep struct {
	args  func(dir string) []string
	whole func(t *testing.T, dir string) // checks what success leaves; nil: the same files as without a failure
	dir   string                         // of the world
	base  string                         // of the world before the command
	after map[string][]byte              // the world's files after it, if nothing fails
}

// newSweep makes the world that a command finds.
func newSweep(t *testing.T, before func(dir string), args func(dir string) []string) *sweep {
	t.Helper()
	s := &sweep{args: args, dir: filepath.Join(t.TempDir(), "world")}
	s.base = s.dir + "-before"
	if err := os.MkdirAll(filepath.Join(s.dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		before(s.dir)
	}
	if err := os.Rename(s.dir, s.base); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs the command in a new world.
func (s *sweep) run(t *testing.T, rule faults.CallRule) (made []faults.Called, code int, text string) {
	t.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.dir, os.DirFS(s.base)); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], s.args(s.dir)...)
	c.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+filepath.Join(s.dir, "tmp"))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	made, _ = faults.StartCalls(t, c, s.dir, rule).Wait(t)
	return made, c.ProcessState.ExitCode(), out.String()
}

// files reads a world. The names of directories end with a slash.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		switch {
		case err != nil:
		case d.IsDir():
			all[rel+"/"] = nil
		default:
			all[rel], err = os.ReadFile(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sweepCalls lets each call that the command makes fail in each way, or only some of those
// unless GPUPEFT_SWEEP=all. The command either says what went wrong and has exit code 1,
// with nothing left over and no half of a file under its name, and succeeds when it is
// started again; or it has succeeded with the complete result.
func (s *sweep) sweepCalls(t *testing.T, some int) {
	t.Helper()
	made, code, text := s.run(t, faults.CallRule{})
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	s.after = files(t, s.dir)
	var rules []faults.CallRule
	for i, c := range made {
		rules = append(rules, rulesFor(i+1, c)...)
	}
	every := max(1, len(rules)/some)
	if os.Getenv("GPUPEFT_SWEEP") == "all" {
		every = 1
	}
	tried, told := 0, 0
	for i := 0; i < len(rules); i += every {
		made, code, text := s.run(t, rules[i])
		failed := slices.IndexFunc(made, func(c faults.Called) bool { return c.Failed })
		if failed < 0 {
			continue // this time it took fewer calls
		}
		name := fmt.Sprintf("%v of %s (%v, full: %v)", made[failed].Call, strings.TrimPrefix(made[failed].Path, s.dir), rules[i].Errno, rules[i].Full)
		tried++
		if code != 0 {
			told++
		}
		t.Run(name, func(t *testing.T) { s.check(t, made[failed], rules[i], code, text) })
	}
	t.Logf("%d calls, %d failures: %d were told, after %d the result was complete", len(made), tried, told, tried-told)
}

// check looks at what a failure has left.
func (s *sweep) check(t *testing.T, failed faults.Called, rule faults.CallRule, code int, text string) {
	kept := failed.Call == faults.Remove // what can't be removed stays
	s.checkLeft(t, kept)
	if code == 0 {
		if !kept && failed.Call != faults.SyncDir { // which not every system can do
			t.Errorf("nothing was said: %s", text)
		}
		s.checkWhole(t)
		return
	}
	if code != 1 || !strings.Contains(text, "gpupeft: ") || !strings.Contains(text, rule.Errno.Error()) || !strings.Contains(text, s.dir) {
		t.Errorf("exit code %d: %s", code, text)
	}
	if r := run(t, s.args(s.dir)...); r.code != 0 && !(kept && strings.Contains(r.err, "is there already")) {
		t.Fatalf("once more: exit code %d: %s; after %s", r.code, r.err, text)
	}
	s.checkLeft(t, kept)
	s.checkWhole(t)
}

func (s *sweep) checkWhole(t *testing.T) {
	t.Helper()
	if s.whole != nil {
		s.whole(t, s.dir)
		return
	}
	now := files(t, s.dir)
	for name, want := range s.after {
		if got, ok := now[name]; !ok || !bytes.Equal(got, want) {
			t.Errorf("%s is missing or differs", name)
		}
	}
}

// checkLeft makes sure that nothing is left over, and that what has its final name is
// complete.
func (s *sweep) checkLeft(t *testing.T, kept bool) {
	t.Helper()
	for name, data := range files(t, s.dir) {
		before, _ := os.ReadFile(filepath.Join(s.base, name))
		switch path := filepath.Join(s.dir, name); {
		case name == "tmp/":
		case strings.HasPrefix(name, ".") || strings.Contains(name, "/.") || strings.HasPrefix(name, "tmp/"):
			if !kept {
				t.Errorf("left over: %s", name)
			}
		case bytes.Equal(data, before) || bytes.Equal(data, s.after[name]):
		case filepath.Base(name) == "state.json":
			if _, err := tune.Open(filepath.Dir(path)); err != nil {
				t.Error(err)
			}
		default:
			if err := complete(path, data); err != nil {
				t.Errorf("half of %s: %v", name, err)
			}
		}
	}
}

// complete returns an error if a file is only a part.
func complete(name string, data []byte) (err error) {
	ends := map[string]string{".html": "</html>", ".svg": "</svg>", ".md": "|"}
	switch kind := filepath.Ext(name); kind {
	case ".html", ".svg", ".md":
		if !bytes.HasSuffix(bytes.TrimSpace(data), []byte(ends[kind])) {
			return fmt.Errorf("ends with %q", data[max(0, len(data)-20):])
		}
	case ".json":
		var v any
		return json.Unmarshal(data, &v)
	case ".png":
		_, err = png.Decode(bytes.NewReader(data))
	case ".safetensors":
		_, err = safetensors.New(bytes.NewReader(data), int64(len(data)))
	case ".jsonl": // the last line may be, which is known
		_, err = runlog.Read(bytes.NewReader(data))
	case ".csv", ".gpupeft":
	default:
		err = fmt.Errorf("%d bytes, unlike before and after", len(data))
	}
	return err
}

// TestTuneCallsFail: whatever fails on the disk in a run that goes on from a checkpoint, the
// checkpoint before is whole, and the run goes on from it to the same result; also in a
// process of its own.
func TestTuneCallsFail(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for restarts, some := range map[string]int{"0": 40, "1": 6} {
		t.Run("restarts "+restarts, func(t *testing.T) { tuneCallsFail(t, restarts, some) })
	}
}

func tuneCallsFail(t *testing.T, restarts string, some int) {
	command := func(dir, name string) []string {
		return []string{
			"tune", "--device", "cpu", "--restarts", restarts, "--model", tiny, "--data", filepath.Join(dir, "rows.jsonl"), "--steps", "9", "--batch-size", "4",
			"--lr", "0.02", "--eval-every", "1", "--keep-best", "--save-every", "3", "--keep", "2", "--resume", "auto", "--quiet", "--out", filepath.Join(dir, name),
			"--log-jsonl", filepath.Join(dir, name+".jsonl"), "--log-csv", filepath.Join(dir, name+".csv"), "--tensorboard", filepath.Join(dir, name+".tb"),
		}
	}
	s := newSweep(t, func(dir string) {
		readyRows(t, dir, 40)
		must(t, command(dir, "whole")...)
		must(t, append(command(dir, "tuned"), "--max-time", "1ns")...)
	}, func(dir string) []string { return command(dir, "tuned") })
	s.whole = func(t *testing.T, dir string) {
		same(t, dir, "whole", "tuned", 9)
		for _, name := range []string{"report.html", "loss.png", "loss.svg"} {
			if _, err := os.Stat(filepath.Join(dir, "tuned", name)); err != nil {
				t.Error(err)
			}
		}
	}
	s.sweepCalls(t, some)
}

// TestCallsFail: the same for other commands that write.
func TestCallsFail(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	demo, adapter := demoModel(t), tiny+"/adapter_lora"
	nothing := func(string) {}
	for name, c := range map[string]struct {
		before func(dir string)
		args   string // OUT is a path in the world
	}{
		"capture":            {nothing, "capture --device cpu --model " + tiny + " --token-ids 3,4,5 --hooks * --out OUT.safetensors"},
		"merge":              {nothing, "merge --device cpu --model " + tiny + " --adapter " + adapter + " --out OUT"},
		"quantize":           {nothing, "quantize --model " + demo + " --to q4_0 --out OUT.gguf"},
		"convert":            {nothing, "convert --model " + tiny + " --adapter " + adapter + " --to mlx --out OUT"},
		"convert to GGUF":    {nothing, "convert --model " + tiny + " --adapter " + adapter + " --to gguf --out OUT.gguf"},
		"combine":            {nothing, "combine --adapter " + adapter + ":0.5 --adapter " + adapter + " --out OUT"},
		"inspect-heads":      {nothing, "inspect-heads --device cpu --model " + tiny + " --random 4 --batch 1 --csv OUT.csv --out OUT.safetensors --html OUT.html --png OUT"},
		"lens --fit":         {nothing, "lens --device cpu --model " + demo + " --prompt-file " + demo + "/tokenizer_config.json --fit OUT.safetensors"},
		"circuits":           {nothing, "circuits induction --vocab 8 --length 8 --width 8 --steps 2 --tests 2 --device cpu --html OUT.html --png OUT-png --out OUT"},
		"steer":              {func(dir string) { write(t, dir, "texts", "good\nfine\n") }, "steer --device cpu --model " + demo + " --toward WORLD/texts --away WORLD/texts --out OUT.safetensors"},
		"in place of others": {func(dir string) { write(t, dir, "out.csv", "older") }, "inspect-heads --device cpu --model " + tiny + " --random 4 --batch 1 --csv OUT.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			newSweep(t, c.before, func(dir string) []string {
				return strings.Fields(strings.NewReplacer("WORLD", dir, "OUT", filepath.Join(dir, "out")).Replace(c.args))
			}).sweepCalls(t, 6)
		})
	}
}

// TestExperimentCallsFail: the same for an experiment, which goes on where it was. Its table
// has times in it.
func TestExperimentCallsFail(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	model := demoModel(t)
	s := newSweep(t, func(dir string) {
		write(t, dir, "rows.jsonl", strings.Repeat(`{"prompt":"Who ate the soup?","completion":" Hugo did."}`+"\n", 20))
		write(t, dir, "plan.yaml", "name: x\nsettings: {steps: 1, eval-batches: 1, device: cpu}\nmethods: [{name: lora, method: lora}]\nbaselines: [majority]\n"+
			"datasets: [{name: rows, data: "+filepath.Join(dir, "rows.jsonl")+"}]\nmodels: [{name: demo, model: "+model+"}]\n")
	}, func(dir string) []string {
		return []string{"experiment", "--out", filepath.Join(dir, "out"), filepath.Join(dir, "plan.yaml")}
	})
	s.whole = func(t *testing.T, dir string) {
		got := files(t, dir)
		for name := range s.after {
			if _, ok := got[name]; !ok {
				t.Errorf("%s is missing", name)
			}
		}
		if rows := decode[tableJSON](t, string(got["out/table.json"])).Rows; len(rows) != 2 {
			t.Errorf("rows %+v", rows)
		}
	}
	s.sweepCalls(t, 12)
}
