package tokencache

import (
	"maps"
	"math"
	"slices"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// What is sealed is a message of internal/compact. Base64 in JSON would be a third
// longer, and a Store is full of these. A number that was given up is not used
// again. Who adds a field must be content that older replicas pass over it; if
// not, it takes a new format.

// length is how long the written payload is most often at most.
func (p *payload) length() int {
	n := 160
	if t := p.Token; t != nil {
		n += len(t.Access) + len(t.Refresh)
	}
	return n
}

func (p *payload) write(b *compact.Buffer) {
	if p.Token != nil {
		b.Message(1, func() { p.Token.write(b) })
	}
	if p.Failure != nil {
		b.Message(2, func() { p.Failure.write(b) })
	}
	writeAll(b, 3, p.Refused, func(f *failure) { f.write(b) })
	if p.Unanswered {
		b.Int(4, 1)
	}
	b.Int(5, int64(p.Tries))
	b.Int(6, p.Timeout)
	b.Text(7, p.Prev)
	b.Texts(8, p.Before)
}

func (p *payload) read(plain []byte) error {
	return compact.Fields(plain, func(n byte, content []byte) (err error) {
		switch n {
		case 1:
			p.Token, err = readToken(content)
		case 2:
			p.Failure, err = readFailure(content)
		case 3:
			p.Refused, err = readAll(content, readFailure)
		case 4:
			p.Unanswered = true
		case 5:
			p.Tries, err = readInt(content)
		case 6:
			p.Timeout, err = compact.Int(content)
		case 7:
			p.Prev, err = compact.Text(content)
		case 8:
			p.Before, err = compact.Texts(content)
		}
		return err
	})
}

func (f *failure) write(b *compact.Buffer) {
	b.Text(1, string(f.Reason))
	b.Int(2, int64(f.Status))
	b.Text(3, f.Code)
	b.Text(4, f.Resource)
	b.Int(5, f.Since)
	b.Int(6, f.For)
}

func readFailure(message []byte) (*failure, error) {
	f := new(failure)
	err := compact.Fields(message, func(n byte, content []byte) (err error) {
		switch n {
		case 1:
			var why string
			why, err = compact.Text(content)
			f.Reason = reason.Reason(why)
		case 2:
			f.Status, err = readInt(content)
		case 3:
			f.Code, err = compact.Text(content)
		case 4:
			f.Resource, err = compact.Text(content)
		case 5:
			f.Since, err = compact.Int(content)
		case 6:
			f.For, err = compact.Int(content)
		}
		return err
	})
	if !f.Reason.Known() {
		f.Reason = reason.Unrecognised // a newer version may know more of them
	}
	f.Code = errorCode(f.Code)
	return f, err
}

func (s *sealedToken) write(b *compact.Buffer) {
	b.Text(1, s.Access)
	b.Text(2, s.Refresh)
	if s.Type != s.usualType() {
		b.Text(3, s.Type)
	}
	b.Text(4, s.Subject)
	b.Int(5, s.Issued)
	b.Int(6, s.Expiry)
	b.Int(7, s.RefreshExpiry)
	b.Bytes(8, s.Key)
	writeAll(b, 9, s.Others, func(o *sealedToken) { o.write(b) })
}

// usualType is the type that is not written.
func (s *sealedToken) usualType() string {
	if len(s.Key) > 0 {
		return "DPoP"
	}
	return "Bearer"
}

func readToken(message []byte) (*sealedToken, error) {
	s := new(sealedToken)
	err := compact.Fields(message, func(n byte, content []byte) (err error) {
		if n == 9 {
			s.Others, err = readAll(content, readOther)
			return err
		}
		return s.read(n, content)
	})
	return s.typed(), err
}

// readOther reads a token among the others. It has none of its own, so that
// nothing nests as deep as a hostile writer likes.
func readOther(message []byte) (*sealedToken, error) {
	s := new(sealedToken)
	err := compact.Fields(message, s.read)
	return s.typed(), err
}

func (s *sealedToken) read(n byte, content []byte) (err error) {
	switch n {
	case 1:
		s.Access, err = compact.Text(content)
	case 2:
		s.Refresh, err = compact.Text(content)
	case 3:
		s.Type, err = compact.Text(content)
	case 4:
		s.Subject, err = compact.Text(content)
	case 5:
		s.Issued, err = compact.Int(content)
	case 6:
		s.Expiry, err = compact.Int(content)
	case 7:
		s.RefreshExpiry, err = compact.Int(content)
	case 8:
		s.Key = content
	}
	return err
}

func (s *sealedToken) typed() *sealedToken {
	if s.Type == "" {
		s.Type = s.usualType()
	}
	return s
}

// readInt reads a small number.
func readInt(content []byte) (int, error) {
	v, err := compact.Int(content)
	return int(min(max(v, 0), math.MaxInt32)), err
}

// writeAll writes what belongs to resources.
func writeAll[V any](b *compact.Buffer, n byte, all map[string]V, write func(V)) {
	if len(all) == 0 {
		return
	}
	b.Message(n, func() {
		for _, resource := range slices.Sorted(maps.Keys(all)) {
			b.Pair(resource, func() { write(all[resource]) })
		}
	})
}

func readAll[V any](content []byte, read func([]byte) (V, error)) (map[string]V, error) {
	all := map[string]V{}
	err := compact.Pairs(content, func(resource string, message []byte) (err error) {
		all[resource], err = read(message)
		return err
	})
	return all, err
}
