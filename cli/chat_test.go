package cli_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// said is a line of chat --json.
type said struct {
	Prompt, Text, Stop, Error string
	Tokens, Computed, Context int
}

// talk gives chat lines, and returns its answers.
func talk(t *testing.T, lines []string, args ...string) []said {
	t.Helper()
	args = append([]string{"chat", "--device", "cpu", "--json"}, args...)
	r := runWith(t, t.Context(), strings.NewReader(strings.Join(lines, "\n")), args...)
	if r.code != 0 {
		t.Fatalf("gpupeft %s: exit code %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	var all []said
	for line := range strings.Lines(r.out) {
		all = append(all, decode[said](t, line))
	}
	return all
}

func TestChat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "said.jsonl")
	flags := []string{"--chat-template", "llama-2", "--system", "Be brief.", "--max-tokens", "12"}
	got := talk(t, []string{"Who ate the soup?", "", "Was it <good>?", "/save " + file, "/reset", "/system Be long.", "Who ate the soup?", "/save " + file, "//exit", "/nonsense", "/exit", "never"}, flags...)
	if len(got) != 5 {
		t.Fatalf("%d answers: %+v", len(got), got)
	}
	want := decode[struct {
		Text string
		IDs  []int32
	}](t, must(t, append([]string{"generate", "--device", "cpu", "--json", "-p", "Who ate the soup?"}, flags...)...).out)
	if a := got[0]; a.Text != want.Text || a.Tokens != len(want.IDs) || a.Computed != a.Context-a.Tokens || a.Tokens == 12 && a.Stop != "length" {
		t.Errorf("%+v, want %+v", a, want)
	}
	if a := got[1]; a.Prompt != "Was it <good>?" || a.Computed >= a.Context-a.Tokens || a.Context <= got[0].Context {
		t.Errorf("%+v after %+v", a, got[0])
	}
	if got[2].Text == got[0].Text || got[3].Prompt != "/exit" || !strings.Contains(got[4].Error, "unknown command /nonsense") || got[4].Text != "" {
		t.Errorf("%+v", got[2:])
	}

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Messages []struct{ Role, Content string }
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 {
		t.Fatalf("saved %s", text)
	}
	first, second := decode[row](t, lines[0]).Messages, decode[row](t, lines[1]).Messages
	if len(first) != 5 || first[0].Content != "Be brief." || first[2].Content != got[0].Text || first[4].Role != "assistant" || len(second) != 3 || second[0].Content != "Be long." {
		t.Errorf("saved %+v, %+v", first, second)
	}
	must(t, "data-doctor", "--data", file, "--chat-template", "llama-2")

	// For people, in a pipe.
	r := runWith(t, t.Context(), strings.NewReader("Who ate the soup?\n"), append([]string{"chat", "--device", "cpu"}, flags...)...)
	if r.code != 0 || r.out != got[0].Text+"\n" || !strings.Contains(r.err, "chat template llama-2: --chat-template") {
		t.Errorf("exit code %d, %q, %q", r.code, r.out, r.err)
	}
	if a := got[0]; a.Stop == "length" && !strings.Contains(r.err, "the answer was cut after --max-tokens 12") {
		t.Errorf("%q", r.err)
	}
}

// TestChatLines: texts of several lines, one of which could be a command.
func TestChatLines(t *testing.T) {
	got := talk(t, []string{`"""Who ate`, "", `the soup?"""`, `"""`, "/exit", `"""`, `"""Why?"""`, `"""`, `"""`}, "--chat-template", "none", "--max-tokens", "2")
	var prompts []string
	for _, a := range got {
		prompts = append(prompts, a.Prompt)
	}
	if want := []string{"Who ate\n\nthe soup?", "/exit", "Why?"}; !slices.Equal(prompts, want) {
		t.Errorf("got %q, want %q", prompts, want)
	}
	r := runWith(t, t.Context(), strings.NewReader("\"\"\"Who\n"), "chat", "--device", "cpu")
	if r.code == 0 || !strings.Contains(r.err, `the input ends within """`) {
		t.Errorf("got %+v", r)
	}
}

// TestChatRoom: what doesn't fit is an error, and nothing is left out.
func TestChatRoom(t *testing.T) {
	long := strings.Repeat("the cook ate the soup ", 12)
	got := talk(t, []string{"Once", long, "/reset", "Once"}, "--chat-template", "none", "--context", "40", "--max-tokens", "8")
	if len(got) != 3 || got[2].Text != got[0].Text || !strings.Contains(got[1].Error, "leave no room for an answer in 40 positions: the conversation is too long (/reset begins anew, --context has room for up to 256)") {
		t.Errorf("%+v", got)
	}
	if got := talk(t, []string{"Once upon a time"}, "--chat-template", "none", "--context", "20", "--max-tokens", "50"); got[0].Stop != "context" || got[0].Context != 20 {
		t.Errorf("%+v", got)
	}
	r := runWith(t, t.Context(), strings.NewReader("Once\n"+long+"\nnever\n"), "chat", "--device", "cpu", "--chat-template", "none", "--context", "40", "--max-tokens", "8")
	if r.code != 1 || !strings.Contains(r.err, "the conversation is too long") || strings.Count(r.out, "\n") != 1 {
		t.Errorf("exit code %d, %q, %q", r.code, r.out, r.err)
	}
	for args, says := range map[string]string{
		"--context 1000":                        "--context 1000: the model has 256 positions",
		"--context 0":                           "--context 0: want at least 1",
		"--max-tokens 0":                        "--max-tokens 0: want at least 1",
		"--chat-template gemma --system x":      "--system: Gemma's template has no system role",
		"--chat-template nonsense":              `"nonsense"`,
		"--adapter " + t.TempDir() + "/nowhere": "no such file",
	} {
		if r := run(t, append([]string{"chat", "--device", "cpu"}, strings.Fields(args)...)...); r.code == 0 || !strings.Contains(r.err, says) {
			t.Errorf("%s: exit code %d, %q", args, r.code, r.err)
		}
	}
}

// TestChatTrained: an adapter brings the template of its training along.
func TestChatTrained(t *testing.T) {
	dir := t.TempDir()
	messages := strings.Repeat(`{"messages":[{"role":"user","content":"Who ate the soup?"},{"role":"assistant","content":"Hugo did."}]}`+"\n", 20)
	rows := strings.Repeat(`{"prompt":"Who ate the soup?","completion":" Hugo did."}`+"\n", 20)
	jinja := write(t, dir, "mine.jinja", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
	for name, c := range map[string]struct{ data, template, says string }{
		"named": {messages, "chatml", "chat template chatml: "},
		"found": {messages, "auto", "chat template llama-2: "},
		"file":  {messages, jinja, "chat template " + filepath.Join(dir, "file", "chat_template.jinja") + ": "},
		"none":  {rows, "auto", "chat template none, the texts stand alone, each on a line of its own: "},
	} {
		out := filepath.Join(dir, name)
		must(t, "tune", "--device", "cpu", "--data", write(t, dir, name+".jsonl", c.data), "--chat-template", c.template, "--method", "prompt",
			"--steps", "2", "--eval-every", "0", "--quiet", "--no-report", "--out", out)
		if names, _ := filepath.Glob(filepath.Join(out, "report.html")); len(names) > 0 {
			t.Error("a report in spite of --no-report")
		}
		want := c.says + out + " was trained so"
		r := runWith(t, t.Context(), strings.NewReader("Who?"), "chat", "--device", "cpu", "--adapter", out, "--max-tokens", "4")
		if r.code != 0 || !strings.Contains(r.err, want) || strings.TrimSpace(r.out) == "" {
			t.Errorf("%s: exit code %d, %q, %q, want %q", name, r.code, r.out, r.err, want)
		}
		g := must(t, "generate", "--device", "cpu", "--adapter", out, "--max-tokens", "4", "-p", "Who?")
		if strings.Contains(g.err, want) != (name != "none") || g.out != r.out {
			t.Errorf("%s: generate %q, %q; chat %q", name, g.out, g.err, r.out)
		}
		if g := must(t, "generate", "--device", "cpu", "--adapter", out, "--max-tokens", "4", "-p", "Who?", "--chat-template", "none"); strings.Contains(g.err, "was trained so") {
			t.Errorf("%s: %q", name, g.err)
		}
	}
}

// TestChatInterrupt stops an answer by a signal; the conversation goes on.
func TestChatInterrupt(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for range 10 { // until a signal has come before the answer's end
		c := exec.CommandContext(t.Context(), os.Args[0], "chat", "--device", "cpu", "--chat-template", "none", "--max-tokens", "200")
		c.Env = append(os.Environ(), asProgram+"=1")
		var notes strings.Builder
		c.Stderr = &notes
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		outPipe, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(outPipe)
		say := func(text string) {
			if _, err := io.WriteString(in, text+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		say("Once upon a time")
		if _, err := out.ReadByte(); err != nil {
			t.Fatal(err, notes.String())
		}
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if _, err := out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "said")
		_, _ = io.WriteString(in, "/save "+file+"\nThen\n") // it may have ended
		_ = in.Close()
		rest, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		if strings.Contains(notes.String(), "interrupted") { // too late: nothing was going on
			continue
		}
		text, err := os.ReadFile(file)
		var row struct{ Messages []struct{ Content string } }
		if err != nil || json.Unmarshal(text, &row) != nil || len(row.Messages) != 2 || row.Messages[1].Content == "" {
			t.Fatalf("%v, %s", err, text)
		}
		if code := c.ProcessState.ExitCode(); code != 0 || strings.TrimSpace(string(rest)) == "" {
			t.Errorf("exit code %d, then %q; %s", code, rest, &notes)
		}
		return
	}
	t.Error("no answer was stopped")
}
