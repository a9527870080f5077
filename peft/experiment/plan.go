package experiment

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/gpupeft/gpupeft/peft/results"
)

// ErrPlan is wrapped by errors about a plan.
var ErrPlan = errors.New("unusable experiment")

// Plan is what an experiment consists of.
type Plan struct {
	Name      string         // of the experiment
	Metric    results.Metric // that the table is about
	Settings  Settings       // of all cells
	Models    []Choice
	Datasets  []Choice
	Methods   []Choice
	Seeds     []uint64
	Baselines []string // see Cell.Baseline
}

// Settings are flags of a training by name, without dashes, as texts.
type Settings map[string]string

// Choice is one of several models, datasets or methods: a name, and its settings.
type Choice struct {
	Name     string
	Settings Settings
}

// metrics are the values of metric, the others of a table in this order.
var metrics = []struct {
	name   string
	metric results.Metric
}{{"class", results.Class}, {"norm", results.Normalized}, {"exact", results.Exact}, {"accuracy", results.Accuracy}, {"loss", results.Loss}, {"perplexity", results.Perplexity}}

// metricNamed returns a metric by its name in a plan.
func metricNamed(name string) (results.Metric, error) {
	var known []string
	for _, m := range metrics {
		if known = append(known, m.name); m.name == name {
			return m.metric, nil
		}
	}
	return results.Metric{}, fmt.Errorf("metric %q (known: %s): %w", name, strings.Join(known, ", "), ErrPlan)
}

// planFile is a plan as YAML has it.
type planFile struct {
	Name      string           `yaml:"name"`
	Metric    string           `yaml:"metric"`
	Settings  map[string]any   `yaml:"settings"`
	Models    []map[string]any `yaml:"models"`
	Datasets  []map[string]any `yaml:"datasets"`
	Methods   []map[string]any `yaml:"methods"`
	Seeds     []uint64         `yaml:"seeds"`
	Baselines []string         `yaml:"baselines"`
}

// Parse reads a plan. Without models or datasets there is one of each, with no settings;
// without seeds there is seed 42, without a metric it is the loss. The error wraps ErrPlan and says the line where it can.
func Parse(text []byte) (*Plan, error) {
	var f planFile
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", strings.TrimSpace(yaml.FormatError(err, false, true)), ErrPlan)
	}
	p := &Plan{Name: f.Name, Seeds: f.Seeds, Baselines: f.Baselines}
	var err error
	if f.Metric == "" {
		f.Metric = "loss"
	}
	if p.Metric, err = metricNamed(f.Metric); err != nil {
		return nil, err
	}
	if p.Settings, err = texts("settings", f.Settings); err != nil {
		return nil, err
	}
	if _, own := p.Settings["metric"]; !own && (p.Metric == results.Class || p.Metric == results.Normalized) {
		p.Settings["metric"] = "class" // it is measured only where it is asked for
	}
	for _, axis := range []struct {
		name string
		from []map[string]any
		to   *[]Choice
	}{{"models", f.Models, &p.Models}, {"datasets", f.Datasets, &p.Datasets}, {"methods", f.Methods, &p.Methods}} {
		if *axis.to, err = choices(axis.name, axis.from); err != nil {
			return nil, err
		}
	}
	return p, p.check()
}

func (p *Plan) check() error {
	if len(p.Seeds) == 0 {
		p.Seeds = []uint64{42}
	}
	switch {
	case p.Name == "":
		return fmt.Errorf("name is missing: %w", ErrPlan)
	case len(p.Methods) == 0 && len(p.Baselines) == 0:
		return fmt.Errorf("no methods and no baselines: %w", ErrPlan)
	}
	for i, s := range p.Seeds {
		if slices.Contains(p.Seeds[:i], s) {
			return fmt.Errorf("seed %d twice: %w", s, ErrPlan)
		}
	}
	for i, b := range p.Baselines {
		if _, _, err := ParseBaseline(b); err != nil {
			return err
		}
		if slices.Contains(p.Baselines[:i], b) {
			return fmt.Errorf("baseline %s twice: %w", b, ErrPlan)
		}
	}
	return nil
}

// choices reads an axis. No two may have the same name, nor the same name in files.
func choices(axis string, list []map[string]any) ([]Choice, error) {
	var all []Choice
	seen := map[string]bool{}
	for i, fields := range list {
		name, ok := fields["name"].(string)
		if !ok || name == "" {
			return nil, fmt.Errorf("%s: entry %d has no name: %w", axis, i+1, ErrPlan)
		}
		delete(fields, "name")
		settings, err := texts(axis+": "+name, fields)
		if err != nil {
			return nil, err
		}
		if seen[fileName(name)] {
			return nil, fmt.Errorf("%s: two entries are named %s: %w", axis, name, ErrPlan)
		}
		seen[fileName(name)] = true
		all = append(all, Choice{name, settings})
	}
	return all, nil
}

// texts turns values of YAML into the texts that flags have.
func texts(where string, fields map[string]any) (Settings, error) {
	s := Settings{}
	for name, v := range fields {
		text, err := flagText(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", where, name, err)
		}
		s[name] = text
	}
	return s, nil
}

func flagText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			break
		}
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case []any: // a list of names, as flags take it
		var parts []string
		for _, x := range v {
			part, err := flagText(x)
			if err != nil {
				return "", err
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("%v is no value of a flag: %w", v, ErrPlan)
}

// The baselines.
const (
	Majority = "majority"  // always the most frequent answer of the training rows
	ZeroShot = "zero-shot" // the model as it is
	FewShot  = "few-shot"  // the model as it is, after some training rows: few-shot-4
	NGram    = "n-gram"    // counts of n tokens of the training text: n-gram-3
)

// ParseBaseline takes "few-shot-4" apart; n is 0 for those without a number.
func ParseBaseline(text string) (name string, n int, err error) {
	for _, b := range []struct {
		name    string
		lo, hi  int // of the number, if there is one
		without int // what it is without one
	}{{Majority, 0, 0, 0}, {ZeroShot, 0, 0, 0}, {FewShot, 1, 64, 4}, {NGram, 1, 8, 3}} {
		rest, ok := strings.CutPrefix(text, b.name)
		if !ok {
			continue
		}
		if rest == "" {
			return b.name, b.without, nil
		}
		n, err := strconv.Atoi(strings.TrimPrefix(rest, "-"))
		if err == nil && strings.HasPrefix(rest, "-") && n >= b.lo && n <= b.hi && b.hi > 0 {
			return b.name, n, nil
		}
	}
	return "", 0, fmt.Errorf("baseline %q (known: majority, zero-shot, few-shot-1 to few-shot-64, n-gram-1 to n-gram-8): %w", text, ErrPlan)
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// fileName is a name with nothing in it that a file system could mind.
func fileName(name string) string {
	name = strings.Trim(unsafe.ReplaceAllString(name, "-"), "-.")
	if name == "" {
		return "none"
	}
	return strings.ToLower(name)
}
