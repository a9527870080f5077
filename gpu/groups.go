package gpu

import "encoding/binary"

// maxGroups bounds the cache of bind groups, at some 700 bytes each, for programs
// that use ever new offsets.
const maxGroups = 8192

// groupCache keeps bind groups, so that a dispatch with the same kernel, buffers
// and ranges as one before makes nothing new.
type groupCache struct {
	byKey map[string]*group
	key   []byte       // scratch
	list  []groupEntry // scratch
}

type group struct {
	ref     ref
	buffers []*Buffer
}

// get returns the bind group of a dispatch whose bindings have been checked.
func (c *groupCache) get(drv driver, k *Kernel, bindings []Binding, params ref) (ref, error) {
	c.key = binary.LittleEndian.AppendUint64(c.key[:0], k.id)
	for _, b := range bindings {
		c.key = binary.LittleEndian.AppendUint64(c.key, b.Buffer.id)
		c.key = binary.LittleEndian.AppendUint64(c.key, uint64(b.Offset))
		c.key = binary.LittleEndian.AppendUint64(c.key, uint64(b.length()))
	}
	if g, ok := c.byKey[string(c.key)]; ok {
		return g.ref, nil
	}
	c.list = c.list[:0]
	if k.shape.uniform >= 0 {
		c.list = append(c.list, groupEntry{index: uint32(k.shape.uniform), buffer: params, size: MaxParams})
	}
	for i, b := range bindings {
		c.list = append(c.list, groupEntry{index: k.shape.storage[i].Index, buffer: b.Buffer.ref, offset: b.Offset, size: b.length()})
	}
	r, err := drv.newGroup(k.refs.groupLayout, c.list)
	if err != nil {
		return 0, err
	}
	g, key := &group{ref: r}, string(c.key)
	for _, b := range bindings {
		if b.Buffer.groups == nil {
			b.Buffer.groups = map[string]bool{}
		}
		b.Buffer.groups[key] = true
		g.buffers = append(g.buffers, b.Buffer)
	}
	c.byKey[key] = g
	return r, nil
}

// trim empties the cache when it is full. It must not be called between get and the
// submission of what get returned.
func (c *groupCache) trim(drv driver) {
	if len(c.byKey) > maxGroups-maxDispatches {
		c.drop(drv)
	}
}

// forget releases the groups that hold a buffer.
func (c *groupCache) forget(drv driver, b *Buffer) {
	for key := range b.groups {
		g := c.byKey[key]
		for _, other := range g.buffers {
			if other != b {
				delete(other.groups, key)
			}
		}
		drv.freeGroup(g.ref)
		delete(c.byKey, key)
	}
	b.groups = nil
}

// drop releases all groups.
func (c *groupCache) drop(drv driver) {
	for _, g := range c.byKey {
		for _, b := range g.buffers {
			b.groups = nil
		}
		drv.freeGroup(g.ref)
	}
	clear(c.byKey)
}
