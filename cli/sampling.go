package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/transformer"
)

const groupSampling = "2. Sampling"

func systemFlag() cli.Flag {
	return &cli.StringFlag{Name: "system", Category: groupInput, Usage: "`TEXT` of the system in the conversation"}
}

func taskFlag() cli.Flag {
	return &cli.IntFlag{Name: "task", Category: groupInput, Usage: "`N` of a prompt for several tasks"}
}

func maxTokensFlag(value int) cli.Flag {
	return &cli.IntFlag{Name: "max-tokens", Value: value, Category: groupSampling, Usage: "`N` new tokens at most"}
}

func temperatureFlag() cli.Flag {
	return &cli.Float64Flag{Name: "temperature", Category: groupSampling, Usage: "`T`: 0 always takes the most likely token, 1 follows the model"}
}

func topKFlag() cli.Flag {
	return &cli.IntFlag{Name: "top-k", Category: groupSampling, Usage: "choose among the `K` most likely tokens; 0: all"}
}

func topPFlag() cli.Flag {
	return &cli.Float64Flag{Name: "top-p", Category: groupSampling, Usage: "choose among the most likely tokens whose probabilities sum to `P`; 0: all"}
}

func textSeedFlag() cli.Flag {
	return &cli.Uint64Flag{Name: "seed", Category: groupSampling, Usage: "the same `N` gives the same text"}
}

// generationOf reads these flags.
func generationOf(c *cli.Context) transformer.Generation {
	return transformer.Generation{MaxTokens: c.Int("max-tokens"), Sampling: transformer.Sampling{
		Temperature: c.Float64("temperature"), TopK: c.Int("top-k"), TopP: c.Float64("top-p"), Seed: c.Uint64("seed"),
	}}
}

func checkSampling(c *cli.Context) error {
	switch {
	case c.Int("max-tokens") < 1:
		return usagef("--max-tokens %d: want at least 1", c.Int("max-tokens"))
	case !(c.Float64("temperature") >= 0) || c.Float64("temperature") > 1e6:
		return usagef("--temperature %v: want 0 or more", c.Float64("temperature"))
	case c.Int("top-k") < 0:
		return usagef("--top-k %d: want 0 or more", c.Int("top-k"))
	case !(c.Float64("top-p") >= 0 && c.Float64("top-p") <= 1):
		return usagef("--top-p %v: want 0 to 1", c.Float64("top-p"))
	}
	return nil
}
