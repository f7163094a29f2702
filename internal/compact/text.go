package compact

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Tokens are bytes that somebody wrote as letters: a JWT is three parts in
// base64url with dots between (RFC 7519 section 3), what is opaque is often
// base64url or hexadecimal. They are kept as the bytes they were.
//
// A text is split at its dots. Of each part there is a varint, which holds its
// length in letters and its kind, then its whole groups of letters as bytes, then
// the letters that are left over. A group is four letters of base64url, which are
// three bytes and no other four letters are these; or two hexadecimal digits. So
// any string comes back as it was: whether somebody's last letter has bits that
// say nothing does not matter.

// kind is what all letters of a part are. Each kind is among the next.
type kind byte

const (
	digits  kind = iota // 0-9 a-f
	letters             // A-Z a-z 0-9 - _
	raw
	kinds
)

// size returns how many letters a group has, and how many bytes that is.
func (k kind) size() (group, packed int) {
	switch k {
	case digits:
		return 2, 1
	case letters:
		return 4, 3
	}
	return 1, 1
}

// kindOf has the first kind that each byte can be of.
var kindOf = func() (of [256]kind) {
	for c := range of {
		switch {
		case strings.IndexByte("0123456789abcdef", byte(c)) >= 0:
			of[c] = digits
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
			of[c] = letters
		default:
			of[c] = raw
		}
	}
	return of
}()

// pack appends s to b.
func pack(b []byte, s string) []byte {
	for more := s != ""; more; {
		var part string
		part, s, more = strings.Cut(s, ".")
		k := digits
		for i := range len(part) {
			k = max(k, kindOf[part[i]])
		}
		b = binary.AppendUvarint(b, uint64(len(part))*uint64(kinds)+uint64(k))
		group, packed := k.size()
		groups := len(part) / group
		whole, left := part[:groups*group], part[groups*group:]
		start := len(b)
		b = slices.Grow(b, groups*packed)[:start+groups*packed]
		switch to := b[start:]; k {
		case digits:
			hex.Decode(to, []byte(whole))
		case letters:
			base64.RawURLEncoding.Decode(to, []byte(whole))
		default:
			copy(to, whole)
		}
		b = append(b, left...)
	}
	return b
}

// unpack returns the string that was packed.
func unpack(b []byte) (string, error) {
	size, err := unpacked(b)
	if err != nil {
		return "", err
	}
	var short [1024]byte // most are, and then nothing but the string is allocated
	s := short[:]
	if size > len(s) {
		s = make([]byte, size)
	}
	s = s[:size]
	for to := s; len(b) > 0; {
		var p part
		p, b, _ = next(b)
		switch p.kind {
		case digits:
			hex.Encode(to, p.groups)
		case letters:
			base64.RawURLEncoding.Encode(to, p.groups)
		default:
			copy(to, p.groups)
		}
		copy(to[p.letters-len(p.left):], p.left)
		if to = to[p.letters:]; len(b) > 0 {
			to[0], to = '.', to[1:]
		}
	}
	return string(s), nil
}

// unpacked returns how long the string is. It is less than twice as long as b, so
// that who reads little allocates little.
func unpacked(b []byte) (size int, err error) {
	for len(b) > 0 {
		var p part
		if p, b, err = next(b); err != nil {
			return 0, err
		}
		if size += p.letters; len(b) > 0 {
			size++ // the dot
		}
	}
	return size, nil
}

// part is what stands between two dots.
type part struct {
	kind         kind
	letters      int
	groups, left []byte
}

// next reads the first part of b.
func next(b []byte) (p part, rest []byte, err error) {
	head, n := binary.Uvarint(b)
	if n <= 0 || head/uint64(kinds) > 2*uint64(len(b)) { // which no kind makes of it
		return part{}, nil, ErrInvalid
	}
	b = b[n:]
	p.kind, p.letters = kind(head%uint64(kinds)), int(head/uint64(kinds))
	group, packed := p.kind.size()
	groups, left := p.letters/group*packed, p.letters%group
	if groups+left > len(b) {
		return part{}, nil, ErrInvalid
	}
	p.groups, p.left = b[:groups], b[groups:groups+left]
	return p, b[groups+left:], nil
}
