package authtest

import (
	"cmp"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// UserHeader is where a test says whose call this is. The API counts the calls
// whose access token is of somebody else: see [APICounts].Mixed.
const UserHeader = "X-User"

// MethodHeader is where an echo says what the method was.
const MethodHeader = "X-Method"

// API is a server that demands access tokens of its [AS]. Its methods may be
// called at any time and from any goroutine. It serves
//
//	GET  /users/me          {"user": …}
//	GET  /items/{i}         {"item": …, "user": …}
//	POST /comments          the body, byte for byte, as it comes in; the
//	any  /echo              method and the user in MethodHeader and UserHeader
//	GET  /slow?ms=          {"user": …}, so many milliseconds later
type API struct {
	// URL is the origin, without a slash at its end.
	URL string

	as      *AS
	server  server
	guarded http.Handler

	mu        sync.Mutex
	refusal   Refusal
	intercept Fault
	refused   int // since the last ResetCounts, for Spread
	counts    APICounts
}

// Refusal is how an [API] refuses an access token. The zero value is a 401 that
// comes at once, to those who have none that is good.
type Refusal struct {
	// Always refuses good tokens too.
	Always bool
	// Status is the status. If zero, 401.
	Status int
	// Challenge is the WWW-Authenticate header. If empty,
	// Bearer error="invalid_token".
	Challenge string
	// NoChallenge leaves that header out.
	NoChallenge bool
	// Spread makes refusals come late, though decided at once: the k-th, from
	// 0, waits for k times Spread. If zero, none waits.
	Spread time.Duration
	// ReadBody reads the body of the request before it is refused. If not set,
	// the refusal comes while the client may still be sending.
	ReadBody bool
}

// NewAPI starts an API; the caller closes it. It speaks what the AS speaks.
func (as *AS) NewAPI() *API {
	api := &API{as: as, counts: newAPICounts()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/me", api.serveUser)
	mux.HandleFunc("GET /items/{i}", api.serveItem)
	mux.HandleFunc("POST /comments", api.serveEcho)
	mux.HandleFunc("/echo", api.serveEcho)
	mux.HandleFunc("GET /slow", api.serveSlow)
	api.guarded = api.guard(mux)
	api.server.start(as.config.Wire, http.HandlerFunc(api.serve))
	api.URL = api.server.http.URL
	return api
}

// Close is that of [AS.Close] for this server.
func (api *API) Close() { api.server.close() }

// Transport is that of [AS.Transport] for this server.
func (api *API) Transport() *http.Transport { return api.server.transport() }

// Refuse says how access tokens are refused from now on.
func (api *API) Refuse(how Refusal) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.refusal = how
}

// Intercept puts a [Fault] in front of everything, the check of the token
// included; nil removes it. The body of the request has not been read.
func (api *API) Intercept(f Fault) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.intercept = f
}

func (api *API) serve(w http.ResponseWriter, r *http.Request) {
	fault := api.arrive(r)
	cw := &counted{ResponseWriter: w, api: api, path: r.URL.Path}
	fault.serve(cw, r, api.guarded)
	cw.count(http.StatusOK) // what net/http sends for a handler that wrote nothing
}

// guard lets those through who have a good access token (RFC 6750 section 2.1),
// and puts the subject into the answer.
func (api *API) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, ok := api.authenticate(r)
		api.mu.Lock()
		how := api.refusal
		ok = ok && !how.Always
		late := time.Duration(0)
		if ok {
			api.counts.Subjects[subject]++
		} else {
			late = time.Duration(api.refused) * how.Spread
			api.refused++
		}
		api.mu.Unlock()
		if !ok {
			refuse(w, r, how, late)
			return
		}
		w.Header().Set(UserHeader, subject)
		next.ServeHTTP(w, r)
	})
}

// authenticate returns whose access token the request has, and whether it is
// good.
func (api *API) authenticate(r *http.Request) (subject string, ok bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	a, ok := api.as.checkAccess(token)
	if !ok {
		return "", false
	}
	// A dead token of somebody else is as wrong as a good one.
	if user := r.Header.Get(UserHeader); user != "" && user != a.subject {
		api.mu.Lock()
		api.counts.Mixed++
		api.mu.Unlock()
	}
	return a.subject, a.alive
}

func refuse(w http.ResponseWriter, r *http.Request, how Refusal, late time.Duration) {
	early := !how.ReadBody
	if early {
		// Otherwise HTTP/1 reads up to 256 KiB before it answers.
		http.NewResponseController(w).EnableFullDuplex()
	} else {
		io.Copy(io.Discard, r.Body)
	}
	wait(r, late)
	if !how.NoChallenge {
		w.Header().Set("WWW-Authenticate", cmp.Or(how.Challenge, `Bearer error="invalid_token"`))
	}
	status := cmp.Or(how.Status, http.StatusUnauthorized)
	writeJSON(w, status, map[string]any{"message": http.StatusText(status), "statusCode": status})
	if early && r.Header.Get("Expect") == "" {
		// What is left unread here, net/http would read after the handler has
		// returned; in full duplex that panics where the connection is used
		// again ("invalid concurrent Body.Read call").
		http.NewResponseController(w).Flush()
		io.Copy(io.Discard, r.Body)
	}
}

func (api *API) serveUser(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"user": w.Header().Get(UserHeader)})
}

func (api *API) serveItem(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"item": r.PathValue("i"), "user": w.Header().Get(UserHeader)})
}

func (api *API) serveSlow(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	wait(r, time.Duration(ms)*time.Millisecond)
	api.serveUser(w, r)
}

func (api *API) serveEcho(w http.ResponseWriter, r *http.Request) {
	// Otherwise HTTP/1 does not read any further once the answer begins. Where
	// it is not supported, it is not needed.
	http.NewResponseController(w).EnableFullDuplex()
	h := w.Header()
	h.Set(MethodHeader, r.Method)
	h.Set("Content-Type", cmp.Or(r.Header.Get("Content-Type"), "application/octet-stream"))
	if r.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	if _, err := io.Copy(w, r.Body); err != nil {
		panic(http.ErrAbortHandler) // rather than an answer that looks complete
	}
}
