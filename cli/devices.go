package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
)

const devicesDescription = `Lists what --device can name, with the limits of each, and what --device auto takes
and why.`

func (p *program) devicesCommand() *cli.Command {
	return &cli.Command{
		Name:        "devices",
		Usage:       "list the processors to compute on",
		UsageText:   "gpupeft devices [--json]",
		Description: devicesDescription,
		Flags:       []cli.Flag{jsonFlag("print one JSON object")},
		Action:      p.devices,
	}
}

// deviceList is the result of devices.
type deviceList struct {
	Devices []deviceReport `json:"devices"`
	Auto    autoChoice     `json:"auto"`
}

// deviceReport describes one value of --device.
type deviceReport struct {
	Device string        `json:"device"`
	Name   string        `json:"name"`
	Type   string        `json:"type"`
	API    string        `json:"api,omitempty"`
	Vendor string        `json:"vendor,omitempty"`
	Driver string        `json:"driver,omitempty"`
	Limits *deviceLimits `json:"limits,omitempty"` // nil: see Error
	Error  string        `json:"error,omitempty"`
}

// deviceLimits are those of WebGPU that matter here, in bytes but for the last.
type deviceLimits struct {
	Buffer               int64  `json:"buffer"`
	Binding              int64  `json:"binding"`
	WorkgroupMemory      uint32 `json:"workgroup_memory"`
	StorageBuffers       uint32 `json:"storage_buffers"`
	WorkgroupInvocations uint32 `json:"workgroup_invocations"`
}

func (p *program) devices(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	quietDrivers()
	found, err := gpu.Adapters(c.Context)
	if err != nil && !errors.Is(err, gpu.ErrUnavailable) {
		return err
	}
	l := deviceList{Devices: []deviceReport{cpuReport()}, Auto: chooseAuto(found, err)}
	for i, a := range found {
		l.Devices = append(l.Devices, adapterReport(c.Context, i, a))
	}
	if c.Bool("json") {
		return writeJSON(p.out, l)
	}
	return l.print(p.out)
}

func cpuReport() deviceReport {
	b := tensor.NewCPU(0)
	defer b.Close()
	info := b.Info()
	return deviceReport{Device: "cpu", Name: fmt.Sprintf("%s, %s", info.Name, count(info.Threads, "thread")), Type: "cpu"}
}

// adapterReport opens an adapter to ask for its limits.
func adapterReport(ctx context.Context, i int, a gpu.AdapterInfo) deviceReport {
	r := deviceReport{Device: "gpu:" + strconv.Itoa(i), Name: a.Name, Type: string(a.Type), API: a.Backend, Vendor: a.Vendor, Driver: a.Driver}
	if a.Type == gpu.SoftwareGPU {
		r.Type = "software"
	}
	d, err := gpu.OpenDevice(ctx, gpu.Config{Adapter: strconv.Itoa(i)})
	if err != nil {
		r.Error = oneLine(err)
		return r
	}
	defer d.Close()
	l := d.Limits()
	r.Limits = &deviceLimits{l.BufferSize, l.BindingSize, l.WorkgroupMemory, l.StorageBuffers, l.WorkgroupInvocations}
	return r
}

func (l *deviceList) print(w io.Writer) error {
	for _, d := range l.Devices {
		d.print(w)
	}
	_, err := fmt.Fprintf(w, "\n--device auto takes %s: %s\n", l.Auto.Device, l.Auto.Reason)
	return err
}

func (d *deviceReport) print(w io.Writer) {
	fmt.Fprintf(w, "%-6s  %s\n", d.Device, d.Name)
	if d.API != "" {
		fmt.Fprintf(w, "        %s\n", strings.Join(slices.DeleteFunc([]string{d.Type, d.API, d.Vendor, d.Driver},
			func(s string) bool { return s == "" }), ", "))
	}
	if d.Error != "" {
		fmt.Fprintf(w, "        cannot be opened: %s\n", d.Error)
	}
	if m := d.Limits; m != nil {
		fmt.Fprintf(w, "        buffers up to %s, %d bindings of up to %s, workgroups of %d with %s\n",
			byteSize(m.Buffer), m.StorageBuffers, byteSize(m.Binding), m.WorkgroupInvocations, byteSize(int64(m.WorkgroupMemory)))
	}
}
