// Package replay keeps a request body while it is sent, so that it can be sent
// once more.
package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// Body is the body of a first attempt. What is read of it is kept, up to a
// limit. When the attempt is over, either Again gives a body that begins anew,
// or Release lets go of it.
//
// An attempt that is answered early, such as one with Expect: 100-continue,
// closes its body half read or not read at all. Close therefore leaves the
// source open until it is known whether the rest is still wanted.
type Body struct {
	src   io.ReadCloser
	limit int64

	mu      sync.Mutex
	kept    []byte
	lost    bool          // more than the limit was read, or the source failed
	eof     bool          // the source has ended
	reading bool          // a Read of the source is under way
	closed  bool          // the attempt will not read on
	free    bool          // nobody will ask for the body again: Close closes the source
	settled chan struct{} // closed when the attempt has come to rest, or was lost
	once    sync.Once
	err     error // of closing the source
}

// Keep returns a Body that keeps up to limit bytes of src.
func Keep(src io.ReadCloser, limit int64) *Body {
	return &Body{src: src, limit: limit, settled: make(chan struct{})}
}

var errClosed = errors.New("rebearer: read of a closed request body")

func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, errClosed
	}
	b.reading = true
	b.mu.Unlock()

	n, err := b.src.Read(p) // may block; no lock is held

	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	b.eof = b.eof || err == io.EOF
	switch {
	case b.lost || b.free:
	case int64(len(b.kept)+n) > b.limit, err != nil && err != io.EOF:
		b.kept, b.lost = nil, true
	default:
		b.kept = append(b.kept, p[:n]...)
	}
	if b.closed || b.lost {
		b.settle()
	}
	return n, err
}

// Close ends the attempt's use of the body.
func (b *Body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed: // again: by now the source may be the second attempt's
	case b.free || b.lost:
		// Nobody wants the rest, and a Read that hangs in the source must end.
		b.closed = true
		b.closeSource()
	default:
		b.closed = true
		if !b.reading {
			b.settle()
		}
	}
	return b.err
}

// settle says that nothing is left to be waited for.
func (b *Body) settle() {
	select {
	case <-b.settled:
	default:
		close(b.settled)
	}
}

// closeSource closes the source. Where a Read of it hangs, its Close may wait for
// that, as it does of a request that a server has received: then nobody waits for
// the Close.
func (b *Body) closeSource() {
	b.once.Do(func() {
		if b.reading {
			go b.src.Close()
			return
		}
		b.err = b.src.Close()
	})
}

// Lost reports whether the body cannot be sent again, since more was read than
// is kept, or the source failed.
func (b *Body) Lost() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// Release says that the body will not be asked for again. The source is closed
// now if the attempt has closed the body, else as soon as it does.
func (b *Body) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free, b.kept = true, nil
	if b.closed {
		b.closeSource()
	}
}

// Discard closes the source at once.
func (b *Body) Discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free, b.closed, b.kept = true, true, nil
	b.closeSource()
}

// Again returns the body from its beginning: what was kept, and then what was
// never read. The first attempt may still be reading; if it has not closed the
// body when the patience is over or ctx ends, or if the body is lost, there is
// none, and the source is closed.
func (b *Body) Again(ctx context.Context, patience time.Duration) (io.ReadCloser, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-b.settled:
	case <-timer.C:
	case <-ctx.Done():
	}
	b.mu.Lock()
	if b.lost || b.reading || !b.closed {
		b.mu.Unlock()
		b.Discard()
		return nil, false
	}
	b.free = true
	var whole io.Reader = bytes.NewReader(b.kept)
	if !b.eof {
		whole = io.MultiReader(whole, b.src)
	}
	b.mu.Unlock()
	return &again{whole, b}, true
}

// again is the body of the second attempt.
type again struct {
	io.Reader
	body *Body
}

func (a *again) Close() error {
	a.body.mu.Lock()
	defer a.body.mu.Unlock()
	a.body.closeSource()
	return a.body.err
}
