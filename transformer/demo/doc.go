// Package demo carries a small trained language model and three data sets to
// tune it on, so that the program, the tests and the examples have something
// real to work with and nothing to download.
//
// The model is a Llama of 1,058,176 parameters (5 blocks, width 128, 4 query
// and 2 key-value heads, 1,536 tokens, 256 positions, tied embeddings, float16)
// with a byte-fallback BPE tokenizer in the manner of Llama 2. It was trained
// from scratch for this project on a corpus that a generator of this project
// writes: stories, reviews, passages with questions, letters and plain facts
// about an invented village. It knows that world and no other.
//
// The data sets speak of the same world in formats that the corpus lacks:
//
//	sentiment  {"prompt": review, "completion": " good" or " bad"}
//	questions  {"prompt": passage and question, "completion": answer}
//	text       plain text, a ship's logbook in a dialect
//
// Generator, training and evaluation scripts are in testdata/demo; no text,
// weights or vocabulary come from elsewhere. Licence: Apache-2.0, as the
// project's.
package demo
