package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/tokencache"
)

// boundary makes the right answer of a handler's error. What is not about
// tokens but an answer of the API that was not to be expected is a bad gateway.
func (b *replica) boundary(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return b.auth.Boundary(func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		var status *client.StatusError
		if errors.As(err, &status) && !aboutTokens(err) {
			b.log.WarnContext(r.Context(), "the API failed", "err", err)
			http.Error(w, fmt.Sprintf("the API answered with %d", status.Status), http.StatusBadGateway)
			return nil
		}
		return err
	})
}

// aboutTokens reports whether the Authenticator knows what to do with the error.
func aboutTokens(err error) bool {
	var e *tokencache.Error
	return errors.Is(err, tokencache.ErrUnauthorized) || errors.Is(err, tokencache.ErrLoginRequired) || errors.As(err, &e)
}

// user asks the API who is signed in.
func (b *replica) user(ctx context.Context) (string, error) {
	var me struct{ User string }
	_, err := b.api.R(ctx).SetResult(&me).Get("/users/me")
	return me.User, err
}

func (b *replica) servePage(w http.ResponseWriter, r *http.Request) error {
	user, err := b.user(r.Context())
	if err != nil {
		return err
	}
	v := b.view(user)
	v.Entries, _ = b.timeline.since(0) // for who has no JavaScript
	v.Start = beginning{b.timeline.state(), v.Entries}
	return render(w, http.StatusOK, "page", v)
}

// serveTab is a page that takes three calls.
func (b *replica) serveTab(w http.ResponseWriter, r *http.Request) error {
	var errs [2]error
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = b.api.R(r.Context()).Get("/items/" + strconv.Itoa(i)) })
	}
	user, err := b.user(r.Context())
	all.Wait()
	if err = errors.Join(err, errs[0], errs[1]); err != nil {
		return err
	}
	return render(w, http.StatusOK, "tab", b.view(user))
}

// serveBoundary is not inside of the Authenticator's Handler: nothing is
// renewed on the server, and the API's 401 comes back as an error.
func (b *replica) serveBoundary(w http.ResponseWriter, r *http.Request) error {
	user, err := b.user(r.Context())
	if err != nil {
		return err
	}
	return render(w, http.StatusOK, "boundary", b.view(user))
}

const maxFanout = 1000

// serveFanout makes n calls at the same time.
func (b *replica) serveFanout(w http.ResponseWriter, r *http.Request) error {
	n := 10
	if v := r.FormValue("n"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 1 {
			http.Error(w, "n must be a number from 1 on; more than 1000 is 1000", http.StatusBadRequest)
			return nil
		}
	}
	errs := make([]error, min(n, maxFanout))
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = b.api.R(r.Context()).Get("/items/" + strconv.Itoa(i)) })
	}
	all.Wait()
	failed := 0
	var session error // what is to be said of the session; its end before all else
	for _, err := range errs {
		if err != nil {
			failed++
		}
		if aboutTokens(err) && (session == nil || errors.Is(err, tokencache.ErrLoginRequired)) {
			session = err
		}
	}
	if session != nil {
		return session
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if failed > 0 {
		w.WriteHeader(http.StatusBadGateway)
	}
	return json.NewEncoder(w).Encode(struct {
		OK     int `json:"ok"`
		Failed int `json:"failed"`
	}{len(errs) - failed, failed})
}

const maxDelay = time.Minute

// serveStream calls the API when the header of its own answer is long gone.
func (b *replica) serveStream(w http.ResponseWriter, r *http.Request) error {
	delay := time.Second
	if v := r.FormValue("delay"); v != "" {
		var err error
		if delay, err = time.ParseDuration(v); err != nil || delay < 0 || delay > maxDelay {
			http.Error(w, "delay must be a duration such as 500ms, of a minute at the most", http.StatusBadRequest)
			return nil
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, "begin")
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil // nobody reads on
	}
	user, err := b.user(r.Context())
	if err != nil {
		b.log.WarnContext(r.Context(), "a stream failed", "err", err)
		fmt.Fprintln(w, "failed:", why(err))
		return nil
	}
	fmt.Fprintf(w, "%s\nend\n", user)
	return nil
}

// why is for the eyes of users: the reason alone, from a closed set.
func why(err error) string {
	var e *tokencache.Error
	var status *client.StatusError
	switch {
	case errors.As(err, &e):
		return string(e.Reason)
	case errors.Is(err, tokencache.ErrUnauthorized):
		return "unauthorized"
	case errors.As(err, &status):
		return "the API answered with " + strconv.Itoa(status.Status)
	}
	return "the API cannot be reached"
}

// serveComments passes the body on to the API, and the API's answer back. It
// reads the whole body first. Otherwise the API could have saved a part of one
// that turns out to be too long, or breaks off; and where the API answers while
// it still reads, net/http would read away what is left of the body with the first
// byte that we write (see http.ResponseController.EnableFullDuplex).
func (b *replica) serveComments(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		refuseBody(w, r)
		return nil
	} else if err != nil {
		http.Error(w, "the body broke off", http.StatusBadRequest)
		return nil
	}
	req, err := http.NewRequestWithContext(r.Context(), "POST", b.backend.api+"/comments", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		req.Header.Set("Content-Type", t)
	}
	resp, err := b.stream.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		// The error of the refresh says whether the session is over.
		return errors.Join(tokencache.ErrUnauthorized, tokencache.FromContext(r.Context()).Err())
	}
	for _, name := range []string{"Content-Type", "Content-Length"} {
		if v := resp.Header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // rather than half an answer that looks whole
	}
	return nil
}

// servePublic is the same for everybody, and says so to every cache there is.
func servePublic(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "public, s-maxage=31536000")
	h.Set("CDN-Cache-Control", "max-age=31536000")
	h.Set("Surrogate-Control", "max-age=31536000")
	h.Set("ETag", `"public-1"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader("public"))
}
