package peft

import "github.com/gpupeft/gpupeft/transformer"

// Method is a trainable addition to a model: a [*Prompt] or a [*LoRA].
type Method interface {
	transformer.Adapter
	// Params are what is trained.
	Params() *Params
	// Model returns the frozen model that the method was made for.
	Model() *transformer.Model
	// Close frees the parameters. Runs that the method is attached to must be
	// closed before.
	Close() error

	// config returns the semantic fields of PEFT's adapter_config.json.
	config() configFile
	// fileName returns the name that PEFT gives a parameter in its file.
	fileName(p Param) string
}
