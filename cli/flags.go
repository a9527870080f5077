package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
)

// Groups of flags in the help. The help sorts them by name.
const (
	groupInput   = "1. Model and data"
	groupMethod  = "2. Method"
	groupLoop    = "3. Training loop"
	groupEval    = "4. Evaluation"
	groupCompute = "5. Device"
	groupOutput  = "6. Output"
)

func modelFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "model", Category: groupInput,
		Usage: "`PATH` of a GGUF file, or of a Hugging Face directory: config.json, *.safetensors, tokenizer.json; without it, a small built-in model",
	}
}

func quantFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "quant", Category: groupCompute, DefaultText: "as stored",
		Usage: "pack the weights while loading, as `TYPE`: q8_0, q4_0 or nf4",
	}
}

func adapterFlag() cli.Flag {
	return &cli.StringFlag{Name: "adapter", Category: groupInput, Usage: "`DIR` of an adapter"}
}

// adaptersFlag is for commands that take several.
func adaptersFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: "adapter", Category: groupInput,
		Usage: "`DIR` of an adapter, in any format; may be given several times. DIR:0.5 adds half of what a LoRA adds",
	}
}

func promptScaleFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "prompt-scale", Category: groupInput, Value: string(peft.ScaleAuto),
		Usage: "`HOW` a Gemma soft prompt is stored: hf5; hf4 if it was made with transformers 4, which multiplies it by √width; auto: as its file says",
	}
}

func jsonFlag(what string) cli.Flag {
	return &cli.BoolFlag{Name: "json", Category: groupOutput, DisableDefaultText: true, Usage: what}
}

// quietFlag leaves nothing but results.
func quietFlag() cli.Flag {
	return &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Category: groupOutput, DisableDefaultText: true, Usage: "print only the result"}
}
