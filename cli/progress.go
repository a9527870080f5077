package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gpupeft/gpupeft/peft/runlog"
)

// liveLine is a line of a terminal that is written again and again. Elsewhere it
// does nothing.
type liveLine struct {
	out   *output
	last  time.Time
	shown bool
}

// livePause keeps a live line from costing time.
const livePause = 100 * time.Millisecond

func newLiveLine(out *output) *liveLine { return &liveLine{out: out} }

func (l *liveLine) set(format string, args ...any) {
	if !l.out.live || time.Since(l.last) < livePause {
		return
	}
	l.last, l.shown = time.Now(), true
	fmt.Fprintf(l.out.talk, "\r\x1b[K"+format, args...)
}

// clear makes room for a line that stays.
func (l *liveLine) clear() {
	if l.shown {
		fmt.Fprint(l.out.talk, "\r\x1b[K")
		l.shown, l.last = false, time.Time{}
	}
}

// progress shows the steps of a training run: on a terminal as one live line,
// elsewhere as about twenty lines.
type progress struct {
	out    *output
	line   *liveLine
	steps  int
	every  int     // steps of a line, where there is no terminal
	sum    float64 // of the losses since the last line
	n      int
	tokens int
	taken  int // steps of this process
	spent  time.Duration
}

func newProgress(out *output, steps int) *progress {
	return &progress{out: out, line: newLiveLine(out), steps: steps, every: roundUp(steps / 20)}
}

// roundUp returns the next of 1, 2, 5, 10, 20, 50, ...
func roundUp(n int) int {
	for scale := 1; ; scale *= 10 {
		for _, m := range []int{1, 2, 5} {
			if m*scale >= n {
				return m * scale
			}
		}
	}
}

func (p *progress) step(r runlog.Record) {
	if p.out.records != nil {
		_ = json.NewEncoder(p.out.records).Encode(r) // that nobody reads it is no reason to stop
		return
	}
	p.sum, p.n = p.sum+r.Loss, p.n+1
	p.tokens += r.Tokens
	p.spent += time.Duration(r.StepMS * float64(time.Millisecond))
	rate := float64(p.tokens) / p.spent.Seconds()
	p.taken++
	left := time.Duration(float64(p.spent) / float64(p.taken) * float64(p.steps-r.Step)).Round(time.Second)
	p.line.set("step %d/%d  loss %.4f  %s tokens/s  %v left", r.Step, p.steps, r.Loss, thousands(int(rate)), left)
	if !p.out.live && (r.Step%p.every == 0 || r.Step == p.steps) {
		p.out.say("step %d/%d  loss %.4f  lr %.2e  %s tokens/s  %v left", r.Step, p.steps, p.sum/float64(p.n), r.LR, thousands(int(rate)), left)
		p.sum, p.n = 0, 0
	}
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.line.clear()
	p.out.say(format, args...)
}
