package dpop_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/rebearer/rebearer/tokencache"
	"github.com/rebearer/rebearer/transport"
	"github.com/rebearer/rebearer/transport/dpop"
)

// A user signs in: the code is bound to a new key, and so are the tokens that it
// is redeemed for.
func ExampleProver() {
	as := exampleAS()
	defer as.Close()
	prover := &dpop.Prover{} // one for the program

	// The user is sent to the authorization server. The key waits with the
	// state and the code verifier, in a cookie that is sealed or on the server.
	key, err := prover.NewKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	jkt, err := dpop.Thumbprint(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	login := as.URL + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"bff"}, "dpop_jkt": {jkt}, // and state, code_challenge, …
	}.Encode()
	fmt.Println(strings.Contains(login, "dpop_jkt="))

	// The user comes back with a code. With golang.org/x/oauth2:
	//
	//	ctx = context.WithValue(ctx, oauth2.HTTPClient, prover.Client(key, nil))
	//	tok, err := config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	client := prover.Client(key, nil)
	defer client.CloseIdleConnections()
	resp, err := client.PostForm(as.URL+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {"c"}, "client_id": {"bff"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))

	// The session's tokens go with the key, and these prove it from now on.
	token := tokencache.NewToken(tokencache.TokenFields{Access: "a", Refresh: "r", Type: "DPoP", Key: key})
	_ = &transport.TokenEndpoint{URL: as.URL + "/token", ClientID: "bff", DPoP: prover}
	_ = &transport.Transport{Origins: []string{"https://api.example.com"}, DPoP: prover}
	fmt.Println(token.Type())
	// Output:
	// true
	// 200 {"access_token":"a","refresh_token":"r","token_type":"DPoP"}
	// DPoP
}

// exampleAS is an authorization server that wants its nonce in the proof.
func exampleAS() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("DPoP-Nonce", "n")
		if got, err := read(r.Header); err != nil || got.nonce != "n" {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"use_dpop_nonce"}`)
			return
		}
		io.WriteString(w, `{"access_token":"a","refresh_token":"r","token_type":"DPoP"}`)
	}))
}
