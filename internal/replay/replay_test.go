package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/internal/replay"
)

const patience = time.Second

// source is a body that counts how often it is closed.
type source struct {
	io.Reader
	closed atomic.Int32
	onRead func()
}

func (s *source) Read(p []byte) (int, error) {
	if s.onRead != nil {
		s.onRead()
	}
	return s.Reader.Read(p)
}

func (s *source) Close() error {
	s.closed.Add(1)
	if c, ok := s.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func newSource(text string) *source { return &source{Reader: strings.NewReader(text)} }

func (s *source) wantClosed(t *testing.T, times int32) {
	t.Helper()
	if n := s.closed.Load(); n != times {
		t.Errorf("the source was closed %d times, want %d", n, times)
	}
}

// read reads n bytes as a first attempt would.
func read(t *testing.T, b io.Reader, n int) {
	t.Helper()
	if _, err := io.ReadFull(b, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

func again(t *testing.T, b *replay.Body) io.ReadCloser {
	t.Helper()
	body, ok := b.Again(t.Context(), patience)
	if !ok {
		t.Fatal("there is no second body")
	}
	return body
}

func wantNone(t *testing.T, b *replay.Body) {
	t.Helper()
	if body, ok := b.Again(t.Context(), patience); ok || body != nil {
		t.Error("there is a second body")
	}
}

func wantAll(t *testing.T, body io.Reader, want string) {
	t.Helper()
	if got, err := io.ReadAll(body); err != nil || string(got) != want {
		t.Errorf("the second body is %d bytes, %v, want the %d of the first", len(got), err, len(want))
	}
}

// B39
func TestTheSecondBodyIsTheFirstByteForByte(t *testing.T) {
	for _, size := range []int{0, 1, 100, 64<<10 - 1, 64 << 10} {
		text := strings.Repeat("abcdefg", size)[:size]
		for name, first := range map[string]func(*testing.T, *replay.Body){
			"all of it was read":     func(t *testing.T, b *replay.Body) { wantAll(t, b, text) },
			"a part of it was read":  func(t *testing.T, b *replay.Body) { read(t, b, size/2) },
			"nothing of it was read": func(*testing.T, *replay.Body) {},
			"it came in single bytes with the end in the last one": func(t *testing.T, b *replay.Body) {
				wantAll(t, iotest.OneByteReader(b), text)
			},
		} {
			t.Run(fmt.Sprint(size, " bytes and ", name), func(t *testing.T) {
				src := &source{Reader: iotest.DataErrReader(strings.NewReader(text))}
				b := replay.Keep(src, 64<<10)
				first(t, b)
				b.Close()
				src.wantClosed(t, 0)
				body := again(t, b)
				wantAll(t, body, text)
				body.Close()
				src.wantClosed(t, 1)
			})
		}
	}
}

// B40, T-J2
func TestABodyPastTheLimitIsNotKept(t *testing.T) {
	src := newSource("12345")
	b := replay.Keep(src, 4)
	read(t, b, 4)
	if b.Lost() {
		t.Error("4 bytes of 4 are too many")
	}
	read(t, b, 1)
	if !b.Lost() {
		t.Error("5 bytes of 4 are kept")
	}
	b.Close()
	src.wantClosed(t, 1)
	wantNone(t, b)
}

// B41
func TestWithALimitOfZeroAnUnreadBodyIsStillSent(t *testing.T) {
	b := replay.Keep(newSource("12345"), 0)
	b.Close()
	wantAll(t, again(t, b), "12345")
}

// T-J3: net/http closes the body of an attempt that fails as often as it likes.
func TestALateSecondCloseOfTheFirstAttemptTakesNothingFromTheSecond(t *testing.T) {
	pr, pw := io.Pipe()
	src := &source{Reader: pr}
	b := replay.Keep(src, 100)
	go func() { pw.Write([]byte("be")); pw.Write([]byte("gun")); pw.Close() }()
	read(t, b, 2)
	b.Close()
	body := again(t, b)
	b.Close()
	src.wantClosed(t, 0)
	wantAll(t, body, "begun")
	body.Close()
	b.Close()
	src.wantClosed(t, 1)
}

// B39: what was read while the attempt was closed is part of the body.
func TestAReadUnderWayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource("whole")
		src.onRead = func() { time.Sleep(patience / 2) }
		b := replay.Keep(src, 100)
		go b.Read(make([]byte, 3))
		synctest.Wait()
		b.Close()
		body := again(t, b)
		if n, err := b.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("the first attempt reads on: %d bytes, %v", n, err)
		}
		wantAll(t, body, "whole")
	})
}

func TestNobodyWaitsForABodyThatHangs(t *testing.T) {
	for _, test := range []struct {
		name     string
		whatEnds func(context.CancelFunc)
		after    time.Duration
	}{
		{"longer than the patience", func(context.CancelFunc) {}, patience},
		{"longer than the request lives", func(cancel context.CancelFunc) { time.AfterFunc(patience/10, cancel) }, patience / 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				pr, _ := io.Pipe()
				src := &source{Reader: pr}
				b := replay.Keep(src, 100)
				var readers sync.WaitGroup
				readers.Go(func() { b.Read(make([]byte, 1)) })
				synctest.Wait()
				b.Close()
				test.whatEnds(cancel)
				began := time.Now()
				if _, ok := b.Again(ctx, patience); ok {
					t.Error("there is a second body")
				}
				if waited := time.Since(began); waited != test.after {
					t.Errorf("waited for %v, want %v", waited, test.after)
				}
				readers.Wait() // the Read has ended with its source
				src.wantClosed(t, 1)
			})
		})
	}
}

// An attempt that was answered early goes on to read until it is noticed.
func TestNobodyWaitsForABodyThatIsLostAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := replay.Keep(newSource("12345"), 4)
		go func() {
			time.Sleep(time.Millisecond)
			io.ReadAll(b)
			time.Sleep(time.Hour)
			b.Close()
		}()
		began := time.Now()
		wantNone(t, b)
		if waited := time.Since(began); waited != time.Millisecond {
			t.Errorf("waited for %v", waited)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestASourceThatFailedIsNotSentAgain(t *testing.T) {
	src := &source{Reader: io.MultiReader(strings.NewReader("123"), iotest.ErrReader(errors.New("broken")))}
	b := replay.Keep(src, 100)
	if got, err := io.ReadAll(b); len(got) != 3 || err == nil {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	b.Close()
	wantNone(t, b)
	src.wantClosed(t, 1)
}

// B39: not every source ends twice.
func TestASourceThatHasEndedIsNotReadOn(t *testing.T) {
	src := newSource("123")
	b := replay.Keep(src, 100)
	wantAll(t, b, "123")
	b.Close()
	src.onRead = func() { t.Error("read past its end") }
	wantAll(t, again(t, b), "123")
}

// B7, T-J3
func TestTheSourceIsClosedOnce(t *testing.T) {
	for name, use := range map[string]func(*replay.Body){
		"released and then closed":       func(b *replay.Body) { b.Release(); b.Close() },
		"closed and then released":       func(b *replay.Body) { b.Close(); b.Release() },
		"closed twice and then released": func(b *replay.Body) { b.Close(); b.Close(); b.Release() },
		"released, closed, discarded":    func(b *replay.Body) { b.Release(); b.Close(); b.Discard() },
		"discarded and then closed":      func(b *replay.Body) { b.Discard(); b.Close() },
		"discarded before it is used":    func(b *replay.Body) { b.Discard() },
		"lost, closed and released":      func(b *replay.Body) { io.ReadAll(b); b.Close(); b.Release() },
		"closed, read and closed":        func(b *replay.Body) { b.Close(); b.Read(make([]byte, 1)); b.Release() },
	} {
		t.Run(name, func(t *testing.T) {
			src := newSource("12345")
			use(replay.Keep(src, 2))
			src.wantClosed(t, 1)
		})
	}
}

// What nobody will ask for is not kept: a download may go on for hours.
func TestAReleasedBodyIsReadOn(t *testing.T) {
	b := replay.Keep(newSource("12345"), 2)
	read(t, b, 1)
	b.Release()
	wantAll(t, b, "2345")
	if b.Lost() {
		t.Error("kept after its release")
	}
}

// B39: under -race, at whatever moment the attempt is closed.
func TestAttemptsThatOverlapNeverMixTheirBytes(t *testing.T) {
	const size = 10_000
	text := strings.Repeat("0123456789", size/10)
	for closeAfter := range 60 {
		src := &source{Reader: iotest.HalfReader(strings.NewReader(text))}
		b := replay.Keep(src, size)
		closeNow := make(chan struct{})
		var first sync.WaitGroup
		first.Go(func() {
			p := make([]byte, 300)
			for i := 0; ; i++ {
				if i == closeAfter {
					close(closeNow)
				}
				if _, err := b.Read(p); err != nil {
					break
				}
			}
			b.Close()
		})
		first.Go(func() { <-closeNow; b.Close() })
		<-closeNow
		body := again(t, b)
		var second bytes.Buffer
		if _, err := io.Copy(&second, body); err != nil || second.String() != text {
			t.Fatalf("closed after %d reads: %d bytes, %v", closeAfter, second.Len(), err)
		}
		body.Close()
		first.Wait()
		src.wantClosed(t, 1)
	}
}
