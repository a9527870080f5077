package results

import (
	"fmt"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/peft/runlog"
)

// What a figure of curves has room for.
const (
	maxBuckets = 600 // of the raw loss; each is drawn from its least to its largest
	maxMarks   = 400
	smoothPart = 30 // the smooth loss is a mean over a 30th of the run
	logRange   = 30 // a loss that falls to a 30th and less is shown on a logarithmic scale
)

// Curves draws a run's loss: that of each step in a light line, its mean over the steps
// around it, what was measured on held-out examples; below it, the learning rate. Nil is
// returned for no records.
func Curves(title string, records []runlog.Record) *Figure {
	if len(records) == 0 {
		return nil
	}
	c := newCurve(records)
	loss := Panel{Y: Axis{Label: "loss", Log: c.falls()}, Share: 3}
	rawName := "training loss"
	if c.window > 1 {
		x, y := thin(c.steps, c.loss, maxBuckets)
		loss.Series = append(loss.Series, Series{Name: rawName, Look: Faint, X: x, Y: y})
		rawName = fmt.Sprintf("its mean over %d steps", c.window)
	}
	x, y := sample(c.steps, c.smooth, maxBuckets)
	loss.Series = append(loss.Series, Series{Name: rawName, Look: Line, X: x, Y: y})
	if len(c.heldOut.X) > 0 {
		loss.Series = append(loss.Series, c.heldOut)
	}
	x, y = sample(c.steps, c.rate, maxBuckets)
	rate := Panel{Y: Axis{Label: "learning rate"}, Share: 1, Series: []Series{{Name: "learning rate", Look: Line, Color: 2, X: x, Y: y}}}
	return &Figure{Title: title, X: Axis{Label: "step"}, Panels: []Panel{loss, rate}, marks: c.marks(), byX: true}
}

// curve is a run's records by columns.
type curve struct {
	records                   []runlog.Record
	steps, loss, smooth, rate []float64
	window                    int // steps of the mean
	heldOut                   Series
}

func newCurve(records []runlog.Record) *curve {
	c := &curve{records: records, heldOut: Series{Name: "held-out loss", Look: Joined, Color: 1}}
	for _, r := range records {
		c.steps, c.loss, c.rate = append(c.steps, float64(r.Step)), append(c.loss, r.Loss), append(c.rate, r.LR)
		if r.ValLoss != nil {
			c.heldOut.X, c.heldOut.Y = append(c.heldOut.X, float64(r.Step)), append(c.heldOut.Y, *r.ValLoss)
		}
	}
	c.window = len(records)/smoothPart | 1
	c.smooth = movingMean(c.loss, c.window)
	return c
}

// falls reports a loss whose late part would be a flat line on a linear scale.
func (c *curve) falls() bool {
	s := nothing
	for _, x := range slices.Concat(c.smooth, c.heldOut.Y) {
		s = s.with(x)
	}
	lowest := nothing
	for _, x := range c.loss {
		lowest = lowest.with(x)
	}
	return lowest.low > 0 && s.high > logRange*s.low
}

// marks are spread over the run; steps with a held-out loss always have one.
func (c *curve) marks() (marks []mark) {
	every := (len(c.records) + maxMarks - 1) / maxMarks
	for i, r := range c.records {
		if i%every != 0 && r.ValLoss == nil && i != len(c.records)-1 {
			continue
		}
		m := mark{at: float64(r.Step), Text: fmt.Sprintf("step %s\nloss %s", thousands(int64(r.Step)), fixed4(r.Loss)),
			panel: []markDot{{0, c.smooth[i], 0}, {1, r.LR, 2}}}
		if c.window > 1 {
			m.Text += fmt.Sprintf("\nmean %s", fixed4(c.smooth[i]))
		}
		if r.ValLoss != nil {
			m.Text += fmt.Sprintf("\nheld-out %s", fixed4(*r.ValLoss))
			m.panel = append(m.panel, markDot{0, *r.ValLoss, 1})
		}
		m.Text += fmt.Sprintf("\nlearning rate %s", short(three(r.LR)))
		marks = append(marks, m)
	}
	return marks
}

// fixed4 writes a loss as the program prints it.
func fixed4(x float64) string {
	if !finite(x) {
		return "not a number"
	}
	return fmt.Sprintf("%.4f", x)
}

// three rounds to three digits.
func three(x float64) float64 {
	if x == 0 || !finite(x) {
		return x
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(x)))-2)
	return math.Round(x/unit) * unit
}

// movingMean returns the means over an odd number of values around each, or as many as
// there are on the shorter side, so that ends aren't pulled to the inside. What isn't
// finite doesn't count.
func movingMean(values []float64, window int) []float64 {
	means := make([]float64, len(values))
	sums, counts := make([]float64, len(values)+1), make([]int, len(values)+1)
	for i, x := range values {
		sums[i+1], counts[i+1] = sums[i], counts[i]
		if finite(x) {
			sums[i+1], counts[i+1] = sums[i]+x, counts[i]+1
		}
	}
	for i := range values {
		half := min(window/2, i, len(values)-1-i)
		n := counts[i+half+1] - counts[i-half]
		means[i] = (sums[i+half+1] - sums[i-half]) / float64(n) // NaN for none
	}
	return means
}

// thin keeps the least and the largest value of each of n buckets, so that no spike is
// lost; NaN stays where a bucket has nothing else.
func thin(x, y []float64, n int) (thinX, thinY []float64) {
	if len(x) <= 2*n {
		return x, y
	}
	for b := range n {
		from, to := b*len(x)/n, (b+1)*len(x)/n
		low, high := from, from
		for i := from; i < to; i++ {
			if !finite(y[i]) {
				continue
			}
			if !finite(y[low]) || y[i] < y[low] {
				low = i
			}
			if !finite(y[high]) || y[i] > y[high] {
				high = i
			}
		}
		for _, i := range []int{min(low, high), max(low, high)} {
			thinX, thinY = append(thinX, x[i]), append(thinY, y[i])
		}
	}
	return thinX, thinY
}

// sample keeps about n values at even distances, the first and the last among them.
func sample(x, y []float64, n int) (someX, someY []float64) {
	if len(x) <= n {
		return x, y
	}
	for b := range n {
		i := b * (len(x) - 1) / (n - 1)
		someX, someY = append(someX, x[i]), append(someY, y[i])
	}
	return someX, someY
}
