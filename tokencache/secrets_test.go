package tokencache_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/event"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// canary is in every token of these tests.
const canary = "CANARY"

var secret = tokencache.NewToken(tokencache.TokenFields{
	Access: "access-" + canary, Refresh: "refresh-" + canary, Subject: "subject-" + canary,
})

// leaks returns whether text holds the canary, as it is or in hexadecimal or
// decimal bytes.
func leaks(text string) bool {
	decimal := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
	text = strings.ToLower(text)
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("% x", canary), decimal, strings.ReplaceAll(decimal, " ", ", ")} {
		if strings.Contains(text, strings.ToLower(form)) {
			return true
		}
	}
	return false
}

type exported struct {
	Token   tokencache.Token
	Pointer *tokencache.Token
	Cache   *tokencache.Cache
}

type unexported struct {
	token   tokencache.Token
	pointer *tokencache.Token
	slice   []tokencache.Token
	array   [1]tokencache.Token
	byName  map[string]tokencache.Token
	byToken map[tokencache.Token]int
	any     any
	cache   *tokencache.Cache
	nested  struct{ exported }
	*exported
}

// printed returns all that could be printed by mistake.
func printed(c *tokencache.Coordinator) map[string]any {
	cache := tokencache.New(c, secret)
	e := exported{secret, &secret, cache}
	u := unexported{secret, &secret, []tokencache.Token{secret}, [1]tokencache.Token{secret},
		map[string]tokencache.Token{"a": secret}, map[tokencache.Token]int{secret: 1}, secret, cache, struct{ exported }{e}, &e}
	ctx := tokencache.NewContext(context.Background(), cache)
	request, _ := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/", nil)
	return map[string]any{
		"Token": secret, "*Token": &secret, "**Token": &e.Pointer, "[]Token": u.slice, "[1]Token": u.array,
		"map to Token": u.byName, "map of Token": u.byToken,
		"TokenFields": tokencache.TokenFields{Access: canary}, "*TokenFields": &tokencache.TokenFields{Refresh: canary},
		"Cache": cache, "Coordinator": c, "struct of Coordinator": struct{ c *tokencache.Coordinator }{c},
		"exported": e, "*exported": &e, "unexported": u, "*unexported": &u, "[]unexported": []unexported{u},
		"context": ctx, "request": request.Context(), "error": fmt.Errorf("with %v", secret),
		"func": secret.Access, "joined": errors.Join(fmt.Errorf("%+v", u)),
	}
}

// B75, T-I1
func TestNothingPrintsAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, printing := &as{}, make(chan struct{})
		server.next(func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
			<-printing
			return a.exchange(ctx, spent)
		})
		c := &tokencache.Coordinator{Refresher: refresher(server.Refresh)}
		go c.Refresh(t.Context(), secret) // while an exchange is in flight, too
		synctest.Wait()
		for name, v := range printed(c) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%t", "%10.3v"} {
				if out := fmt.Sprintf(verb, v); leaks(out) {
					t.Errorf("%s of %s: %s", verb, name, out)
				}
			}
			for format, log := range map[string]func(*bytes.Buffer) slog.Handler{
				"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
				"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			} {
				var b bytes.Buffer
				slog.New(log(&b)).With("with", v).Info("m", "v", v, slog.Group("g", "v", v))
				if leaks(b.String()) {
					t.Errorf("slog %s of %s: %s", format, name, &b)
				}
			}
		}
		close(printing)
		c.Wait(t.Context())
	})
}

// A log record must not crash the process that writes to what it prints.
func TestWhatIsInUseCanBePrinted(t *testing.T) {
	server, store := &as{}, &tokencache.MemoryStore{}
	c := &tokencache.Coordinator{Refresher: server, Store: store, Realm: "r"}
	together(8, func(i int) {
		for n := range 50 {
			c.Refresh(t.Context(), generation(fmt.Sprint(i), n))
			_ = fmt.Sprintf("%v %+v %#v %s", c, c, c, c) + fmt.Sprintf("%v %+v %#v %s", store, store, store, store)
			slog.New(slog.DiscardHandler).Info("m", "c", c, "store", store)
		}
	})
}

type refresher func(context.Context, tokencache.Token) (tokencache.Token, error)

func (f refresher) Refresh(ctx context.Context, t tokencache.Token) (tokencache.Token, error) {
	return f(ctx, t)
}

// B75: a redacted encoding would destroy what somebody stores.
func TestNothingEncodesAToken(t *testing.T) {
	for name, v := range map[string]any{
		"Token": secret, "*Token": &secret, "in a struct": struct{ T tokencache.Token }{secret},
		"as a key": map[tokencache.Token]int{secret: 1}, "TokenFields": tokencache.TokenFields{Access: canary},
	} {
		for format, encode := range map[string]func(any) ([]byte, error){
			"JSON": json.Marshal,
			"XML":  xml.Marshal,
			"gob": func(v any) ([]byte, error) {
				var b bytes.Buffer
				err := gob.NewEncoder(&b).Encode(v)
				return b.Bytes(), err
			},
		} {
			if format == "gob" && name == "TokenFields" {
				continue // they are for NewToken, and not to be kept
			}
			out, err := encode(v)
			if leaks(string(out)) || err != nil && leaks(err.Error()) {
				t.Errorf("%s of %s: %s, %v", format, name, out, err)
			}
			if err == nil {
				t.Errorf("%s of %s: no error, and %q", format, name, out)
			}
		}
	}
}

// dump is a Store that keeps all that it ever saw.
type dump struct {
	tokencache.MemoryStore
	seen bytes.Buffer
}

func (d *dump) Swap(ctx context.Context, key, old string, value []byte, ttl time.Duration) (tokencache.Entry, bool, error) {
	fmt.Fprintf(&d.seen, "%s %s\n", key, value)
	return d.MemoryStore.Swap(ctx, key, old, value, ttl)
}

// B49, B75, T-I5, T-I2
func TestAFullRunLeavesNoTokenInStoreLogsErrorsAndEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &dump{}
		var log, said, told bytes.Buffer
		server := &as{}
		c := &tokencache.Coordinator{
			Refresher: server, Revoker: server, Store: store, Realm: "r",
			Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true})),
			Observe: func(ctx context.Context, e event.Event) {
				fmt.Fprintf(&told, "%v %+v %#v %v %+v\n", e, e, e, ctx, e.Exchange)
				json.NewEncoder(&told).Encode(e)
			},
		}
		next := tokencache.NewToken(tokencache.TokenFields{Access: "a2-" + canary, Refresh: "r2-" + canary})
		gives := func(*as, context.Context, tokencache.Token) (tokencache.Token, error) { return next, nil }
		tell := func(err error) { fmt.Fprintf(&said, "%v %+v %#v\n", err, err, err) }
		for _, how := range []answer{
			fails(unavailable()), losesTo(nil), fails(fmt.Errorf("%v: %s", secret, secret.Refresh())), gives,
		} {
			server.next(how)
			_, err := c.Refresh(t.Context(), secret)
			tell(err)
			time.Sleep(time.Minute)
		}
		server.next(fails(invalidGrant()))
		_, err := c.Refresh(t.Context(), next)
		tell(err)
		tell(c.Revoke(t.Context(), secret))
		for what, text := range map[string]string{
			"Store": store.seen.String(), "Store, printed": fmt.Sprintf("%+v %#v", store, &store.MemoryStore),
			"log": log.String(), "errors": said.String(), "events": told.String(),
		} {
			if text == "" || leaks(text) {
				t.Errorf("%s: %s", what, text)
			}
		}
	})
}

// B75, T-D4: a panic may hold what nobody knew before.
func TestThePanicOfARefresherIsNotQuoted(t *testing.T) {
	c := &tokencache.Coordinator{Refresher: refresher(func(context.Context, tokencache.Token) (tokencache.Token, error) {
		panic("the answer was: a-new-token")
	})}
	_, err := c.Refresh(t.Context(), alice)
	because(t, reason.Panicked, err)
	if strings.Contains(err.Error(), "a-new-token") {
		t.Errorf("%v", err)
	}
}
