package recipes_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
)

func oapiClient(t *testing.T) generator {
	return func(auth *middleware.Authenticator, url string, rt http.RoundTripper) generated {
		api, err := recipes.NewOAPI(url, rt)
		if err != nil {
			t.Fatal(err)
		}
		return generated{recipes.OAPI(auth, api), func(ctx context.Context) error {
			resp, err := api.GetMeWithResponse(ctx)
			if err == nil && resp.JSON200 == nil {
				err = errors.New(resp.Status())
			}
			return err
		}}
	}
}

func TestOAPI(t *testing.T) {
	checkGenerated(t, oapiClient(t), items)
	unknown(t, oapiClient(t))
}
