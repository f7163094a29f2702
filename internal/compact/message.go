// Package compact writes messages in few bytes, and reads them with suspicion.
//
// A message is a row of fields. A field is its number (a byte from 1 to 255), the
// length of its content (a varint) and the content: a text (see text.go), bytes,
// an integer, a message, or a list. What it is follows from the number. Zeros are
// not written, and numbers ascend, so that none occurs twice.
//
// Numbers that a reader does not know are passed over: during a deploy, who
// writes may be newer than who reads. What must not be passed over is not a new
// field but a new format.
package compact

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ErrInvalid is returned for all that a [Buffer] does not write.
var ErrInvalid = errors.New("compact: not a message")

// Buffer is a message that is being written. Fields are added in the order of
// their numbers.
type Buffer []byte

// Message adds a field with the content that f writes, even if that is nothing.
func (b *Buffer) Message(n byte, f func()) {
	*b = append(*b, n)
	b.item(f)
}

// Text adds a field, unless s is empty.
func (b *Buffer) Text(n byte, s string) {
	if s != "" {
		b.Message(n, func() { *b = pack(*b, s) })
	}
}

// Bytes adds a field, unless v is empty.
func (b *Buffer) Bytes(n byte, v []byte) {
	if len(v) > 0 {
		b.Message(n, func() { *b = append(*b, v...) })
	}
}

// Int adds a field, unless v is zero.
func (b *Buffer) Int(n byte, v int64) {
	if v != 0 {
		b.Message(n, func() { *b = binary.AppendVarint(*b, v) })
	}
}

// Texts adds a field, unless the list is empty.
func (b *Buffer) Texts(n byte, list []string) {
	if len(list) == 0 {
		return
	}
	b.Message(n, func() {
		for _, s := range list {
			b.item(func() { *b = pack(*b, s) })
		}
	})
}

// Pair adds a key and the message that f writes to a list of such. Keys ascend.
func (b *Buffer) Pair(key string, f func()) {
	b.item(func() { *b = pack(*b, key) })
	b.item(f)
}

// item puts what f writes behind its length.
func (b *Buffer) item(f func()) {
	start := len(*b)
	f()
	var size [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(size[:], uint64(len(*b)-start))
	*b = slices.Insert(*b, start, size[:n]...)
}

// Fields calls f for each field of a message.
func Fields(message []byte, f func(n byte, content []byte) error) error {
	for last := byte(0); len(message) > 0; {
		n := message[0]
		content, rest, err := cut(message[1:])
		if err != nil || n <= last {
			return ErrInvalid
		}
		if err := f(n, content); err != nil {
			return err
		}
		last, message = n, rest
	}
	return nil
}

// Text reads the content of a field that [Buffer.Text] wrote.
func Text(content []byte) (string, error) { return unpack(content) }

// Int reads the content of a field that [Buffer.Int] wrote.
func Int(content []byte) (int64, error) {
	v, n := binary.Varint(content)
	if n <= 0 || n != len(content) {
		return 0, ErrInvalid
	}
	return v, nil
}

// Texts reads the content of a field that [Buffer.Texts] wrote.
func Texts(content []byte) (list []string, err error) {
	for len(content) > 0 {
		var item []byte
		if item, content, err = cut(content); err != nil {
			return nil, err
		}
		s, err := unpack(item)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// Pairs calls f for each pair of a list that [Buffer.Pair] wrote.
func Pairs(content []byte, f func(key string, message []byte) error) error {
	last, first := "", true
	for len(content) > 0 {
		name, rest, err := cut(content)
		if err != nil {
			return err
		}
		message, rest, err := cut(rest)
		if err != nil {
			return err
		}
		key, err := unpack(name)
		if err != nil || !first && key <= last {
			return ErrInvalid
		}
		if err := f(key, message); err != nil {
			return err
		}
		last, first, content = key, false, rest
	}
	return nil
}

// cut takes from b what stands behind its length.
func cut(b []byte) (content, rest []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, ErrInvalid
	}
	b = b[n:]
	return b[:size], b[size:], nil
}
