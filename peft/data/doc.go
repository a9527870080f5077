// Package data turns files into the token sequences that a model is tuned on.
//
//	files, err := data.Open(ctx, os.DirFS("reviews"), ".", data.Options{Tokens: tok, Vocab: v, MaxLength: 128})
//	defer files.Close()
//	train, valid := files.Train.Split(0.05, seed)
//	steps, err := data.Loader{Batch: 8, Seed: seed}.Start(train, data.State{})
//	for step, err := range peft.Train(ctx, run, method, steps.Steps(), config) {
//		…
//	}
//
// # Formats
//
// What a file holds is found from its name and its first row, and Set.Why says how:
//
//   - plain text: one stream of tokens, with what the tokenizer puts in front of
//     a text, cut into blocks of MaxLength tokens. Every token is a target but the
//     first of a block, which nothing stands before.
//   - rows {"text": …}: each a text of its own that ends with the tokenizer's EOS.
//   - rows {"prompt": …, "completion": …}, also "question" and "answer": only the
//     answer, followed by EOS, is a target.
//   - rows {"instruction": …, "input": …, "output": …}: the same behind the words of
//     Stanford Alpaca.
//   - rows {"text": …, "label": …}: a classification. The answer is the name of the
//     class, or its number.
//   - rows {"question": …, "choices": […], "answer": …}: the answer is the right choice,
//     which the file names by its place from 0, its label or its text; or with
//     Options.ByIndex its letter, and the choices stand in the prompt. The names and
//     forms of MMLU, ARC and HellaSwag are known.
//   - rows {"messages": [{"role": …, "content": …}, …]}: a conversation, which a
//     chat template (package transformer/chat) turns into text. The assistant's
//     messages are targets, each with the token that ends it.
//   - rows {"input_ids": […], "labels": […]}: taken as they are; a label of −100
//     is no target. Label t belongs to token t, as in Hugging Face's libraries.
//
// Rows stand in JSONL files, one a line, in a .json file as one array, or in a table:
// .csv (RFC 4180) or .tsv (without quotes), whose first line names the columns. A
// directory holds the parts of a data set: train, valid (validation, val, dev), test.
//
// Which token is a target follows from where it stands, never from which token it
// is: an EOS is one where it ends an answer even if it is also the padding.
//
// # Large files
//
// A file is read once, from front to end, and its tokens are kept in memory, or
// beyond Options.Memory in a temporary file. A data set takes 8 bytes of memory an
// example and 3 bytes of disk a token, and can be read in any order.
//
// # Order and batches
//
// A Loader's order follows from its seed alone, and a State of three numbers is all
// that it takes to go on from any step. Rows can be grouped by length, or packed:
// several examples in a row that see nothing of each other.
//
// # Bad data
//
// Input is checked, not repaired: bytes that are not UTF-8, NUL, lines beyond 16
// MiB, fields that are missing, repeated or of the wrong type, ids outside the
// vocabulary are errors that name file and line. A byte order mark and CRLF line
// ends are accepted and leave no trace in the tokens. Examine looks for what is
// well formed and wrong all the same.
//
// Errors wrap [ErrFormat], [ErrTooFew], [ErrTokenizer], [ErrOptions] or those of
// packages fs and chat.
package data
