package middleware

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/rebearer/rebearer/internal/compact"
	"github.com/rebearer/rebearer/internal/privatekey"
	"github.com/rebearer/rebearer/tokencache"
)

// A sealed cookie holds what would else be in cookies of their own. Its value is
// a head and a piece of the sealed text; other chunks have the same head and the
// next pieces. The head is random, and says how many chunks there are: no chunk
// of another time, or of another session, is taken for one of these, and the seal
// is bound to it.

const (
	maxChunks = 5
	headSize  = 9 // 8 random letters and a digit
)

// chunk is one of a sealed cookie but its first. It may be empty: then it was
// only there.
type chunk struct {
	index int
	value string
}

// chunk returns the index that a name stands for, 0 if for none. The first chunk
// has none.
func (a *Authenticator) chunk(name string) int {
	rest, ok := strings.CutPrefix(name, a.names.session)
	if !ok || !a.Cookies.Sealed || len(rest) != 2 || rest[0] != '-' || rest[1] < '1' || rest[1] >= '0'+maxChunks {
		return 0
	}
	return int(rest[1] - '0')
}

func (a *Authenticator) chunkName(i int) string {
	if i == 0 {
		return a.names.session
	}
	return fmt.Sprint(a.names.session, "-", i)
}

// sealedLines returns what sets the chunks.
func (a *Authenticator) sealedLines(t tokencache.Token) ([]string, error) {
	plain := cookiesOf(t).pack()
	maxAge := a.maxAge(t)
	room := maxLine - headSize - len(a.Cookies.cookie(a.chunkName(1), "x", "/", maxAge).String()) + 1
	size := base64.RawURLEncoding.EncodedLen(len(plain) + overhead)
	n := (size + room - 1) / room
	if n > maxChunks {
		return nil, fmt.Errorf("%w: sealed they have %d bytes", ErrCookieTooLarge, size)
	}
	head := fmt.Sprint(rand.Text()[:headSize-1], n)
	text := base64.RawURLEncoding.EncodeToString(a.ring.seal(plain, head))
	var lines []string
	for i := range n {
		piece := text[:min(room, len(text))]
		text = text[len(piece):]
		lines = append(lines, a.Cookies.cookie(a.chunkName(i), head+piece, "/", maxAge).String())
	}
	return lines, nil
}

// overhead is what sealing adds: a nonce and a tag.
const overhead = 12 + 16

// cookiesOf returns what is kept of a Token where all is in one place.
func cookiesOf(t tokencache.Token) cookies {
	return cookies{t.Access(), t.Refresh(), string(privatekey.Marshal(t.Key()))}
}

func (c cookies) pack() []byte {
	var b compact.Buffer
	b.Text(1, c.access)
	b.Text(2, c.refresh)
	b.Bytes(3, []byte(c.key))
	return b
}

func unpacked(plain []byte) (of cookies, err error) {
	err = compact.Fields(plain, func(n byte, content []byte) (err error) {
		switch n {
		case 1:
			of.access, err = compact.Text(content)
		case 2:
			of.refresh, err = compact.Text(content)
		case 3:
			of.key = string(content)
		}
		return err
	})
	return of, err
}

// unsealed returns what a first chunk and its others hold.
func (a *Authenticator) unsealed(first string, more []chunk) (of cookies, ok bool) {
	if len(first) < headSize {
		return cookies{}, false
	}
	head, text := first[:headSize], first[headSize:]
	n := int(head[headSize-1]) - '0'
	if n < 1 || n > maxChunks {
		return cookies{}, false
	}
	for i := 1; i < n; i++ {
		piece, ok := pieceOf(more, i, head)
		if !ok {
			return cookies{}, false
		}
		text += piece
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return cookies{}, false
	}
	plain, ok := a.ring.open(raw, head)
	if !ok {
		return cookies{}, false
	}
	of, err = unpacked(plain)
	return of, err == nil
}

// pieceOf returns the piece of the chunk with that index and head.
func pieceOf(more []chunk, index int, head string) (piece string, ok bool) {
	for _, c := range more {
		if piece, ok := strings.CutPrefix(c.value, head); ok && c.index == index {
			return piece, true
		}
	}
	return "", false
}
