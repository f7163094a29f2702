//go:build unix

package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"golang.org/x/oauth2"
	kube "k8s.io/client-go/transport"
)

// newOAuth2 is an oauth2.Transport with its ReuseTokenSource: it refreshes ten
// seconds before the end that it was told, and passes 401s on.
func newOAuth2(s site) func(pair) page {
	config := &oauth2.Config{ClientID: "bff", Endpoint: oauth2.Endpoint{TokenURL: s.token, AuthStyle: oauth2.AuthStyleInParams}}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: s.base})
	return func(p pair) page {
		source := config.TokenSource(ctx, &oauth2.Token{AccessToken: p.Access, RefreshToken: p.Refresh, Expiry: p.Expiry})
		client := &http.Client{Transport: &oauth2.Transport{Source: source, Base: s.base}}
		return func(ctx context.Context) (int, error) { return get(ctx, client, s.me, "") }
	}
}

// source gives out the tokens of the cookies once, unless they have ended, and
// makes an exchange each time that it is asked again. Those who ask keep what they
// were given, so that they ask when they want another one.
type source struct {
	site

	mu    sync.Mutex
	now   pair
	given bool
}

func (s *source) next(ctx context.Context) (pair, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.given {
		s.given = true
		if s.now.Expiry.After(time.Now()) {
			return s.now, nil
		}
	}
	next, err := s.exchange(ctx, s.now.Refresh)
	if err == nil {
		s.now = next
	}
	return next, err
}

// Token implements oauth2.TokenSource.
func (s *source) Token() (*oauth2.Token, error) {
	p, err := s.next(context.Background())
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: p.Access, Expiry: p.Expiry}, nil
}

// GetToken implements azcore.TokenCredential.
func (s *source) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	p, err := s.next(context.WithoutCancel(ctx))
	return azcore.AccessToken{Token: p.Access, ExpiresOn: p.Expiry}, err
}

// newClientGo is the round tripper behind NewBearerAuthWithRefreshRoundTripper,
// which reads its token from a file that somebody else writes. Here its token
// comes of an exchange. It drops a token that was rejected, and passes the 401 on.
func newClientGo(s site) func(pair) page {
	return func(p pair) page {
		cached := kube.NewCachedTokenSource(&source{site: s, now: p})
		client := &http.Client{Transport: kube.ResettableTokenSourceWrapTransport(cached)(s.base)}
		return func(ctx context.Context) (int, error) { return get(ctx, client, s.me, "") }
	}
}

// newAzcore is a pipeline with a BearerTokenPolicy that answers challenges by
// authorizing anew, as its documentation has it, and without retries that would
// only wait.
func newAzcore(s site) func(pair) page {
	return func(p pair) page {
		scopes := []string{"api"}
		bearer := runtime.NewBearerTokenPolicy(&source{site: s, now: p}, scopes, &policy.BearerTokenOptions{
			InsecureAllowCredentialWithHTTP: true, // loopback
			AuthorizationHandler: policy.AuthorizationHandler{
				OnChallenge: func(_ *policy.Request, resp *http.Response, authorize func(policy.TokenRequestOptions) error) error {
					if err := finish(resp); err != nil {
						return err
					}
					return authorize(policy.TokenRequestOptions{Scopes: scopes})
				},
			},
		})
		pipeline := runtime.NewPipeline("storm", "v1.0.0", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}},
			&policy.ClientOptions{
				Transport: &http.Client{Transport: s.base},
				Retry:     policy.RetryOptions{MaxRetries: -1},
				Telemetry: policy.TelemetryOptions{Disabled: true},
			})
		return func(ctx context.Context) (int, error) {
			req, err := runtime.NewRequest(ctx, http.MethodGet, s.me)
			if err != nil {
				return 0, err
			}
			runtime.SkipBodyDownload(req)
			resp, err := pipeline.Do(req)
			if err != nil {
				return 0, err
			}
			return resp.StatusCode, finish(resp)
		}
	}
}
