package tokencache_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// B26
func TestAnAnswerIsCompleted(t *testing.T) {
	const jwt = "e30.eyJleHAiOjQwMDAwMDAwMDB9.c2ln" // with exp
	exp := time.Unix(4000000000, 0)
	old := tokencache.NewToken(tokencache.TokenFields{
		Access: "a", Refresh: "alice-refresh", RefreshExpiry: exp.Add(time.Hour),
	})
	for name, row := range map[string]struct {
		answer  tokencache.TokenFields
		refresh string
		expiry  time.Time
	}{
		"without a refresh token it keeps the old one": {tokencache.TokenFields{Access: "b"}, "alice-refresh", time.Time{}},
		"without expires_in it takes the JWT's exp":    {tokencache.TokenFields{Access: jwt, Refresh: "r"}, "r", exp},
		"without both its end is unknown":              {tokencache.TokenFields{Access: "b", Refresh: "r"}, "r", time.Time{}},
		"dead on arrival its end is unknown, too": {
			tokencache.TokenFields{Access: "b", Refresh: "r", Expiry: time.Now().Add(-time.Hour)}, "r", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			server := &as{}
			server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
				return tokencache.NewToken(row.answer), nil
			})
			got, err := (&tokencache.Coordinator{Refresher: server}).Refresh(t.Context(), old)
			is(t, row.answer.Access, got, err)
			if got.Refresh() != row.refresh || !got.Expiry().Equal(row.expiry) {
				t.Errorf("refresh token %q until %v", got.Refresh(), got.Expiry())
			}
			if row.answer.Refresh == "" && !got.RefreshExpiry().Equal(old.RefreshExpiry()) {
				t.Errorf("the kept refresh token ends %v", got.RefreshExpiry())
			}
		})
	}
}

// B32: an answer that holds no usable access token is malformed, not a success.
func TestAnAccessTokenThatCannotBeSentIsMalformed(t *testing.T) {
	for name, access := range map[string]string{
		"empty": "", "with CRLF": "a\r\nX: y", "with NUL": "a\x00", "not ASCII": "ä", "huge": strings.Repeat("a", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			server := &as{}
			server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
				return tokencache.NewToken(tokencache.TokenFields{Access: access, Refresh: "r"}), nil
			})
			_, err := (&tokencache.Coordinator{Refresher: server}).Refresh(t.Context(), alice)
			because(t, reason.Malformed, err)
			if access != "" && strings.Contains(err.Error(), access) {
				t.Error("the error quotes it")
			}
		})
	}
}

// B83
func TestAnotherSubjectEndsTheSessionAndServesNothing(t *testing.T) {
	const of = "e30.eyJzdWIiOiJ"
	tokens := map[string]tokencache.TokenFields{ // the claims are {"sub":"alice"} and {"sub":"mallo"}
		"of the JWTs":       {Access: of + "hbGljZSJ9.c2ln", Refresh: "alice-refresh-0"},
		"that is known":     {Access: "opaque", Refresh: "alice-refresh-0", Subject: "alice"},
		"JWTs in the chain": {Access: of + "hbGljZSJ9.c2ln", Refresh: "alice-refresh-0"},
	}
	for name, first := range tokens {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				c := &tokencache.Coordinator{Refresher: server}
				if name == "JWTs in the chain" {
					server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
						return tokencache.NewToken(tokencache.TokenFields{
							Access: of + "hbGljZSJ9.c2lo", Refresh: "alice-refresh-1", Expiry: time.Now().Add(time.Minute),
						}), nil
					})
					if _, err := c.Refresh(t.Context(), tokencache.NewToken(first)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				server.next(func(*as, context.Context, tokencache.Token) (tokencache.Token, error) {
					return tokencache.NewToken(tokencache.TokenFields{
						Access: of + "tYWxsbyJ9.c2ln", Refresh: "alice-refresh-9", Subject: "mallo",
					}), nil
				})
				n := server.presentations() + 1
				for range 3 {
					cache := tokencache.New(c, tokencache.NewToken(first))
					_, err := cache.Refresh(t.Context(), cache.Token())
					because(t, reason.SubjectChanged, err)
					if _, changed := cache.Changed(); changed {
						t.Error("something is set")
					}
				}
				server.saw(t, n)
			})
		})
	}
}
