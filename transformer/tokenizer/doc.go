// Package tokenizer turns text into the token ids of Llama, Mistral, Gemma and
// other byte-pair-encoding models, and ids back into text.
//
// It reads the files that models are published with and gives the same ids as
// the Hugging Face "tokenizers" library does for them:
//
//   - tokenizer.json, with a BPE model and any of these stages:
//     normalizers Sequence, Prepend, Replace, Strip, Lowercase, NFC, NFD,
//     NFKC, NFKD; pre-tokenizers Sequence, Split, ByteLevel, Digits, Metaspace;
//     post-processors Sequence, TemplateProcessing, ByteLevel; decoders
//     Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace;
//   - SentencePiece BPE models (tokenizer.model);
//   - llama2.c vocabularies (tok*.bin).
//
// A file that asks for anything else is refused with [ErrUnsupported], naming
// the stage: a tokenizer that is nearly right gives a model that is quietly
// wrong. The truncation and padding sections are options of a call rather than
// of the vocabulary; they are not applied, batching code pads as it needs.
//
// # Invalid text
//
// The reference library only accepts valid UTF-8. Encode replaces each maximal
// invalid part of its input by U+FFFD, as Python's errors="replace" does.
//
// # Regular expressions
//
// The split patterns of GPT-2, Llama 3 and Qwen 2 are scanned by hand-written
// code. Any other pattern runs on a backtracking engine with a time limit;
// syntax that the engine reads otherwise than the reference's Oniguruma, such as
// \w and nested classes, is refused. Two rare differences remain: letters that
// are newer than Go's Unicode tables (Unicode 15) are no \p{L} there, and (?i)
// does not fold the letters ſ and K (U+212A) to s and k, nor ß to ss.
//
// # Concurrency
//
// A [Tokenizer] is immutable and safe for concurrent use; a [Stream] belongs to
// one goroutine.
package tokenizer
