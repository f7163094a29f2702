package tokencache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/tokencache/reason"
)

// B32, B37: one row for each cause. What the causes look like on the wire is for
// the endpoints to tell; here is what becomes of the session.
func TestAFailure(t *testing.T) {
	type row struct {
		says  error         // the Refresher
		told  reason.Reason // the callers
		later string        // who calls when the cooldown is over: an access token, or a reason
		calls int           // presentations by then
	}
	rows := map[string]row{
		"refused":               {invalidGrant(), reason.Refused, "refused", 1},
		"subject changed":       {&tokencache.Error{Reason: reason.SubjectChanged}, reason.SubjectChanged, "subject_changed", 1},
		"a proof not its own":   {&tokencache.Error{Reason: reason.LoggedOut}, reason.Refused, "refused", 1},
		"a guess not its own":   {&tokencache.Error{Reason: reason.Ambiguous}, reason.Refused, "refused", 1},
		"an unknown error":      {errors.New("EOF"), reason.Unrecognised, "alice-access-1", 2},
		"an unknown reason":     {&tokencache.Error{Reason: "gone_fishing"}, reason.Unrecognised, "alice-access-1", 2},
		"a deadline":            {fmt.Errorf("post: %w", context.DeadlineExceeded), reason.Timeout, "alice-access-1", 2},
		"dial refused":          {&tokencache.Error{Reason: reason.Network, Unsent: true}, reason.Network, "alice-access-1", 2},
		"rate limited":          {&tokencache.Error{Reason: reason.RateLimited, Status: 429}, reason.RateLimited, "alice-access-1", 2},
		"malformed":             {&tokencache.Error{Reason: reason.Malformed, Status: 200}, reason.Malformed, "alice-access-1", 2},
		"invalid_client":        {&tokencache.Error{Reason: reason.ClientRefused, Status: 401, Code: "invalid_client"}, reason.ClientRefused, "alice-access-1", 2},
		"no endpoint":           {&tokencache.Error{Reason: reason.Endpoint, Status: 404}, reason.Endpoint, "alice-access-1", 2},
		"unrecognised, say 400": {&tokencache.Error{Reason: reason.Unrecognised, Status: 400}, reason.Unrecognised, "alice-access-1", 2},
	}
	for _, status := range []int{408, 425, 500, 502, 503, 504} {
		rows[fmt.Sprint("status ", status)] = row{
			&tokencache.Error{Reason: reason.Unavailable, Status: status}, reason.Unavailable, "alice-access-1", 2}
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{takes: time.Millisecond}
				server.next(fails(row.says))
				var log bytes.Buffer
				c := &tokencache.Coordinator{Refresher: server, Log: slog.New(slog.NewTextHandler(&log, nil))}
				together(10, func(int) { // all who wait are told, B18
					_, err := c.Refresh(t.Context(), alice)
					because(t, row.told, err)
				})
				_, err := c.Refresh(t.Context(), alice) // who comes in the cooldown is told the same
				because(t, row.told, err)
				server.saw(t, 1)
				if want := "reason=" + string(row.told); strings.Count(log.String(), want) != 1 {
					t.Errorf("the log does not say %s once: %s", want, &log)
				}
				time.Sleep(time.Second)
				got, err := c.Refresh(t.Context(), alice)
				if r := reason.Reason(row.later); r.Known() {
					because(t, r, err)
				} else {
					is(t, row.later, got, err)
				}
				server.saw(t, row.calls)
			})
		})
	}
}

// B76, T-D9
func TestADeadGrantIsPresentedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 50 * time.Millisecond}
		server.end("alice")
		c := &tokencache.Coordinator{Refresher: server}
		began := time.Now()
		together(1000, func(int) {
			_, err := c.Refresh(t.Context(), alice)
			because(t, reason.Refused, err)
		})
		if took := time.Since(began); took != 50*time.Millisecond {
			t.Errorf("the last one was told after %v", took)
		}
		for range 20 {
			_, err := c.Refresh(t.Context(), alice)
			because(t, reason.Refused, err)
			time.Sleep(time.Minute)
		}
		server.saw(t, 1)
	})
}

// B35
func TestAServerThatFailsIsAskedOncePerCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		c := &tokencache.Coordinator{Refresher: server, Cooldown: time.Second}
		for range 1000 {
			server.next(fails(unavailable()))
		}
		c.Refresh(t.Context(), alice)
		for i, cooldown := range []time.Duration{1, 2, 4, 8, 8, 8} {
			time.Sleep(cooldown*time.Second - time.Millisecond)
			for range 50 {
				_, err := c.Refresh(t.Context(), alice)
				because(t, reason.Unavailable, err)
			}
			server.saw(t, i+1)
			time.Sleep(time.Millisecond)
			for range 50 {
				_, err := c.Refresh(t.Context(), alice)
				because(t, reason.Unavailable, err)
			}
			server.saw(t, i+2)
		}
	})
}

// B35, B85
func TestRetryAfterPausesAllSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.next(fails(&tokencache.Error{Reason: reason.RateLimited, Status: 429, RetryAfter: 7 * time.Second}))
		c := &tokencache.Coordinator{Refresher: server}
		_, err := c.Refresh(t.Context(), alice)
		because(t, reason.RateLimited, err)
		time.Sleep(7*time.Second - time.Millisecond)
		for _, user := range []tokencache.Token{alice, bob} {
			_, err := c.Refresh(t.Context(), user)
			because(t, reason.RateLimited, err)
			var e *tokencache.Error
			if errors.As(err, &e) && e.RetryAfter != time.Millisecond {
				t.Errorf("told to come back after %v", e.RetryAfter)
			}
		}
		server.saw(t, 1)
		time.Sleep(time.Millisecond)
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
		got, err = c.Refresh(t.Context(), bob)
		is(t, "bob-access-1", got, err)
	})
}

// B35
func TestRetryAfterIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		server.next(fails(&tokencache.Error{Reason: reason.RateLimited, RetryAfter: 1000 * time.Hour}))
		c := &tokencache.Coordinator{Refresher: server}
		c.Refresh(t.Context(), alice)
		time.Sleep(5 * time.Minute)
		got, err := c.Refresh(t.Context(), alice)
		is(t, "alice-access-1", got, err)
	})
}

// B36
func TestAnAnswerThatWasLost(t *testing.T) {
	for name, row := range map[string]struct {
		first answer
		then  reason.Reason // when the token is refused; "" if it is not
	}{
		"after the exchange ends the session, as ambiguous":            {loses, reason.Ambiguous},
		"before the exchange costs one presentation":                   {hangs, ""},
		"to a broken connection is as bad":                             {after(0, losesTo(&tokencache.Error{Reason: reason.Network})), reason.Ambiguous},
		"to a gateway is as bad":                                       {losesTo(&tokencache.Error{Reason: reason.Unavailable, Status: 504}), reason.Ambiguous},
		"to a panic is as bad":                                         {losesTo(nil), reason.Ambiguous},
		"is not what a refused connection is":                          {and(fails(&tokencache.Error{Reason: reason.Network, Unsent: true}), kills), reason.Refused},
		"is not what 429 is":                                           {and(fails(&tokencache.Error{Reason: reason.RateLimited, Status: 429}), kills), reason.Refused},
		"as a page of HTML, after the exchange, ends it as ambiguous":  {losesTo(&tokencache.Error{Reason: reason.Malformed, Status: 200}), reason.Ambiguous},
		"does not become less so by a refused connection that follows": {losesTo(&tokencache.Error{Reason: reason.Network}), reason.Ambiguous},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &as{}
				server.next(row.first)
				c := &tokencache.Coordinator{Refresher: server}
				_, err := c.Refresh(t.Context(), alice)
				var e *tokencache.Error
				if !errors.As(err, &e) || e.Reason.Ends() {
					t.Fatalf("%v ends the session", err)
				}
				if strings.Contains(name, "follows") {
					time.Sleep(time.Second)
					server.next(fails(&tokencache.Error{Reason: reason.Network, Unsent: true}))
					c.Refresh(t.Context(), alice)
				}
				n := server.presentations()
				for range 5 {
					c.Refresh(t.Context(), alice)
				}
				if server.presentations() != n {
					t.Error("presented within the cooldown")
				}
				time.Sleep(10 * time.Second)
				got, err := c.Refresh(t.Context(), alice)
				if row.then == "" {
					is(t, "alice-access-1", got, err)
				} else {
					because(t, row.then, err)
				}
				if server.presentations() != n+1 {
					t.Errorf("%d presentations more", server.presentations()-n)
				}
			})
		})
	}
}

// losesTo makes the exchange, but answers with the error; with a panic if nil.
func losesTo(err error) answer {
	return func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
		a.exchange(ctx, spent)
		if err == nil {
			panic("lost")
		}
		return tokencache.Token{}, err
	}
}

// kills ends the session.
func kills(a *as, _ context.Context, spent tokencache.Token) (tokencache.Token, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end(userOf(spent))
	return tokencache.Token{}, nil
}

// and answers with the first after it did the second, too.
func and(first, second answer) answer {
	return func(a *as, ctx context.Context, spent tokencache.Token) (tokencache.Token, error) {
		second(a, ctx, spent)
		return first(a, ctx, spent)
	}
}

// B85, T-L2
func TestPresentationsAtATimeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{takes: 100 * time.Millisecond}
		c := &tokencache.Coordinator{Refresher: server}
		together(1000, func(i int) {
			_, err := c.Refresh(t.Context(), generation(fmt.Sprint("user", i), 0))
			if err != nil {
				t.Error(err)
			}
		})
		if server.most != 64 {
			t.Errorf("%d presentations at a time, want 64", server.most)
		}
		server.saw(t, 1000)
	})
}

// B85, T-L2
func TestAServerThatIsAwayForEveryoneIsNotStormed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{}
		for range 10_000 {
			server.next(after(9*time.Second, fails(unavailable())))
		}
		c := &tokencache.Coordinator{Refresher: server, MaxInFlight: 8}
		began := time.Now()
		together(10_000, func(i int) {
			_, err := c.Refresh(t.Context(), generation(fmt.Sprint("user", i), 0))
			var e *tokencache.Error
			if !errors.As(err, &e) || e.Reason != reason.Unavailable && e.Reason != reason.Overloaded {
				t.Error(err)
			}
		})
		if server.most > 8 {
			t.Errorf("%d presentations at a time, want 8", server.most)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the last one was told after %v", took)
		}
	})
}

// T-I2: what a Refresher says must not give away what it was shown.
func TestAnErrorThatQuotesATokenIsWithheld(t *testing.T) {
	for name, says := range map[string]error{
		"of its own":          fmt.Errorf("Post \"https://as/?refresh_token=%s\": EOF", alice.Refresh()),
		"in the cause":        &tokencache.Error{Reason: reason.Network, Err: errors.New("sent " + alice.Access())},
		"in the code":         &tokencache.Error{Reason: reason.Unrecognised, Status: 400, Code: alice.Refresh()},
		"around one of ours":  fmt.Errorf("%s: %w", alice.Refresh(), &tokencache.Error{Reason: reason.Network}),
		"in a code of a line": &tokencache.Error{Reason: reason.Unrecognised, Status: 400, Code: "a\r\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &as{}
			server.next(fails(says))
			var log bytes.Buffer
			c := &tokencache.Coordinator{Refresher: server, Log: slog.New(slog.NewJSONHandler(&log, nil))}
			_, err := c.Refresh(t.Context(), alice)
			for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", err, err, err, err, err), log.String()} {
				for _, secret := range []string{alice.Access(), alice.Refresh(), "\r\n"} {
					if strings.Contains(text, secret) {
						t.Errorf("%q is in %q", secret, text)
					}
				}
			}
		})
	}
}

// B18, B35: a server that is away is so for all resources.
func TestAnUnavailableServerRestsForAllResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &as{lives: time.Hour}
		server.next(fails(unavailable()))
		c := &tokencache.Coordinator{Refresher: server}
		for _, resource := range []string{files, "", mail} {
			_, err := c.Refresh(t.Context(), alice.For(resource))
			because(t, reason.Unavailable, err)
		}
		server.saw(t, 1)
		time.Sleep(time.Second)
		got, err := c.Refresh(t.Context(), alice.For(mail))
		isFor(t, mail, got, err)
	})
}
