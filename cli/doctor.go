package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/gpu/selftest"
)

const doctorDescription = `Says what this machine has to compute on, with drivers and limits, tests the kernels of
each GPU against the CPU, and says what --device auto takes. Exit code 1 if a GPU fails.

Other commands test a GPU themselves before they use it, for some seconds a time until all
is tested, and again when the driver or the program has changed. What a driver gets wrong is
left to the CPU, with a message, if it isn't too much. GPUPEFT_SELF_TEST=off in the
environment keeps them from it.`

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "test GPUs and their drivers",
		UsageText:   "gpupeft doctor [--all] [--json]",
		Description: doctorDescription,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", DisableDefaultText: true, Usage: "test all kernels, however long the driver compiles; else for about 5 seconds"},
			jsonFlag("print one JSON object"),
		},
		Action: p.doctor,
	}
}

// checkup is the result of doctor.
type checkup struct {
	Build   build          `json:"build"`
	Free    int64          `json:"free_memory,omitempty"` // of the host; 0: not known
	Devices []testedDevice `json:"devices"`
	Auto    autoChoice     `json:"auto"`
	Cache   string         `json:"self_tests,omitempty"` // where those that were passed are remembered
}

type testedDevice struct {
	deviceReport
	SelfTest *selfTestReport `json:"self_test,omitempty"` // of a GPU
}

func (p *program) doctor(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if p.self != "" {
		return p.doctorInWorker(c)
	}
	quietDrivers()
	found, err := gpu.Adapters(c.Context)
	if err != nil && !errors.Is(err, gpu.ErrUnavailable) {
		return err
	}
	d := checkup{
		Build: thisBuild(), Free: availableMemory(), Devices: []testedDevice{{deviceReport: cpuReport()}},
		Auto: chooseAuto(found, err), Cache: selfTestFile(),
	}
	failed, limit := 0, selftest.Limit
	if c.Bool("all") {
		limit = 0
	}
	for i, a := range found {
		t := testedDevice{deviceReport: adapterReport(c.Context, i, a)}
		if t.Error == "" {
			if t.SelfTest, err = testGPU(c.Context, strconv.Itoa(i), a, limit, selfTestReport{}); err != nil {
				failed++
			}
			if t.SelfTest == nil {
				t.Error = oneLine(err)
			}
		}
		d.Devices = append(d.Devices, t)
	}
	if c.Bool("json") {
		err = writeJSON(p.out, d)
	} else {
		err = d.print(p.out)
	}
	if err == nil && failed > 0 {
		return fmt.Errorf("%s failed", count(failed, "GPU"))
	}
	return err
}

// doctorInWorker lets another process do it, which a bad driver may end.
func (p *program) doctorInWorker(c *cli.Context) error {
	crash := &crashFilter{to: p.err}
	w := exec.CommandContext(c.Context, p.self, p.args...)
	w.Env = append(os.Environ(), workerEnv+"=1")
	w.Stdout, w.Stderr = p.out, crash
	in, err := w.StdinPipe() // its end would end the worker
	if err != nil {
		return err
	}
	defer in.Close()
	err = w.Run()
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return err
	case orderly(exit.ExitCode()):
		return workerExit{exit.ExitCode(), ""}
	}
	return fmt.Errorf("a GPU's driver has ended the process that tested it (%s): --device cpu works everywhere", cmp.Or(crash.reason(), exit.Error()))
}

func (d *checkup) print(w io.Writer) error {
	fmt.Fprintf(w, "gpupeft %s, %s, %s\n", d.Build.Version, d.Build.Platform, d.Build.Go)
	if d.Free > 0 {
		fmt.Fprintf(w, "memory  %s free; WebGPU doesn't tell how much a GPU has\n", byteSize(d.Free))
	}
	for _, t := range d.Devices {
		t.print(w)
		if t.SelfTest != nil {
			fmt.Fprintf(w, "        self-test: %v\n", t.SelfTest)
		}
	}
	_, err := fmt.Fprintf(w, "\n--device auto takes %s: %s\n", d.Auto.Device, d.Auto.Reason)
	return err
}
