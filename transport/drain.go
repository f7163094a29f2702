package transport

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

const (
	// maxDrain is how much of a 401's body is read to save its connection.
	maxDrain = 64 << 10
	// maxShort is what one of known length may have to be read without a
	// goroutine of its own.
	maxShort = 4 << 10
)

// drain reads and closes the body of an answer to req, and leaves a copy in its
// place: the refresh, or the second attempt, may need its connection. One that is
// too long is left as it was, since its connection is lost anyway. One that does
// not end is given up after a second.
//
// busy says that the request body may still be under way. Then closing the
// answer's may wait for that, and so may its end.
func drain(req *http.Request, resp *http.Response, busy bool) {
	n := resp.ContentLength
	switch {
	case resp.Body == http.NoBody:
	case req.Method == http.MethodHead: // the length is that of another body
		resp.Body.Close()
		resp.Body = http.NoBody
	case 0 < n && n <= maxShort && !resp.Uncompressed && !busy:
		drainShort(resp, make([]byte, n))
	default:
		ready := drainBehind(resp)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-ready:
		case <-timer.C:
			resp.Body.Close()
			resp.Body = io.NopCloser(cut{})
		}
	}
}

// drainShort serves the usual 401, of which there may be thousands at one time. A
// Close ends a Read that hangs.
func drainShort(resp *http.Response, all []byte) {
	body := resp.Body
	timer := time.AfterFunc(patience, func() { body.Close() })
	n, err := io.ReadFull(body, all)
	timer.Stop()
	body.Close()
	var copied io.Reader = bytes.NewReader(all[:n])
	if err != nil {
		copied = io.MultiReader(copied, cut{})
	}
	resp.Body = readCloser{copied, body}
}

// drainBehind does so while others go on, and closes ready when it has.
func drainBehind(resp *http.Response) (ready <-chan struct{}) {
	d := &draining{body: resp.Body, ready: make(chan struct{})}
	resp.Body = d
	go d.begin()
	return d.ready
}

// draining is a body whose beginning is being read. Who reads it waits for that.
type draining struct {
	body   io.ReadCloser
	ready  chan struct{}
	copied io.Reader // once ready
}

func (d *draining) begin() {
	head, err := io.ReadAll(io.LimitReader(d.body, maxDrain+1))
	if d.copied = bytes.NewReader(head); err != nil || len(head) > maxDrain {
		d.copied = io.MultiReader(d.copied, d.body)
		close(d.ready)
		return
	}
	close(d.ready)
	d.body.Close()
}

func (d *draining) Read(p []byte) (int, error) {
	<-d.ready
	return d.copied.Read(p)
}

// Close does not wait for the Close of a body that hangs: that of a compressed
// one waits for the Read.
func (d *draining) Close() error {
	select {
	case <-d.ready:
		return d.body.Close()
	default:
		go d.body.Close()
		return nil
	}
}

type readCloser struct {
	io.Reader
	io.Closer
}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
