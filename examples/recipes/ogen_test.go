package recipes_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
)

func ogenClient(t *testing.T) generator {
	return func(auth *middleware.Authenticator, url string, rt http.RoundTripper) generated {
		api, err := recipes.NewOgen(url, rt)
		if err != nil {
			t.Fatal(err)
		}
		return generated{recipes.Ogen(auth, api), func(ctx context.Context) error {
			_, err := api.GetMe(ctx)
			return err
		}}
	}
}

func TestOgen(t *testing.T) {
	checkGenerated(t, ogenClient(t), items)
	unknown(t, ogenClient(t))
}
