package gpu

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Adapters lists the GPUs of the machine, the best first. The order is the same
// in every call as long as the machine is. The error is ErrUnavailable if there are
// none.
func Adapters(ctx context.Context) ([]AdapterInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := findAdapters()
	if err != nil {
		return nil, err
	}
	defer found.release()
	infos := found.infos()
	list := make([]AdapterInfo, len(infos))
	for i, at := range ranked(infos) {
		list[i] = infos[at]
	}
	return list, nil
}

// ranked returns the indices of adapters, the best first.
func ranked(infos []AdapterInfo) []int {
	worth := []AdapterType{DiscreteGPU, IntegratedGPU, UnknownGPU, SoftwareGPU}
	order := make([]int, len(infos))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(slices.Index(worth, infos[a].Type), slices.Index(worth, infos[b].Type))
	})
	return order
}

// choose returns the index in infos of the adapter that Config.Adapter means.
func choose(infos []AdapterInfo, want string) (int, error) {
	order := ranked(infos)
	if n, err := strconv.Atoi(want); err == nil && n >= 0 && n < len(order) {
		return order[n], nil
	}
	var names []string
	for _, i := range order {
		if strings.Contains(strings.ToLower(infos[i].Name), strings.ToLower(want)) {
			return i, nil
		}
		names = append(names, infos[i].Name)
	}
	return 0, fmt.Errorf("%w: no adapter %q; the %d adapters, counted from 0, are %q", ErrUnavailable, want, len(names), names)
}

// lowered returns the adapter's limits with those of want in their place.
func lowered(have Limits, want *Limits) (Limits, error) {
	// WebGPU counts workgroups in 16 bits whatever the driver says.
	have.WorkgroupsPerDim = min(have.WorkgroupsPerDim, 65535)
	if want == nil {
		return have, nil
	}
	var wrong []string
	lower := func(name string, h *int64, w int64) {
		switch {
		case w < 0 || w > *h:
			wrong = append(wrong, fmt.Sprintf("%s %d, the adapter has %d", name, w, *h))
		case w > 0:
			*h = w
		}
	}
	lower32 := func(name string, h *uint32, w uint32) {
		wide := int64(*h)
		lower(name, &wide, int64(w))
		*h = uint32(wide)
	}
	lower("BufferSize", &have.BufferSize, want.BufferSize)
	lower("BindingSize", &have.BindingSize, want.BindingSize)
	lower32("StorageBuffers", &have.StorageBuffers, want.StorageBuffers)
	lower32("WorkgroupMemory", &have.WorkgroupMemory, want.WorkgroupMemory)
	lower32("WorkgroupInvocations", &have.WorkgroupInvocations, want.WorkgroupInvocations)
	lower32("WorkgroupSizeX", &have.WorkgroupSizeX, want.WorkgroupSizeX)
	lower32("WorkgroupSizeY", &have.WorkgroupSizeY, want.WorkgroupSizeY)
	lower32("WorkgroupSizeZ", &have.WorkgroupSizeZ, want.WorkgroupSizeZ)
	lower32("WorkgroupsPerDim", &have.WorkgroupsPerDim, want.WorkgroupsPerDim)
	if len(wrong) > 0 {
		return Limits{}, fmt.Errorf("%w: Config.Limits: %s", ErrLimit, strings.Join(wrong, "; "))
	}
	return have, nil
}
