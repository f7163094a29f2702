package recipes

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/ogen-go/ogen/validate"
	"github.com/rebearer/rebearer/examples/recipes/ogen"
	"github.com/rebearer/rebearer/middleware"
)

// NewOgen returns the client that ogen has made of openapi.yaml. The Transport goes
// into WithClient. A document with a security scheme has ogen ask for a
// SecuritySource as well, which returns ogenerrors.ErrSkipClientSecurity: what it
// set as Authorization would be taken for a choice of yours, and left as it is.
//
// ogen sends a body that can be rewound. It is replayed as it was.
func NewOgen(url string, rt http.RoundTripper) (*ogen.Client, error) {
	return ogen.NewClient(url, ogen.WithClient(Doer{&http.Client{Transport: rt}}))
}

// Ogen calls the API by what ogen has generated. A 401 that stayed and a step-up
// come out as Doer made them, wrapped. Any other status that the document does not
// know is an error of ogen's, whose number unexpected hands to auth.Error; what the
// document does know is for the caller to tell apart.
func Ogen(auth *middleware.Authenticator, api *ogen.Client) http.Handler {
	me := func(w http.ResponseWriter, r *http.Request) error {
		user, err := api.GetMe(r.Context())
		if err != nil {
			return unexpected(err)
		}
		_, err = fmt.Fprintf(w, "page of %s", user.User)
		return err
	}
	add := func(w http.ResponseWriter, r *http.Request) error {
		item, err := api.AddItem(r.Context(), &ogen.Item{Name: r.FormValue("name")})
		if err != nil {
			return unexpected(err)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = fmt.Fprint(w, item.Name)
		return err
	}
	pages := http.NewServeMux()
	pages.Handle("GET /me", auth.Boundary(me))
	pages.Handle("POST /items", auth.Boundary(add))
	return around(auth, pages)
}

// unexpected makes a Status of what ogen says of an answer that it does not know.
func unexpected(err error) error {
	var answer *validate.UnexpectedStatusCodeError
	if errors.As(err, &answer) {
		return Status(answer.StatusCode)
	}
	return err
}
