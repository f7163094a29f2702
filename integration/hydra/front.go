package main

import (
	"encoding/json"
	"errors"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
)

// A front holds the port and passes all to Hydra's public API, but for what
// Hydra leaves to its user: the login page, consent, and who may introspect.
type front struct {
	issuer string
	hydra  *hydra
	addr   string
	first  net.Listener // until the first up: the issuer is known before Hydra runs
	srv    *http.Server
	one    sync.Mutex // see alone
}

func newFront(dir string) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	return &front{issuer: "http://" + addr, hydra: newHydra(dir), addr: addr, first: l}, nil
}

// up starts Hydra, and then listens.
func (f *front) up() error {
	if f.srv != nil {
		return errors.New("it is up")
	}
	if err := f.hydra.serve(); err != nil {
		return err
	}
	l := f.first
	f.first = nil
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", f.addr); err != nil {
			f.hydra.kill()
			return err
		}
	}
	f.srv = &http.Server{Handler: f.alone(f.handler())}
	go f.srv.Serve(l)
	return nil
}

// rotate has a new key sign.
func (f *front) rotate() error {
	if f.srv == nil {
		return errors.New("it is down")
	}
	f.one.Lock()
	defer f.one.Unlock()
	return f.hydra.rotate()
}

// down closes every connection and kills Hydra.
func (f *front) down() error {
	if f.srv == nil {
		return errors.New("it is down")
	}
	f.srv.Close()
	f.hydra.kill()
	f.srv = nil
	return nil
}

// alone lets one request at a time through to Hydra. Over SQLite two of them
// lock each other out for five seconds, and then one is answered with a 500.
func (f *front) alone(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.one.Lock()
		defer f.one.Unlock()
		if r.Context().Err() == nil { // else it waited until its server went down
			next.ServeHTTP(w, r)
		}
	})
}

func (f *front) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", proxy(f.hydra.public, ""))
	mux.Handle("POST /oauth2/introspect", proxy(f.hydra.admin, "/admin")) // asks nobody who they are
	mux.HandleFunc("GET /.well-known/openid-configuration", f.metadata)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, `<!doctype html><form method="post" action="`+html.EscapeString(r.URL.String())+
			`"><input type="text" name="user"> <button>Sign in</button></form>`)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		f.accept(w, r, "login", map[string]any{"subject": r.PostFormValue("user")})
	})
	mux.HandleFunc("GET /consent", func(w http.ResponseWriter, r *http.Request) {
		f.accept(w, r, "consent", map[string]any{
			"grant_scope":                 []string{"openid", "offline_access", "api"},
			"grant_access_token_audience": []string{os.Getenv("AUDIENCE")},
		})
	})
	return mux
}

func proxy(to *http.Client, prefix string) http.Handler {
	hydra := &url.URL{Scheme: "http", Host: "hydra", Path: prefix}
	return &httputil.ReverseProxy{Transport: to.Transport, ErrorLog: log.New(os.Stderr, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(hydra)
		r.Out.Host = r.In.Host
	}}
}

// accept accepts a login or a consent request, and sends the browser on.
func (f *front) accept(w http.ResponseWriter, r *http.Request, kind string, with map[string]any) {
	challenge := url.Values{kind + "_challenge": {r.URL.Query().Get(kind + "_challenge")}}
	var next struct {
		To string `json:"redirect_to"`
	}
	if err := f.hydra.call(http.MethodPut, "/admin/oauth2/auth/requests/"+kind+"/accept?"+challenge.Encode(), with, &next); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, next.To, http.StatusSeeOther)
}

// metadata is Hydra's, and the introspection endpoint, which is not public there.
func (f *front) metadata(w http.ResponseWriter, r *http.Request) {
	resp, err := f.hydra.public.Get("http://hydra" + r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	var metadata map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&metadata); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	metadata["introspection_endpoint"] = f.issuer + "/oauth2/introspect"
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(metadata)
}
