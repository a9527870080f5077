package chat

import "strings"

// End returns what a template writes behind an answer, such as "<|eot_id|>", without
// white space around it; a model that was tuned with the template stops there. It is
// empty if the template writes nothing, or doesn't take a conversation of one question.
func End(t Template) string {
	text, err := t.Render([]Message{{User, "?"}, {Assistant, stand}}, false)
	if err != nil {
		return ""
	}
	_, end, _ := strings.Cut(text, stand)
	return strings.TrimSpace(end)
}
