package authtest_test

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/rebearer/rebearer/authtest"
)

// A refresh token works once. Whoever shows it again, ends the session.
func Example() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	token := as.SignIn("alice")

	client := &http.Client{Transport: as.Transport()}
	for range 2 {
		resp, err := client.PostForm(as.TokenURL(), url.Values{
			"grant_type":    {"refresh_token"},
			"refresh_token": {token.Refresh()},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	c := as.Counts()
	fmt.Println(c.Presentations, "presentations,", c.Reuses, "reuse")
	// Output:
	// 200 OK
	// 400 Bad Request
	// 2 presentations, 1 reuse
}

// An answer that is lost after rotation leaves the client with a token that is
// spent, and the server with one that nobody knows.
func ExampleAfter() {
	as := authtest.NewAS(authtest.ASConfig{})
	defer as.Close()
	token := as.SignIn("alice")
	as.FailNext(1, authtest.After(authtest.Cut))

	client := &http.Client{Transport: as.Transport()}
	_, err := client.PostForm(as.TokenURL(), url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {token.Refresh()},
	})
	fmt.Println(err != nil, as.Alive(token.Refresh()), as.Counts().Refreshes)
	// Output: true false 1
}
