package transport

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"time"
)

// NewRequest makes what [http.NewRequestWithContext] makes, for a [Transport]: a
// request without a body comes with the room for the copy of it that is signed.
// Making and sending one takes no more allocations than a request takes that is
// not signed, if its Header stays empty and Base is an *http.Transport whose Proxy
// is nil or [http.ProxyFromEnvironment]. All copies with one token then share a
// header, which no RoundTripper may change, not even one that was registered with
// [http.Transport.RegisterProtocol].
//
// The context of the request is derived from ctx, and leads to the copy and its
// token for as long as it is kept; so does a pointer to the URL.
func NewRequest(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	if ctx == nil || body != nil || !usual(method) {
		return http.NewRequestWithContext(ctx, method, url, body)
	}
	t := new(twin)
	if !split(url, &t.url) {
		return http.NewRequestWithContext(ctx, method, url, nil)
	}
	if p, ok := ctx.(pairing); ok { // of a request that this one follows: they must not add up
		ctx = (*p.at).ctx
	}
	t.self, t.ctx = t, ctx
	req := http.Request{
		Method: method, URL: &t.url, Host: t.url.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return req.WithContext(pairing{&t.self}), nil
}

// twin is room for the copy of a request that is signed first.
type twin struct {
	self   *twin
	ctx    context.Context // the caller's
	taken  atomic.Bool
	signed http.Request
	url    url.URL
}

// pairing is the context of a request with a twin. That is where the twin is
// found again: an http.Client with a Timeout sends a copy of the request. It leads
// there by two pointers, since fmt may follow one of them, and the copy holds the
// token.
type pairing struct{ at **twin }

type twinKey struct{}

func (p pairing) Deadline() (time.Time, bool) { return (*p.at).ctx.Deadline() }
func (p pairing) Done() <-chan struct{}       { return (*p.at).ctx.Done() }
func (p pairing) Err() error                  { return (*p.at).ctx.Err() }

// Value implements context.Context.
func (p pairing) Value(key any) any {
	if key == (twinKey{}) {
		return p
	}
	return (*p.at).ctx.Value(key)
}

// AfterFunc is for contexts that are derived from this one: without it, each of
// them would take a goroutine if the caller's is of a type of its own.
func (p pairing) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc((*p.at).ctx, f) }

// String is what a context that is derived from this one begins with.
func (p pairing) String() string { return "transport.NewRequest(…)" }

// twinOf returns a shallow copy of the request, and whether it is in the room of
// its twin. That is used once, even if the request's context is that of others,
// too: a Base may not be through with a copy when the answer is there. It takes
// no body, which would be kept with the context.
func twinOf(req *http.Request) (signed *http.Request, ours bool) {
	if p, ok := req.Context().Value(twinKey{}).(pairing); ok && req.Body == nil {
		if t := *p.at; t.taken.CompareAndSwap(false, true) {
			t.signed = *req
			return &t.signed, true
		}
	}
	return req.WithContext(req.Context()), false
}

// shares reports whether base is known not to change a request, or its header,
// and to show it to nobody who may: the function that picks a proxy sees it.
func shares(base http.RoundTripper) bool {
	t, ok := base.(*http.Transport)
	return ok && (t.Proxy == nil || reflect.ValueOf(t.Proxy).Pointer() == proxyFromEnvironment)
}

var proxyFromEnvironment = reflect.ValueOf(http.ProxyFromEnvironment).Pointer()

// usual reports whether a method need not be checked.
func usual(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

// split takes a URL apart as url.Parse does, where that is but a matter of looking
// for slashes and the question mark.
func split(raw string, u *url.URL) bool {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return false
	}
	rest, query, asked := strings.Cut(rest, "?")
	slash := strings.IndexByte(rest, '/')
	if slash < 1 || asked && query == "" {
		return false
	}
	host, path := rest[:slash], rest[slash:]
	name, port, hasPort := strings.Cut(host, ":")
	if name == "" || !only(name, inName) || hasPort && (port == "" || !only(port, inPort)) || !only(path, inPath) || !only(query, inQuery) {
		return false
	}
	u.Scheme, u.Host, u.Path, u.RawQuery = scheme, host, path, query
	return true
}

// What a byte can be part of without having to be looked at more closely.
const (
	inPort = 1 << iota
	inName
	inPath
	inQuery
)

var parts = func() (table [256]uint8) {
	for c := range table {
		switch c := byte(c); {
		case '0' <= c && c <= '9':
			table[c] = inPort | inName | inPath | inQuery
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '.':
			table[c] = inName | inPath | inQuery
		case c == '/', c == '_', c == '~':
			table[c] = inPath | inQuery
		case '!' <= c && c <= '~' && c != '#':
			table[c] = inQuery
		}
	}
	return table
}()

func only(s string, part uint8) bool {
	for i := range len(s) {
		if parts[s[i]]&part == 0 {
			return false
		}
	}
	return true
}
