package gpu

import "encoding/binary"

const (
	// maxDispatches bounds the dispatches of one submission.
	maxDispatches = 100
	// stampOffset is where the stamps of reads lie in the buffer of params.
	stampOffset = maxDispatches * MaxParams
)

// params is one uniform buffer with a slot for the parameters of every dispatch of
// a submission. Slots are filled again for each submission: writes take effect
// between submissions, in order, so that one set of them is enough. A slot is as
// long as the alignment that dynamic offsets need.
type params struct {
	ref   ref
	bytes []byte // of the submission that is being made
}

func (p *params) open(drv driver) (err error) {
	p.bytes = make([]byte, 0, stampOffset)
	p.ref, err = drv.newBuffer(stampOffset+stampSize, uniformUse)
	return err
}

func (p *params) close(drv driver) {
	drv.freeBuffer(p.ref)
	p.ref = 0
}

// add puts the parameters of one dispatch into the next slot and returns its
// offset. The rest of the slot is zero.
func (p *params) add(data []byte) uint32 {
	offset := len(p.bytes)
	p.bytes = p.bytes[:offset+MaxParams]
	n := copy(p.bytes[offset:], data)
	clear(p.bytes[offset+n:])
	return uint32(offset)
}

// upload queues the slots that were filled since the last upload.
func (p *params) upload(drv driver) error {
	if len(p.bytes) == 0 {
		return nil
	}
	return drv.write(p.ref, 0, p.bytes)
}

// stamp queues the stamp of a read.
func (p *params) stamp(drv driver, stamp uint32) error {
	return drv.write(p.ref, stampOffset, binary.LittleEndian.AppendUint32(nil, stamp))
}
