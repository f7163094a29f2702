package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/tokencache"
)

const (
	tabs    = 10 // of each user, each with a Cache of its own
	perTab  = 10
	posts   = 3 // every third call is a POST
	bodyLen = 2000
)

type user struct {
	name  string
	token tokencache.Token // what the browser holds
}

type demo struct {
	as          *authtest.AS
	api         *authtest.API
	coordinator *tokencache.Coordinator
	client      *client.Client
	users       []*user
}

func (d *demo) calls() int { return len(d.users) * tabs * perTab }

// scene is what was played, and what came of it.
type scene struct {
	title    string
	leavers  int           // callers that are meant to leave
	failures int           // presentations that the outage may answer, at the most
	delay    time.Duration // that the scene adds by itself, at the least

	attempts          atomic.Int64 // calls, and those that were made again
	ok, left, refused atomic.Int64 // calls by their end
	unequal           atomic.Bool  // a body came back changed
	wall              time.Duration
	as                authtest.Counts
	api               authtest.APICounts
}

// allAtOnce: the tokens are revoked, and 300 calls find out together.
func (d *demo) allAtOnce() *scene {
	s := &scene{title: "tokens revoked, all calls at once"}
	d.play(s, d.once)
	return s
}

// late: the 401s come one after the other, most of them when the refresh is
// long over. A plain singleflight refreshes once for each batch of them.
func (d *demo) late() *scene {
	const spread = 3 * time.Millisecond
	d.api.Refuse(authtest.Refusal{Spread: spread})
	defer d.api.Refuse(authtest.Refusal{})
	s := &scene{title: "the same, and 401s that arrive late", delay: time.Duration(d.calls()-1) * spread}
	d.play(s, d.once)
	return s
}

// leaver: one caller of each user leaves while the refresh is under way.
func (d *demo) leaver() *scene {
	gate := authtest.NewGate()
	d.as.FailNext(len(d.users), gate.Hold)
	s := &scene{title: "a caller leaves in mid-refresh", leavers: len(d.users)}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	var leavers sync.Map
	d.play(s, func(s *scene, of context.Context, u *user, n int) {
		if _, taken := leavers.LoadOrStore(u.name, true); !taken {
			of = tokencache.NewContext(ctx, tokencache.FromContext(of))
		}
		d.once(s, of, u, n)
	}, func() {
		for range d.users {
			<-gate.Arrived() // the refresh of each user is at the server
		}
		leave()
		gate.Open()
	})
	return s
}

// outage: the authorization server is down for a while. Nobody is logged out,
// and callers that try again are served when it is back.
func (d *demo) outage() *scene {
	d.as.Fail(authtest.Answer(503, nil, ""))
	back := time.AfterFunc(1200*time.Millisecond, func() { d.as.Fail(nil) })
	defer back.Stop()
	// The cooldown begins at 1 s and doubles: two are asked in vain, after 0
	// and 1 s, and the third after 3 s is served.
	s := &scene{title: "the server is down for 1.2 s", failures: 2 * len(d.users), delay: 3 * time.Second}
	d.play(s, d.patient)
	return s
}

type call func(s *scene, ctx context.Context, u *user, n int)

// play takes the access tokens away, makes all calls at the same time and
// counts.
func (d *demo) play(s *scene, each call, meanwhile ...func()) {
	d.as.RevokeAccess()
	d.as.ResetCounts()
	d.api.ResetCounts()
	began := time.Now()
	var all sync.WaitGroup
	for _, u := range d.users {
		var newest sync.Once
		shown := u.token
		for range tabs {
			tab := tokencache.New(d.coordinator, shown)
			ctx := tokencache.NewContext(context.Background(), tab)
			for n := range perTab {
				all.Go(func() {
					each(s, ctx, u, n)
					if t, changed := tab.Changed(); changed {
						newest.Do(func() { u.token = t }) // the browser's new cookies
					}
				})
			}
		}
	}
	for _, f := range meanwhile {
		f()
	}
	all.Wait()
	s.wall = time.Since(began)
	s.as, s.api = d.as.Counts(), d.api.Counts()
}

// once makes one call and sorts what came of it.
func (d *demo) once(s *scene, ctx context.Context, u *user, n int) {
	switch err := d.call(s, ctx, u, n); {
	case err == nil:
		s.ok.Add(1)
	case errors.Is(err, context.Canceled):
		s.left.Add(1)
	default:
		s.refused.Add(1)
	}
}

// patient calls again until it is served, as a browser would after a 503.
func (d *demo) patient(s *scene, ctx context.Context, u *user, n int) {
	for range 100 {
		err := d.call(s, ctx, u, n)
		if err == nil {
			s.ok.Add(1)
			return
		}
		if errors.Is(err, tokencache.ErrLoginRequired) {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.refused.Add(1)
}

// call gets something, or posts something and looks whether all of it arrived.
func (d *demo) call(s *scene, ctx context.Context, u *user, n int) error {
	s.attempts.Add(1)
	r := d.client.R(ctx).SetHeader(authtest.UserHeader, u.name)
	if n%posts != 0 {
		_, err := r.Get("/items/" + fmt.Sprint(n))
		return err
	}
	body := strings.Repeat(u.name+" ", bodyLen)
	resp, err := r.SetBody(body).Post("/comments")
	if err == nil && string(resp.Body()) != body {
		s.unequal.Store(true)
	}
	return err
}

// measure returns what a call takes for somebody who is alone: one that fails,
// one refresh, one that is served.
func (d *demo) measure() (time.Duration, error) {
	token := d.as.SignIn("somebody alone")
	d.as.RevokeAccess()
	ctx := tokencache.NewContext(context.Background(), tokencache.New(d.coordinator, token))
	began := time.Now()
	_, err := d.client.R(ctx).Get("/items/0")
	return time.Since(began), err
}
