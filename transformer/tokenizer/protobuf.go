package tokenizer

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Wire types of protocol buffers (protobuf.dev/programming-guides/encoding).
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// protoField is one field of a message. Varints and fixed values are in num,
// strings and messages in data.
type protoField struct {
	number uint64
	wire   uint64
	num    uint64
	data   []byte
}

func (f protoField) float() float32 { return math.Float32frombits(uint32(f.num)) }

// expect checks the wire type of a known field.
func (f protoField) expect(wire uint64) error {
	if f.wire != wire {
		return fmt.Errorf("%w: protobuf field %d has wire type %d, want %d", ErrFormat, f.number, f.wire, wire)
	}
	return nil
}

// protoFields calls visit for every field of a message, in order.
func protoFields(data []byte, visit func(protoField) error) error {
	for len(data) > 0 {
		f, n, err := readField(data)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func readField(data []byte) (f protoField, n int, err error) {
	key, n := binary.Uvarint(data)
	if n <= 0 || key>>3 == 0 {
		return f, 0, fmt.Errorf("%w: bad protobuf field key", ErrFormat)
	}
	f.number, f.wire = key>>3, key&7
	rest := data[n:]
	size := 0
	switch f.wire {
	case wireVarint:
		f.num, size = binary.Uvarint(rest)
	case wire32:
		if len(rest) >= 4 {
			f.num, size = uint64(binary.LittleEndian.Uint32(rest)), 4
		}
	case wire64:
		if len(rest) >= 8 {
			f.num, size = binary.LittleEndian.Uint64(rest), 8
		}
	case wireBytes:
		length, head := binary.Uvarint(rest)
		if head > 0 && length <= uint64(len(rest)-head) {
			size = head + int(length)
			f.data = rest[head:size]
		}
	}
	if size <= 0 {
		return f, 0, fmt.Errorf("%w: protobuf field %d is cut off or of unknown wire type %d", ErrFormat, f.number, f.wire)
	}
	return f, n + size, nil
}
