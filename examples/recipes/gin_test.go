package recipes_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/examples/recipes"
	"github.com/rebearer/rebearer/middleware"
)

func init() { gin.SetMode(gin.ReleaseMode) }

func TestGin(t *testing.T) { check(t, recipes.Gin) }

// newGin says nothing of panics.
func newGin() *gin.Engine {
	e := gin.New()
	e.Use(gin.RecoveryWithWriter(io.Discard))
	return e
}

func TestGinMayBeAllBehindTheHandler(t *testing.T) {
	check(t, func(auth *middleware.Authenticator, api *client.Client) http.Handler {
		return withoutHandler(auth, auth.Handler(recipes.Gin(auth, api)))
	})
}

// B52. Gin notes the status early and writes it late: a refresh in between still
// finds the header open.
func TestGinWritesTheHeaderInManyWays(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		before func(*gin.Context)
		after  func(*gin.Context)
	}{
		"a status before the refresh, and a body after it": {http.StatusCreated, "made",
			func(c *gin.Context) { c.Status(http.StatusCreated) }, func(c *gin.Context) { c.Writer.WriteString("made") }},
		"a status before the refresh, and nothing after it": {http.StatusAccepted, "",
			func(c *gin.Context) { c.Status(http.StatusAccepted) }, nil},
		"nothing at all": {http.StatusOK, "", nil, nil},
		"an abort":       {http.StatusForbidden, "", nil, func(c *gin.Context) { c.AbortWithStatus(http.StatusForbidden) }},
		"JSON":           {http.StatusCreated, `{"a":1}`, nil, func(c *gin.Context) { c.JSON(http.StatusCreated, gin.H{"a": 1}) }},
		"a redirect":     {http.StatusFound, "", nil, func(c *gin.Context) { c.Redirect(http.StatusFound, "/") }},
		"a file":         {http.StatusOK, "package recipes_test", nil, func(c *gin.Context) { c.File("gin_test.go") }},
		"a stream": {http.StatusOK, "data:hello", nil, func(c *gin.Context) {
			c.Stream(func(io.Writer) bool { c.SSEvent("", "hello"); return false })
		}},
		"a flush of http.ResponseController": {http.StatusAccepted, "",
			func(c *gin.Context) { c.Status(http.StatusAccepted) }, func(c *gin.Context) { http.NewResponseController(c.Writer).Flush() }},
		"a panic": {http.StatusInternalServerError, "", nil, func(*gin.Context) { panic("after the refresh") }},
	} {
		t.Run(name, func(t *testing.T) {
			ways := map[string]func(*middleware.Authenticator, gin.HandlerFunc) http.Handler{
				"in a group": func(auth *middleware.Authenticator, h gin.HandlerFunc) http.Handler {
					e := newGin()
					e.Group("", recipes.GinAuth(auth)).GET("/", h)
					return e
				},
				"around the engine": func(auth *middleware.Authenticator, h gin.HandlerFunc) http.Handler {
					e := newGin()
					e.GET("/", h)
					return auth.Handler(e)
				},
			}
			for name, build := range ways {
				t.Run(name, func(t *testing.T) {
					w := start(t)
					b := w.browse(build(w.auth, func(c *gin.Context) {
						if test.before != nil {
							test.before(c)
						}
						w.refresh(c.Request)
						if test.after != nil {
							test.after(c)
						}
					}))
					b.want("/", test.status, test.body)
				})
			}
		})
	}
}

// What gin's loggers ask the writer for is right on both sides of GinAuth.
func TestGinKnowsWhatWasWritten(t *testing.T) {
	type seen struct {
		status, size int
		written      bool
	}
	look := func(to *seen) gin.HandlerFunc {
		return func(c *gin.Context) {
			c.Next()
			*to = seen{c.Writer.Status(), c.Writer.Size(), c.Writer.Written()}
		}
	}
	w := start(t)
	e := newGin()
	var outside, inside seen
	e.Use(look(&outside), recipes.GinAuth(w.auth), look(&inside))
	e.GET("/", func(c *gin.Context) {
		w.refresh(c.Request)
		c.String(http.StatusTeapot, "short")
	})
	w.browse(e).want("/", http.StatusTeapot, "short")
	if want := (seen{http.StatusTeapot, len("short"), true}); outside != want || inside != want {
		t.Errorf("outside %+v, inside %+v, want %+v", outside, inside, want)
	}
}

func TestGinGoesNoFurtherWithoutASession(t *testing.T) {
	w := start(t)
	e := newGin()
	e.Use(recipes.GinAuth(w.auth))
	e.GET("/", func(*gin.Context) { t.Error("served to nobody") })
	b := w.browse(e)
	b.jar.SetCookies(must(http.NewRequest("GET", b.URL, nil)).URL, []*http.Cookie{
		{Name: "access", MaxAge: -1, Path: "/"}, {Name: "refresh", MaxAge: -1, Path: "/"},
	})
	b.must(b.get("/"), http.StatusUnauthorized, "")
}

// A *gin.Context finds nothing in the context of the request, unless it is told
// to.
func TestGinContextAsContextNeedsTheFallback(t *testing.T) {
	for fallback, want := range map[bool]int{false: http.StatusUnauthorized, true: http.StatusOK} {
		w := start(t)
		e := newGin()
		e.ContextWithFallback = fallback
		e.GET("/", recipes.GinAuth(w.auth), func(c *gin.Context) {
			if _, err := w.rest.R(c).Get("/users/me"); err != nil {
				c.String(http.StatusUnauthorized, "not signed")
			}
		})
		b := w.browse(e)
		b.must(b.get("/"), want, "")
	}
}

// B52
func TestGinUpgradesWithTheCookies(t *testing.T) {
	w := start(t)
	e := newGin()
	e.GET("/", recipes.GinAuth(w.auth), func(c *gin.Context) {
		w.refresh(c.Request)
		serveEcho(c.Writer, c.Request)
	})
	b := w.browse(e)
	b.upgraded(b.echoes("/", nil))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
