// Package chromium opens pages in a headless Chromium, for tests that use them as a reader does.
package chromium

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Browser is a headless Chromium with one tab, spoken to in its DevTools protocol: JSON
// messages that end in a zero byte, over two pipes.
type Browser struct {
	t       *testing.T
	out     *os.File
	session string
	next    int

	mu      sync.Mutex
	answers map[int]chan answer
	events  []event
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

type event struct {
	Method string
	Params json.RawMessage
}

// Open opens a page of sections (package interp/view) in Chromium, or skips the test where there is none.
func Open(t *testing.T, file string) *Browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium here: apt-get install chromium")
	}
	in, browserOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	browserIn, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-dev-shm-usage", "--remote-debugging-pipe", "--user-data-dir="+home, "--window-size=1280,900")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.ExtraFiles = []*os.File{browserIn, browserOut} // descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Skip("Chromium doesn't start: ", err)
	}
	browserIn.Close()
	browserOut.Close()
	b := &Browser{t: t, out: out, answers: map[int]chan answer{}}
	go b.read(in)
	t.Cleanup(func() {
		b.send("Browser.close", nil)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		out.Close()
	})
	var target struct{ TargetID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		b.Call(domain+".enable", nil, nil)
	}
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.Call("Page.navigate", map[string]any{"url": "file://" + filepath.ToSlash(file)}, nil)
	b.Wait(`document.readyState === "complete" && location.protocol === "file:"`)
	b.Wait(`document.querySelector("section:last-child .body").children.length > 0`)
	// Pictures are drawn when the first frame gives them their width.
	b.Eval(`void requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = true; }))`)
	b.Wait(`window.drawn === true`)
	return b
}

// read takes in messages until the browser ends.
func (b *Browser) read(in *os.File) {
	defer in.Close()
	r := bufio.NewReader(in)
	for {
		message, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID int
			event
			answer
		}
		if json.Unmarshal(message[:len(message)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if m.ID == 0 {
			b.events = append(b.events, m.event)
		} else if c := b.answers[m.ID]; c != nil {
			c <- m.answer
		}
		b.mu.Unlock()
	}
}

func (b *Browser) send(method string, params any) chan answer {
	b.next++
	m := map[string]any{"id": b.next, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" && !strings.HasPrefix(method, "Browser.") {
		m["sessionId"] = b.session
	}
	c := make(chan answer, 1)
	b.mu.Lock()
	b.answers[b.next] = c
	b.mu.Unlock()
	text, _ := json.Marshal(m)
	_, _ = b.out.Write(append(text, 0))
	return c
}

// Call sends a command and waits for its result.
func (b *Browser) Call(method string, params, result any) {
	b.t.Helper()
	select {
	case a := <-b.send(method, params):
		if a.Error != nil {
			b.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
	case <-time.After(30 * time.Second):
		b.t.Fatalf("%s: no answer from Chromium in 30 s", method)
	}
}

// Eval runs an expression in the page and returns its value as text.
func (b *Browser) Eval(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(r.Result.Value)
}

// Wait waits until an expression is true.
func (b *Browser) Wait(expression string) {
	b.t.Helper()
	for range 200 {
		if b.Eval(expression) == "true" {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	b.t.Fatalf("never true: %s", expression)
}

// at returns a point of an element, scrolled into view: fractions of its size.
func (b *Browser) at(selector string, fx, fy float64) (x, y float64) {
	b.t.Helper()
	text := b.Eval(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.scrollIntoView({block: "center", inline: "nearest"});
		const r = e.getBoundingClientRect(); return [r.left + r.width * %v, r.top + r.height * %v].join(" "); })()`, selector, fx, fy))
	if _, err := fmt.Sscan(text, &x, &y); err != nil {
		b.t.Fatal(err)
	}
	return x, y
}

// Hover moves the pointer to a point of an element.
func (b *Browser) Hover(selector string, fx, fy float64) {
	b.t.Helper()
	x, y := b.at(selector, fx, fy)
	b.Call("Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": x, "y": y}, nil)
}

// Click moves to a point of an element and clicks.
func (b *Browser) Click(selector string, fx, fy float64) {
	b.t.Helper()
	x, y := b.at(selector, fx, fy)
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		b.Call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}, nil)
	}
}

// Key presses a key.
func (b *Browser) Key(key string) {
	b.t.Helper()
	codes := map[string]int{"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Escape": 27, "Tab": 9, "[": 219, "]": 221}
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		b.Call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}, nil)
	}
}

// Shot writes a picture of an element to a PNG file.
func (b *Browser) Shot(selector, file string) {
	b.t.Helper()
	var box struct{ X, Y, W, H float64 }
	text := b.Eval(fmt.Sprintf(`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return [r.left + scrollX, r.top + scrollY, r.width, r.height].join(" "); })()`, selector))
	if _, err := fmt.Sscan(text, &box.X, &box.Y, &box.W, &box.H); err != nil {
		b.t.Fatal(err)
	}
	var picture struct{ Data string }
	b.Call("Page.captureScreenshot", map[string]any{
		"captureBeyondViewport": true,
		"clip":                  map[string]any{"x": box.X - 8, "y": box.Y - 8, "width": box.W + 16, "height": box.H + 16, "scale": 1},
	}, &picture)
	data, err := base64.StdEncoding.DecodeString(picture.Data)
	if err == nil {
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// requests are the addresses asked for since the page was opened, but for data: ones.
func (b *Browser) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var urls []string
	for _, e := range b.events {
		var p struct{ Request struct{ URL string } }
		if e.Method == "Network.requestWillBeSent" && json.Unmarshal(e.Params, &p) == nil && !strings.HasPrefix(p.Request.URL, "data:") {
			urls = append(urls, p.Request.URL)
		}
	}
	return urls
}

// complaints are exceptions and what the browser logged: errors, breaches of policy.
func (b *Browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, e := range b.events {
		if e.Method == "Runtime.exceptionThrown" || e.Method == "Log.entryAdded" || e.Method == "Runtime.consoleAPICalled" {
			all = append(all, string(e.Params))
		}
	}
	return all
}

// Contains fails unless an expression's value has the text.
func (b *Browser) Contains(expression, want string) {
	b.t.Helper()
	if got := b.Eval(expression); !strings.Contains(got, want) {
		b.t.Errorf("%s: %q has no %q", expression, got, want)
	}
}

// Quiet fails if the page asked for anything, or anything went wrong in it.
func (b *Browser) Quiet() {
	b.t.Helper()
	if urls := b.requests(); len(urls) != 1 || !strings.HasPrefix(urls[0], "file:") {
		b.t.Errorf("requests: %q", urls)
	}
	if all := b.complaints(); len(all) > 0 {
		b.t.Errorf("%d complaints: %s", len(all), all[0])
	}
	if b.Eval(`document.querySelectorAll(".body > .warning").length`) != "0" {
		b.t.Error("a section can't be drawn")
	}
}
