// Package sugarme lets programs that are built on github.com/sugarme/tokenizer
// use this project's tokenizers, without changing their types.
//
// [New] returns a ready *tokenizer.Tokenizer of that library. Only its frame is
// used: encodings, truncation, padding, batches. Finding added tokens,
// normalizing, splitting, merging and decoding is done by this project's code,
// because version 0.3.0 of the library gives other ids than the models were
// trained with (byte fallback, ties between merges, order of added tokens).
//
// What to mind:
//
//   - Do not register added tokens or a normalizer with the returned tokenizer:
//     they would cut or change the text before this package sees it.
//   - The library panics on text that is not UTF-8; run it through
//     strings.ToValidUTF8 first.
//   - Offsets are those of the whole text for every token: the ids are exact, the
//     alignment is not computed. [Model] alone gives exact offsets in a word.
package sugarme
