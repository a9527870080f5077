package tokenizer_test

import (
	"fmt"
	"log"
	"os"

	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// A small vocabulary with the pipeline of Llama 2.
func Example() {
	tk, err := tokenizer.Load(os.DirFS("../../testdata/tokenizers/llama2-legacy"))
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tk.Encode("The best matrix\n😀", true)
	if err != nil {
		log.Fatal(err)
	}
	pieces := make([]string, len(ids))
	for i, id := range ids {
		pieces[i] = tk.Piece(id)
	}
	fmt.Printf("%q\n%q\n", pieces, tk.Decode(ids, true))
	// Output:
	// ["<s>" "▁Th" "e" "▁be" "st" "▁m" "atrix" "\n" "<0xF0>" "<0x9F>" "<0x98>" "<0x80>"]
	// "The best matrix\n😀"
}

// A generated text is decoded id by id; the four bytes of the emoji come out as
// one character.
func ExampleTokenizer_Stream() {
	tk, err := tokenizer.Load(os.DirFS("../../testdata/tokenizers/llama2-legacy"))
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tk.Encode("so 😀 far", true)
	if err != nil {
		log.Fatal(err)
	}
	stream := tk.Stream(true)
	for _, id := range ids {
		fmt.Printf("%q ", stream.Next(id))
	}
	fmt.Printf("%q\n", stream.Flush())
	// Output:
	// "" "so" " " "" "" "" "😀" " f" "ar" ""
}
