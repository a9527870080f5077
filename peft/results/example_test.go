package results_test

import (
	"log"
	"os"

	"github.com/gpupeft/gpupeft/peft/results"
)

// Two methods over three seeds, beside a baseline. The numbers are made up.
func ExampleNewTable() {
	var trials []results.Trial
	add := func(method string, params int64, accuracy ...float64) {
		for seed, x := range accuracy {
			trials = append(trials, results.Trial{
				Model: "a model", Data: "reviews", Method: method, Baseline: params == 0,
				Seed: uint64(seed), Params: params, Metrics: map[string]float64{"exact match": x},
			})
		}
	}
	add("zero-shot", 0, 0.642)
	add("prompt tuning", 11520, 0.869, 0.861, 0.855)
	add("lora", 2442240, 0.875, 0.881, 0.872)

	table := results.NewTable("Reviews", []results.Metric{results.Exact}, trials)
	if err := table.Markdown(os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ### a model on reviews
	//
	// | method | exact match, % | trained values | seeds |
	// | --- | ---: | ---: | ---: |
	// | lora | **87.6 ± 0.5** | 2,442,240 | 3 |
	// | prompt tuning | 86.2 ± 0.7 | 11,520 | 3 |
	// | *zero-shot* | 64.2 |  | 1 |
	//
	// Means ± standard deviations over up to 3 seeds. Rows in italics are baselines: nothing was trained.
}
