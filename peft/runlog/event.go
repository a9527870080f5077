package runlog

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// event is TensorBoard's message Event, as far as it is needed here.
// https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
type event struct {
	time    time.Time
	step    int
	version bool // the first event of a file
	restart bool // events of the older files from step on don't count
	scalars []scalar
}

// scalar is a value of a curve.
type scalar struct {
	tag   string
	value float32
}

// Fields of the messages Event, Summary, Summary.Value and SessionLog.
const (
	eventTime, eventStep, eventVersion, eventSummary, eventSession = 1, 2, 3, 5, 7
	summaryValue                                                   = 1
	valueTag, valueSimple                                          = 1, 2
	sessionStatus, statusStart                                     = 1, 1
)

// encode writes the message in protobuf's wire format.
func (e event) encode() []byte {
	m := message(nil).fixed64(eventTime, math.Float64bits(float64(e.time.UnixNano())/1e9))
	if e.step != 0 {
		m = m.varint(eventStep, uint64(e.step))
	}
	if e.version {
		m = m.bytes(eventVersion, []byte("brain.Event:2"))
	}
	if len(e.scalars) > 0 {
		var summary message
		for _, s := range e.scalars {
			summary = summary.bytes(summaryValue, message(nil).bytes(valueTag, []byte(s.tag)).fixed32(valueSimple, math.Float32bits(s.value)))
		}
		m = m.bytes(eventSummary, summary)
	}
	if e.restart {
		m = m.bytes(eventSession, message(nil).varint(sessionStatus, statusStart))
	}
	return m
}

// message is a protobuf message in its wire format: fields of a key, which is the
// field's number and how it is stored, and a value.
// https://protobuf.dev/programming-guides/encoding
type message []byte

// How fields are stored.
const (
	wireVarint, wireFixed64, wireBytes, wireFixed32 = 0, 1, 2, 5
)

func (m message) key(field, wire uint64) message { return binary.AppendUvarint(m, field<<3|wire) }

func (m message) varint(field, x uint64) message {
	return binary.AppendUvarint(m.key(field, wireVarint), x)
}

func (m message) fixed64(field, x uint64) message {
	return binary.LittleEndian.AppendUint64(m.key(field, wireFixed64), x)
}

func (m message) fixed32(field uint64, x uint32) message {
	return binary.LittleEndian.AppendUint32(m.key(field, wireFixed32), x)
}

func (m message) bytes(field uint64, b []byte) message {
	return append(binary.AppendUvarint(m.key(field, wireBytes), uint64(len(b))), b...)
}

// frame puts data into a TFRecord: its length, the length's checksum, the data, the
// data's checksum. https://www.tensorflow.org/tutorials/load_data/tfrecord
func frame(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is CRC-32C, rotated and shifted so that a checksum of data which holds
// checksums is as good as any.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
