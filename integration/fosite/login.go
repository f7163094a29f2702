package main

import (
	"html/template"
	"log"
	"net/http"
)

var page = template.Must(template.New("login").Parse(
	`<!DOCTYPE html><title>Login</title><form method="post" action="{{.}}"><input type="text" name="login"><button>Sign in</button></form>`))

// authorize is the authorization endpoint and the login page at once. The form
// comes back with the query that the browser was sent here with.
func (p provider) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.NewAuthorizeRequest(ctx, r)
	if err != nil {
		p.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	user := r.PostFormValue("login")
	if user == "" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, r.URL.RequestURI()); err != nil {
			log.Print(err)
		}
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	// Whatever it asked for: fosite knows no resource indicators (RFC 8707).
	request.GrantAudience(p.env.Audience)
	response, err := p.NewAuthorizeResponse(ctx, request, newSession(user))
	if err != nil {
		p.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	p.WriteAuthorizeResponse(ctx, w, request, response)
}
