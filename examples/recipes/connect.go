package recipes

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"github.com/rebearer/rebearer/middleware"
	"github.com/rebearer/rebearer/tokencache"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Notes is what protoc-gen-connect-go makes of a service with three methods. It is
// written by hand here, so that nobody needs protoc to read it.
type Notes struct {
	Whoami *connect.Client[emptypb.Empty, wrapperspb.StringValue]
	Add    *connect.Client[wrapperspb.StringValue, wrapperspb.StringValue]
	Watch  *connect.Client[wrapperspb.StringValue, wrapperspb.StringValue] // what comes after the given one
}

// NewNotes is NewNotesServiceClient of the generated code, whose first argument is
// where the Transport goes.
func NewNotes(url string, rt http.RoundTripper) *Notes {
	doer := Doer{&http.Client{Transport: rt}}
	return &Notes{
		Whoami: connect.NewClient[emptypb.Empty, wrapperspb.StringValue](doer, url+"/notes.v1.Notes/Whoami"),
		Add:    connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](doer, url+"/notes.v1.Notes/Add"),
		Watch:  connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](doer, url+"/notes.v1.Notes/Watch"),
	}
}

// Connect calls an API by connect-go, and passes on a stream. In the Connect
// protocol a unary call is refused by status 401, which the Transport cures. A
// stream that a gateway or a middleware refuses by 401 is cured as well. What a
// handler refuses has status 200, and its code at the end of the body, as all of
// gRPC has: no Transport sees that, and watch says what to do.
func Connect(auth *middleware.Authenticator, api *Notes) http.Handler {
	me := func(w http.ResponseWriter, r *http.Request) error {
		resp, err := api.Whoami.CallUnary(r.Context(), connect.NewRequest(&emptypb.Empty{}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "page of %s", resp.Msg.GetValue())
		return err
	}
	add := func(w http.ResponseWriter, r *http.Request) error {
		resp, err := api.Add.CallUnary(r.Context(), connect.NewRequest(wrapperspb.String(r.FormValue("name"))))
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = fmt.Fprint(w, resp.Msg.GetValue())
		return err
	}
	watch := func(w http.ResponseWriter, r *http.Request) error {
		return api.watch(r.Context(), func(note string) error {
			fmt.Fprintln(w, note)
			return http.NewResponseController(w).Flush()
		})
	}
	pages := http.NewServeMux()
	pages.Handle("GET /me", auth.Boundary(me))
	pages.Handle("POST /items", auth.Boundary(add))
	pages.Handle("GET /watch", auth.Boundary(watch))
	return around(auth, pages)
}

// watch calls each with all notes. A server that ends the stream when the access
// token ends, or refuses it in the body, has it opened anew, from where it was, with
// what replaces the token: by one presentation, or none where another call was
// first. A stream that brings nothing with a new token is not opened a third time.
func (n *Notes) watch(ctx context.Context, each func(string) error) error {
	cache, last := tokencache.FromContext(ctx), ""
	for renewed := false; ; renewed = true {
		stream, err := n.Watch.CallServerStream(ctx, connect.NewRequest(wrapperspb.String(last)))
		if err != nil {
			return err
		}
		token := cache.Token() // that it was opened with
		for stream.Receive() {
			last, renewed = stream.Msg().GetValue(), false
			if err := each(last); err != nil {
				stream.Close()
				return err
			}
		}
		err = stream.Err() // nil at the end of all
		stream.Close()
		switch {
		case connect.CodeOf(err) != connect.CodeUnauthenticated:
			return err
		case renewed:
			return errors.Join(tokencache.ErrUnauthorized, err)
		}
		if _, err := cache.Refresh(ctx, token); err != nil {
			return err
		}
	}
}
