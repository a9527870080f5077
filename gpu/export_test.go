package gpu

import "fmt"

// Live describes the native objects of a device that have not been freed.
func (d *Device) Live() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.drv.live()
	return fmt.Sprintf("buffers %d, kernels %d, groups %d, fences %d", l.buffers, l.kernels, l.groups, l.fences)
}

// Submissions is the number of submissions made so far.
func (d *Device) Submissions() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queue.submitted
}
