package tune

// Parse takes in the text of a state.json without a directory.
func Parse(text string) (*Checkpoint, error) { return parse("a", []byte(text)) }
