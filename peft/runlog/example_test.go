package runlog_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/gpupeft/gpupeft/peft/runlog"
)

// A run that was broken off goes on after step 2: what it had written of step 3 is cut
// away.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "log.csv")

	write := func(after int, records ...runlog.Record) {
		w, err := runlog.OpenCSV(name, after)
		if err != nil {
			log.Fatal(err)
		}
		defer w.Close()
		for _, r := range records {
			if err := w.Write(r); err != nil {
				log.Fatal(err)
			}
		}
	}
	write(0, runlog.Record{Step: 1, Loss: 4}, runlog.Record{Step: 2, Loss: 3}, runlog.Record{Step: 3, Loss: 9})
	write(2, runlog.Record{Step: 3, Loss: 2})

	records, err := runlog.ReadFile(name)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range records {
		fmt.Println(r.Step, r.Loss)
	}
	// Output:
	// 1 4
	// 2 3
	// 3 2
}
