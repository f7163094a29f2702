package recipes

import (
	"fmt"
	"net/http"

	"github.com/rebearer/rebearer/examples/recipes/oapi"
	"github.com/rebearer/rebearer/middleware"
)

// NewOAPI returns the client that oapi-codegen has made of openapi.yaml. The
// Transport goes into WithHTTPClient. There is no use for WithRequestEditorFn: what
// it set as Authorization would be taken for a choice of yours, and left as it is.
//
// The generated code has its bodies in a bytes.Reader, which can be rewound. A body
// of yours, for AddItemWithBody, is kept up to the Transport's MaxBody.
func NewOAPI(url string, rt http.RoundTripper) (*oapi.ClientWithResponses, error) {
	return oapi.NewClientWithResponses(url, oapi.WithHTTPClient(Doer{&http.Client{Transport: rt}}))
}

// OAPI calls the API by what oapi-codegen has generated. A status that the document
// does not know, or an answer that is no JSON, leaves JSON200 nil and is no error:
// that is the caller's to see. A 401 that stayed and a step-up are errors already,
// by Doer; without it they would be a StatusCode that nobody asks for.
func OAPI(auth *middleware.Authenticator, api *oapi.ClientWithResponses) http.Handler {
	me := func(w http.ResponseWriter, r *http.Request) error {
		resp, err := api.GetMeWithResponse(r.Context())
		switch {
		case err != nil:
			return err
		case resp.JSON200 == nil:
			return Status(resp.StatusCode())
		}
		_, err = fmt.Fprintf(w, "page of %s", resp.JSON200.User)
		return err
	}
	add := func(w http.ResponseWriter, r *http.Request) error {
		resp, err := api.AddItemWithResponse(r.Context(), oapi.Item{Name: r.FormValue("name")})
		switch {
		case err != nil:
			return err
		case resp.JSON200 == nil:
			return Status(resp.StatusCode())
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = fmt.Fprint(w, resp.JSON200.Name)
		return err
	}
	pages := http.NewServeMux()
	pages.Handle("GET /me", auth.Boundary(me))
	pages.Handle("POST /items", auth.Boundary(add))
	return around(auth, pages)
}
