package recipes_test

import (
	"io"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"golang.org/x/oauth2"
)

// before is a BFF of which there are many: scs keeps an oauth2.Token, and x/oauth2
// refreshes it.
type before struct {
	sessions *scs.SessionManager
	config   *oauth2.Config
	api      string
}

func (b *before) me(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	stored, _ := b.sessions.Get(ctx, "token").(oauth2.Token)
	source := oauth2.ReuseTokenSource(&stored, b.config.TokenSource(ctx, &stored))
	resp, err := oauth2.NewClient(ctx, source).Get(b.api + "/users/me")
	if err != nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther) // whatever it was
		return
	}
	defer resp.Body.Close()
	if now, err := source.Token(); err == nil {
		b.sessions.Put(ctx, "token", *now)
	}
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}
