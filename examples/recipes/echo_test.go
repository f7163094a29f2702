package recipes_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
)

func TestEcho(t *testing.T) { check(t, recipes.Echo) }

func newEcho() *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	return e
}

func TestEchoMayBeAllBehindTheHandler(t *testing.T) {
	check(t, func(auth *middleware.Authenticator, api *client.Client) http.Handler {
		return withoutHandler(auth, auth.Handler(recipes.Echo(auth, api)))
	})
}

// B52. Whoever writes the header, and however late, the cookies of a refresh
// that came before are there.
func TestEchoWritesTheHeaderInManyWays(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		write  func(*world, echo.Context) error
	}{
		"a status alone": {http.StatusNoContent, "", func(_ *world, c echo.Context) error { return c.NoContent(http.StatusNoContent) }},
		"nothing":        {http.StatusOK, "", func(*world, echo.Context) error { return nil }},
		"JSON":           {http.StatusCreated, `{"a":1}`, func(_ *world, c echo.Context) error { return c.JSON(http.StatusCreated, map[string]int{"a": 1}) }},
		"a flush":        {http.StatusOK, "", func(_ *world, c echo.Context) error { c.Response().Flush(); return nil }},
		"a redirect":     {http.StatusFound, "", func(_ *world, c echo.Context) error { return c.Redirect(http.StatusFound, "/") }},
		"a file":         {http.StatusOK, "package recipes_test", func(_ *world, c echo.Context) error { return c.File("echo_test.go") }},
		"an error of echo's, answered when all middleware has returned": {http.StatusTeapot, "short", func(_ *world, c echo.Context) error {
			return echo.NewHTTPError(http.StatusTeapot, "short")
		}},
		"an error of somebody else's": {http.StatusInternalServerError, "", func(_ *world, c echo.Context) error { return errors.New("other") }},
		"a panic":                     {http.StatusInternalServerError, "", func(*world, echo.Context) error { panic("after the refresh") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			e := newEcho()
			e.Use(echomiddleware.Recover())
			e.GET("/", func(c echo.Context) error {
				w.refresh(c.Request())
				return test.write(w, c)
			}, recipes.EchoAuth(w.auth)...)
			w.browse(e).want("/", test.status, test.body)
		})
	}
}

// B52. Echo's Before runs when the header is about to be written.
func TestEchoRefreshesInBefore(t *testing.T) {
	w := start(t)
	e := newEcho()
	e.GET("/", func(c echo.Context) error {
		c.Response().Before(func() { w.refresh(c.Request()) })
		return c.String(http.StatusOK, "late")
	}, recipes.EchoAuth(w.auth)...)
	w.browse(e).want("/", http.StatusOK, "late")
}

// B52
func TestEchoUpgradesWithTheCookies(t *testing.T) {
	w := start(t)
	e := newEcho()
	e.GET("/", func(c echo.Context) error {
		w.refresh(c.Request())
		serveEcho(c.Response(), c.Request())
		return nil
	}, recipes.EchoAuth(w.auth)...)
	b := w.browse(e)
	b.upgraded(b.echoes("/", nil))
}
