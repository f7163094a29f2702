package recipes_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func connectClient(auth *middleware.Authenticator, url string, rt http.RoundTripper) generated {
	api := recipes.NewNotes(url, rt)
	return generated{recipes.Connect(auth, api), func(ctx context.Context) error {
		_, err := api.Whoami.CallUnary(ctx, connect.NewRequest(&emptypb.Empty{}))
		return err
	}}
}

// notes is the server of the service, behind the API's check of the token. It ends a
// stream as unauthenticated after each note for which cut says so.
func notes(cut func(note int) bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/notes.v1.Notes/Whoami", func(w http.ResponseWriter, r *http.Request) {
		user := w.Header().Get(authtest.UserHeader)
		connect.NewUnaryHandler("/notes.v1.Notes/Whoami", func(context.Context, *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
			return connect.NewResponse(wrapperspb.String(user)), nil
		}).ServeHTTP(w, r)
	})
	mux.Handle("/notes.v1.Notes/Add", connect.NewUnaryHandler("/notes.v1.Notes/Add",
		func(_ context.Context, r *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
			return connect.NewResponse(r.Msg), nil
		}))
	mux.Handle("/notes.v1.Notes/Watch", connect.NewServerStreamHandler("/notes.v1.Notes/Watch",
		func(_ context.Context, r *connect.Request[wrapperspb.StringValue], s *connect.ServerStream[wrapperspb.StringValue]) error {
			var last int
			fmt.Sscanf(r.Msg.GetValue(), "note %d", &last)
			for i := last; ; i++ {
				if cut(i) {
					return connect.NewError(connect.CodeUnauthenticated, nil)
				}
				if i == 3 {
					return nil
				}
				if err := s.Send(wrapperspb.String(fmt.Sprintf("note %d", i+1))); err != nil {
					return err
				}
			}
		}))
	return mux
}

func never(int) bool { return false }

func TestConnect(t *testing.T) { checkGenerated(t, connectClient, notes(never)) }

const allNotes = "note 1\nnote 2\nnote 3\n"

// parked fails unless the tokens of a stream are handed over by the next response,
// after one presentation.
func (b *browser) parked() {
	b.w.t.Helper()
	if a := b.must(b.get("/me"), http.StatusOK, "page of ada"); !a.sets() {
		b.w.t.Error("the parked tokens were not handed over")
	}
	b.once()
}

func TestConnectStreams(t *testing.T) {
	t.Run("a stream that is refused before it begins is opened again", func(t *testing.T) {
		w := start(t)
		_, b := w.client(connectClient, notes(never))
		if a := b.must(b.get("/watch"), http.StatusOK, allNotes); !a.sets() {
			t.Error("no cookies, though nothing had been written")
		}
		b.once()
	})

	t.Run("a stream whose token ends in between goes on where it was", func(t *testing.T) {
		w := start(t)
		var ended atomic.Bool
		_, b := w.client(connectClient, notes(func(i int) bool {
			if i != 2 || ended.Swap(true) {
				return false
			}
			w.as.RevokeAccess()
			return true
		}))
		b.must(b.do("POST", "/sign-in", nil, nil), http.StatusOK, "") // with a token that works
		if a := b.get("/watch"); a.body != allNotes || a.sets() {
			t.Errorf("%q, cookies: %t", a.body, a.sets())
		}
		b.parked()
	})

	t.Run("a stream that is refused in its body is refreshed for, once", func(t *testing.T) {
		w := start(t)
		var asked atomic.Int32
		_, b := w.client(connectClient, notes(func(i int) bool { return i == 0 && asked.Add(1) == 1 }))
		b.must(b.do("POST", "/sign-in", nil, nil), http.StatusOK, "")
		b.must(b.get("/watch"), http.StatusOK, allNotes)
		b.once()
	})

	t.Run("one that is always refused ends as unauthorized, after one presentation", func(t *testing.T) {
		w := start(t)
		_, b := w.client(connectClient, notes(func(int) bool { return true }))
		b.must(b.do("POST", "/sign-in", nil, nil), http.StatusOK, "")
		b.must(b.get("/watch"), http.StatusBadGateway, "does not accept your session")
		b.once()
	})

	t.Run("a session that ends in between ends the stream", func(t *testing.T) {
		w := start(t)
		var b *browser
		_, b = w.client(connectClient, notes(func(i int) bool {
			if i == 2 {
				w.as.EndSession(b.refreshToken())
			}
			return i == 2
		}))
		b.must(b.do("POST", "/sign-in", nil, nil), http.StatusOK, "")
		if a := b.get("/watch"); !strings.HasSuffix(a.body, "note 2\n") {
			t.Errorf("%q", a.body)
		}
		b.must(b.get("/me"), http.StatusUnauthorized, "")
	})
}
