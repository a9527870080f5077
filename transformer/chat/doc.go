// Package chat turns conversations into the text that a model was tuned on.
//
//	t, err := chat.Named("llama-3", chat.Specials{BOS: "<|begin_of_text|>"})
//	text, err := t.Render([]chat.Message{{Role: chat.User, Content: "Hi"}}, true)
//
// The families in [Names] are written in Go and give what their published templates
// give under transformers' apply_chat_template. Any other template is Jinja, from
// the checkpoint ([Find]) or a file ([Jinja]), and is run by an interpreter that can
// reach nothing but the conversation, with bounds on work, text and nesting.
//
// A rendered text holds all special tokens, BOS among them: encode it without adding
// any, or BOS is there twice.
//
// [Session] is a conversation with a model, which computes each token once.
//
// [Answers] says where in a text the answers are, for training on those alone.
package chat
