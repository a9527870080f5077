// Package data turns files into the token sequences that a model is tuned on.
//
//	files, err := data.Open(ctx, os.DirFS("reviews"), ".", data.Options{Tokens: tok, Vocab: v, MaxLength: 128})
//	train, valid := files.Train.Split(0.05, seed)
//	steps := data.Loader{Batch: 8, Seed: seed}.Steps(train.Examples)
//	for step, err := range peft.Train(ctx, run, method, steps, config) {
//		…
//	}
//
// # Formats
//
// What a file holds is found from its name and its first row:
//
//   - plain text: one stream of tokens, with what the tokenizer puts in front of
//     a text, cut into blocks of MaxLength tokens. Every token is a target but the
//     first of a block, which nothing stands before.
//   - rows {"text": …}: each a text of its own that ends with the tokenizer's EOS.
//   - rows {"prompt": …, "completion": …}: only the completion, followed by EOS,
//     is a target.
//   - rows {"input_ids": […], "labels": […]}: taken as they are; a label of −100
//     is no target. Label t belongs to token t, as in Hugging Face's libraries.
//
// Rows stand in JSONL files, one a line, or in a .json file as one array. A
// directory holds the parts of a data set: train, valid (or validation, val), test.
//
// # Bad data
//
// Input is checked, not repaired: bytes that are not UTF-8, NUL, lines beyond 16
// MiB, fields that are missing, repeated or of the wrong type, ids outside the
// vocabulary are errors that name file and line. A byte order mark and CRLF line
// ends are accepted and leave no trace in the tokens.
//
// Errors wrap [ErrFormat], [ErrTooFew], [ErrTokenizer] or those of package fs.
package data
