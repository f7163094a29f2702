package recipes

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
)

// Echo puts what needs a session into a group, whose middleware is EchoAuth.
// Handlers return errors, as they do in echo. Calls of the API take the
// request's context, c.Request().Context().
func Echo(auth *middleware.Authenticator, api *client.Client) http.Handler {
	e := echo.New()
	e.POST("/auth/refresh", echo.WrapHandler(auth.RefreshHandler()))
	e.GET("/auth/rebearer.js", echo.WrapHandler(auth.ScriptHandler()))
	e.POST("/logout", echo.WrapHandler(auth.LogoutHandler()))

	pages := e.Group("", EchoAuth(auth)...)
	pages.GET("/me", func(c echo.Context) error {
		user, err := whoami(c.Request().Context(), api)
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, "page of "+user)
	})
	pages.GET("/stream", func(c echo.Context) error {
		fmt.Fprintln(c.Response(), "begin")
		c.Response().Flush()
		user, err := whoami(c.Request().Context(), api)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.Response(), "%s\nend\n", user)
		return err
	})
	return e
}

// EchoAuth is the Authenticator's Handler for echo, and what answers the errors
// of the handlers behind it.
//
// Echo calls its HTTPErrorHandler when all middleware has returned, and by then
// the cookies have been decided on: a session that is over could not be answered
// with the login page any more. So the errors are answered here, inside. What is
// echo's own, such as a 404, goes on to echo.
func EchoAuth(auth *middleware.Authenticator) []echo.MiddlewareFunc {
	answer := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := next(c)
			var its *echo.HTTPError
			if err == nil || errors.As(err, &its) {
				return err
			}
			auth.Error(c.Response(), c.Request(), err)
			return nil
		}
	}
	return []echo.MiddlewareFunc{echo.WrapMiddleware(auth.Handler), answer}
}
