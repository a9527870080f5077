package demo

import (
	"embed"
	"io/fs"
)

//go:embed model/*.json model/model.safetensors
var model embed.FS

//go:embed data
var data embed.FS

// Model returns the demo model as a Hugging Face model directory: config.json,
// generation_config.json, model.safetensors, tokenizer.json and
// tokenizer_config.json, and in training.json the facts of its training.
func Model() fs.FS { return sub(model, "model") }

// Data returns the tuning data sets: sentiment and questions hold train.jsonl
// and valid.jsonl with a prompt and a completion a line, text holds train.txt
// and valid.txt.
func Data() fs.FS { return sub(data, "data") }

// sub returns a directory of an embedded tree. fs.Sub fails only on a name that
// is not a valid path, and the names here are constants.
func sub(tree embed.FS, name string) fs.FS {
	dir, err := fs.Sub(tree, name)
	if err != nil {
		return tree
	}
	return dir
}
