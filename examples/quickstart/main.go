// Command quickstart shows what rebearer does, and checks that it does it: it
// starts an authorization server and an API in this process, signs in three
// users, takes their access tokens away and makes 300 calls over one client.
//
// It exits with 0 only if every figure is right.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rebearer/rebearer/authtest"
	"github.com/rebearer/rebearer/client"
	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "\nquickstart:", err)
		os.Exit(1)
	}
	fmt.Println("\nEvery figure is right: each session was refreshed once, and none was lost.")
}

func run() error {
	// The other side: an authorization server that ends the session when a
	// refresh token is presented twice, and an API that believes it.
	as := authtest.NewAS(authtest.ASConfig{
		ClientAuth: authtest.ClientSecretBasic, ClientID: "bff", ClientSecret: "quickstart secret",
		Delay: 100 * time.Millisecond,
	})
	defer as.Close()
	api := as.NewAPI()
	defer api.Close()

	// What a program sets up once. The Coordinator is shared by all users,
	// and so is the client: whose call it is follows from the context.
	endpoint := &transport.TokenEndpoint{
		URL: as.TokenURL(), RevocationURL: as.RevokeURL(),
		ClientID: "bff", ClientSecret: "quickstart secret",
	}
	coordinator := &tokencache.Coordinator{Refresher: endpoint, Revoker: endpoint}
	calls := client.New(api.URL, &transport.Transport{Origins: []string{api.URL}})

	d := &demo{as: as, api: api, coordinator: coordinator, client: calls}
	for _, name := range []string{"ada", "grace", "barbara"} {
		d.users = append(d.users, &user{name: name, token: as.SignIn(name)})
	}
	fmt.Printf("%d users, %d calls, one client. The authorization server takes 100 ms, and a token that is presented\n"+
		"twice for theft. Ideal is what one call takes that fails, refreshes and is sent again.\n\n", len(d.users), d.calls())
	ideal, err := d.measure()
	if err != nil {
		return err
	}
	fmt.Print(heading)
	for _, play := range []func() *scene{d.allAtOnce, d.late, d.leaver, d.outage} {
		s := play()
		fmt.Println(s.row(ideal))
		if wrong := d.wrong(s); len(wrong) > 0 {
			return fmt.Errorf("%s: %s", s.title, strings.Join(wrong, "; "))
		}
	}
	// A real end: the sessions are revoked, and no late answer revives them.
	for _, u := range d.users {
		if err := coordinator.Revoke(context.Background(), u.token); err != nil {
			return err
		}
		if _, err := coordinator.Refresh(context.Background(), u.token); !errors.Is(err, tokencache.ErrLoginRequired) {
			return fmt.Errorf("%s is signed out and yet: %v", u.name, err)
		}
	}
	return coordinator.Wait(context.Background())
}
