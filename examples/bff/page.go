package main

import (
	"embed"
	"html/template"
	"io"
	"net/http"
	"strings"
)

//go:embed page.css page.js live.js icon.svg
var files embed.FS

//go:embed page.html
var pages string

var templates = template.Must(template.New("").Parse(pages))

// static serves the files of the pages. They are the same for everybody.
func static() http.Handler {
	h := http.StripPrefix("/static/", http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// view is what the pages are made of.
type view struct {
	User     string
	Mode     string
	Style    string
	Store    string // where it is kept what was exchanged
	Embedded bool   // there are controls
	State    string // of the embedded authorization server
	Hint     bool   // about browsers that keep no Secure cookies over http
	Tokens   string // where they live, in words
	Sessions bool   // on the server
	Forget   bool   // there is a cookie to be lost
	Replicas []int
	Entries  []entry
	Start    beginning
	Next     string
	Message  string
}

func (b *replica) view(user string) view {
	v := view{User: user, Mode: "inline", Style: b.style, Store: "memory", Sessions: b.tokens == tokensSessions}
	v.Tokens = map[string]string{
		tokensPlain:    "in cookies that no script can read",
		tokensSealed:   "in a sealed cookie that only this program can read",
		tokensSessions: "in a session on the server: the browser has nothing but its name",
	}[b.tokens]
	for n := range b.config.replicas {
		v.Replicas = append(v.Replicas, n+1)
	}
	if b.store != nil {
		v.Store = "Redis"
	}
	if b.mode != 0 {
		v.Mode = "redirect"
	}
	if b.demo != nil {
		v.Embedded, v.State = true, b.demo.state()
		v.Hint, v.Forget = !b.insecureCookies, b.tokens == tokensPlain
	}
	return v
}

func (b *replica) showLogin(w http.ResponseWriter, status int, next, message string) {
	v := b.view("")
	v.Next, v.Message = next, message
	if err := render(w, status, "login", v); err != nil {
		b.log.Error("a page cannot be made", "err", err)
		http.Error(w, "a page cannot be made", http.StatusInternalServerError)
	}
}

// render makes the whole page before it sends anything of it.
func render(w http.ResponseWriter, status int, name string, v view) error {
	var page strings.Builder
	if err := templates.ExecuteTemplate(&page, name, v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, page.String())
	return nil
}
