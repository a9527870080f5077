// Package results shows what came of training: loss curves as SVG and PNG, a page about
// a run, and tables that compare methods over several seeds.
//
//	records, err := runlog.ReadFile("log.jsonl")
//	figure := results.Curves("Loss", records)
//	err = figure.PNG(file)
//
//	err = results.Run{Title: "lora on reviews", Log: records}.HTML(file)
//
//	table := results.NewTable("SST-2", metrics, trials)
//	err = table.Markdown(os.Stdout)
//
// # Pages
//
// A page is one file that needs no other and no network, with a policy that forbids
// the browser to fetch anything or to run any script but the page's own. Texts of
// models and data sets, whatever they hold, are shown and never become markup. Pages
// follow the reader's choice of a light or a dark theme and can be read without
// JavaScript, which only adds numbers where a curve is pointed at.
package results
