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
	maxDots    = 60 // of the held-out loss; more are a line
	smoothPart = 20 // the smooth loss looks at a 20th of the run
	logRange   = 30 // a loss that falls to a 30th and less is shown on a logarithmic scale
)

// Curves draws a run's loss: that of each step in a light line, smoothed over the steps
// around in a strong one, what was measured on held-out examples; below it, the learning rate. Nil is
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
		rawName = fmt.Sprintf("smoothed over %d steps", c.window)
	}
	x, y := sample(c.steps, c.smooth, maxBuckets)
	loss.Series = append(loss.Series, Series{Name: rawName, Look: Line, X: x, Y: y})
	if len(c.heldOut.X) > 0 {
		loss.Series = append(loss.Series, c.measured())
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
	// A mean of means weighs near steps more, so that a spike isn't drawn as a table.
	half := len(records) / smoothPart / 2
	c.window = 2*half + 1
	c.smooth = movingMean(movingMean(c.loss, half|1), half|1)
	return c
}

// measured is the held-out loss as it is drawn.
func (c *curve) measured() Series {
	s := c.heldOut
	if len(s.X) > maxDots {
		s.Look = Line
		s.X, s.Y = thin(s.X, s.Y, maxBuckets)
	}
	return s
}

// falls reports a loss whose late part would be a flat line on a linear scale.
func (c *curve) falls() bool {
	s := spanOf(slices.Concat(c.smooth, c.heldOut.Y))
	return spanOf(c.loss).low > 0 && s.low > 0 && s.high > logRange*s.low
}

// marks are spread over the run; steps with a held-out loss have one, if these are few.
func (c *curve) marks() (marks []mark) {
	every := (len(c.records) + maxMarks - 1) / maxMarks
	for i, r := range c.records {
		dot := r.ValLoss != nil && len(c.heldOut.X) <= maxDots
		if i%every != 0 && i != len(c.records)-1 && !dot {
			continue
		}
		m := mark{
			at: float64(r.Step), Text: fmt.Sprintf("step %s\nloss %s", thousands(int64(r.Step)), fixed4(r.Loss)),
			panel: []markDot{{0, c.smooth[i], 0}, {1, r.LR, 2}},
		}
		if c.window > 1 {
			m.Text += fmt.Sprintf("\nsmoothed %s", fixed4(c.smooth[i]))
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
