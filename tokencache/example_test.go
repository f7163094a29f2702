package tokencache_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/rebearer/rebearer/tokencache"
	"golang.org/x/sync/singleflight"
)

// One Coordinator for each authorization server serves all goroutines, also
// those whose 401 arrives when the refresh has long ended.
func ExampleCoordinator() {
	server := &as{} // in a program: one of package transport's endpoints
	coordinator := &tokencache.Coordinator{Refresher: server}
	spent := tokencache.NewToken(tokencache.TokenFields{Access: "alice-access-0", Refresh: "alice-refresh-0"})

	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			if _, err := coordinator.Refresh(context.Background(), spent); err != nil {
				log.Print(err)
			}
		})
	}
	calls.Wait()
	fmt.Println("presentations:", server.presentations())
	// Output: presentations: 1
}

// A Cache belongs to one request: it begins with what the browser showed, and
// knows at the end what the browser should be given.
func ExampleCache() {
	coordinator := &tokencache.Coordinator{Refresher: &as{}}
	shown := tokencache.NewToken(tokencache.TokenFields{Access: "alice-access-0", Refresh: "alice-refresh-0"})
	cache := tokencache.New(coordinator, shown)

	if _, err := cache.Refresh(context.Background(), shown); err != nil { // after a 401
		log.Print(err)
	}
	if t, changed := cache.Changed(); changed {
		fmt.Println("set cookies:", t.Access(), t.Refresh())
	}
	// Output: set cookies: alice-access-1 alice-refresh-1
}

// Which tokens a call is made with follows from its context.
func ExampleNewContext() {
	coordinator := &tokencache.Coordinator{Refresher: &as{}}
	shown := tokencache.NewToken(tokencache.TokenFields{Access: "alice-access-0", Refresh: "alice-refresh-0"})

	ctx := tokencache.NewContext(context.Background(), tokencache.New(coordinator, shown))
	fmt.Println(tokencache.FromContext(ctx).Token().Access())
	fmt.Println(tokencache.FromContext(context.Background()) == nil)
	// Output:
	// alice-access-0
	// true
}

// Two Coordinators for one authorization server know nothing of each other.
// Each presents the token, and the server takes the second time for theft.
// Share one; in several processes, share a Store.
func ExampleCoordinator_incorrect() {
	server := &as{}
	users := &tokencache.Coordinator{Refresher: server}
	orders := &tokencache.Coordinator{Refresher: server}
	spent := tokencache.NewToken(tokencache.TokenFields{Access: "alice-access-0", Refresh: "alice-refresh-0"})

	_, err := users.Refresh(context.Background(), spent)
	fmt.Println("users: ", err)
	_, err = orders.Refresh(context.Background(), spent)
	fmt.Println("orders:", err)
	fmt.Println("presentations:", server.presentations())
	// Output:
	// users:  <nil>
	// orders: rebearer: login required: refused (status 400, invalid_grant)
	// presentations: 2
}

// A singleflight joins calls that overlap, and forgets them when they end. A
// 401 that arrives later presents the same token again.
func Example_incorrectSingleflight() {
	server := &as{}
	spent := tokencache.NewToken(tokencache.TokenFields{Access: "alice-access-0", Refresh: "alice-refresh-0"})

	var group singleflight.Group
	refresh := func() error {
		_, err, _ := group.Do(spent.Refresh(), func() (any, error) {
			return server.Refresh(context.Background(), spent)
		})
		return err
	}
	fmt.Println("first 401:", refresh())
	fmt.Println("late 401: ", refresh())
	fmt.Println("presentations:", server.presentations())
	// Output:
	// first 401: <nil>
	// late 401:  rebearer: login required: refused (status 400, invalid_grant)
	// presentations: 2
}
