package cli

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/transformer/chat"
)

// templateFile is the file of an adapter with the template that it was trained with, if
// that came from a file. Hugging Face's programs write it, too.
const templateFile = "chat_template.jinja"

// openTrainedTemplate is openTemplate for a command with --adapter: without
// --chat-template, the template is that of the adapter's training, if it tells.
func (b *base) openTrainedTemplate(c *cli.Context) (trained bool, err error) {
	name, adapter := c.String("chat-template"), ""
	if !c.IsSet("chat-template") {
		for _, value := range c.StringSlice("adapter") {
			dir, _, err := splitFactor(value)
			if err != nil {
				return false, err
			}
			if trained := trainedTemplate(dir); trained != "" {
				name, adapter = trained, dir
				break
			}
		}
	}
	if err := b.openTemplate(name); err != nil {
		return false, err
	}
	if adapter != "" {
		b.chat.Why = adapter + " was trained so"
	}
	return adapter != "", nil
}

// trainedTemplate returns the --chat-template of the training that an adapter's directory
// comes from: none if there was none, and "" if nothing is known. The template's own file is
// the only one that a directory can name, which may be a stranger's.
func trainedTemplate(dir string) string {
	file := filepath.Join(dir, templateFile)
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		return file
	}
	run, err := readRun(dir)
	if err != nil {
		return ""
	}
	name, _ := run.Config["chat-template"].(string)
	switch {
	case run.Data.Template == "":
		return "none"
	case name == "auto", name == "model":
		return "model"
	case slices.Contains(chat.Names(), name):
		return name
	}
	return ""
}

// copyTemplate gives the adapter the template of its training, if that came from a file.
func (j *job) copyTemplate(dir string) error {
	name := j.plan.template
	if words := append(chat.Names(), "auto", "model", "none"); j.report.Data.Template == "" || slices.Contains(words, name) {
		return nil
	}
	return copyFile(filepath.Join(dir, templateFile), name)
}
