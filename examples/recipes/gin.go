package recipes

import (
	"bufio"
	"fmt"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/middleware"
)

// Gin puts what needs a session into a group, whose middleware is GinAuth.
// (Where all routes need one, auth.Handler(engine) does without an adapter.)
//
// Calls of the API take the request's context. A *gin.Context is a context too,
// but finds nothing in the request's unless ContextWithFallback is set: calls
// with it would not be signed.
func Gin(auth *middleware.Authenticator, api *client.Client) http.Handler {
	e := gin.New()
	e.Use(gin.Recovery())
	e.POST("/auth/refresh", gin.WrapH(auth.RefreshHandler()))
	e.GET("/auth/rebearer.js", gin.WrapH(auth.ScriptHandler()))
	e.POST("/logout", gin.WrapH(auth.LogoutHandler()))

	pages := e.Group("", GinAuth(auth))
	pages.GET("/me", func(c *gin.Context) {
		user, err := whoami(c.Request.Context(), api)
		if err != nil {
			auth.Error(c.Writer, c.Request, err)
			return
		}
		c.String(http.StatusOK, "page of %s", user)
	})
	pages.GET("/stream", func(c *gin.Context) {
		c.Writer.WriteString("begin\n")
		c.Writer.Flush()
		user, err := whoami(c.Request.Context(), api)
		if err != nil {
			auth.Error(c.Writer, c.Request, err)
			return
		}
		fmt.Fprintf(c.Writer, "%s\nend\n", user)
	})
	return e
}

// GinAuth is the Authenticator's Handler for gin. A request that it answers
// itself goes no further.
func GinAuth(auth *middleware.Authenticator) gin.HandlerFunc {
	return func(c *gin.Context) {
		outer, passed := c.Writer, false
		defer func() { c.Writer = outer }() // also when a handler panics
		auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passed = true
			c.Writer, c.Request = &ginWriter{outer, w}, r
			c.Next()
		})).ServeHTTP(outer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

// ginWriter is gin's own writer, but what sends the header goes through the
// Authenticator's first, whose last moment for cookies that is. WriteHeader does
// not: gin only notes the status there, which may be long before the header is
// sent, and a refresh in between must still find it open.
type ginWriter struct {
	gin.ResponseWriter
	auth http.ResponseWriter
}

func (w *ginWriter) Write(p []byte) (int, error)       { return w.auth.Write(p) }
func (w *ginWriter) WriteString(s string) (int, error) { return w.auth.Write([]byte(s)) }
func (w *ginWriter) Flush()                            { http.NewResponseController(w.auth).Flush() }

// Unwrap leads http.ResponseController to the Authenticator's writer.
func (w *ginWriter) Unwrap() http.ResponseWriter { return w.auth }

func (w *ginWriter) WriteHeaderNow() {
	w.auth.WriteHeader(w.Status())
	w.ResponseWriter.WriteHeaderNow()
}

func (w *ginWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.auth).Hijack()
}
