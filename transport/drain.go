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
// busy says that the request body may still be under way: over HTTP/2 closing the
// answer's waits for that.
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
		drainAny(resp, busy)
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

// drainAny does not wait for the Close of a body that hangs: that of a compressed
// one waits for the Read.
func drainAny(resp *http.Response, busy bool) {
	body := resp.Body
	copied := make(chan io.ReadCloser, 1)
	go func() {
		head, err := io.ReadAll(io.LimitReader(body, maxDrain+1))
		if err != nil || len(head) > maxDrain {
			copied <- readCloser{io.MultiReader(bytes.NewReader(head), body), body}
			return
		}
		if !busy {
			body.Close()
		}
		copied <- io.NopCloser(bytes.NewReader(head))
		if busy {
			body.Close()
		}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case resp.Body = <-copied:
	case <-timer.C:
		go body.Close()
		resp.Body = io.NopCloser(cut{})
	}
}

type readCloser struct {
	io.Reader
	io.Closer
}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
