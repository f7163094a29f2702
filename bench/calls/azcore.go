package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
)

// azcoreBearer is a Pipeline with a BearerTokenPolicy, for one user. Telemetry is
// off and nothing is retried; the other policies are always there. The answer
// to a challenge that asks for a new token is the same as for the first.
var azcoreBearer = contender{name: "azcore, BearerTokenPolicy", renews: replays, open: func(s *site) *door {
	scopes := []string{"api"}
	bearer := runtime.NewBearerTokenPolicy(&credential{user: s.user}, scopes, &policy.BearerTokenOptions{
		InsecureAllowCredentialWithHTTP: true,
		AuthorizationHandler: policy.AuthorizationHandler{
			OnChallenge: func(_ *policy.Request, _ *http.Response, authorize func(policy.TokenRequestOptions) error) error {
				return authorize(policy.TokenRequestOptions{Scopes: scopes})
			},
		},
	})
	pipeline := runtime.NewPipeline("bench", "v1", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, &policy.ClientOptions{
		Transport: &http.Client{Transport: s.base},
		Telemetry: policy.TelemetryOptions{Disabled: true},
		Retry:     policy.RetryOptions{MaxRetries: -1},
	})
	p := azcorePipeline{pipeline, s.url + path}
	return &door{get: p.get, accept: p.accept, fetch: p.fetch, create: p.create, upload: p.upload}
}}

type azcorePipeline struct {
	runtime.Pipeline
	url string
}

func (p azcorePipeline) get(ctx context.Context) error {
	req, err := runtime.NewRequest(ctx, "GET", p.url)
	if err != nil {
		return err
	}
	_, err = p.do(req)
	return err
}

func (p azcorePipeline) accept(ctx context.Context) error {
	req, err := p.newRequest(ctx, "GET")
	if err == nil {
		_, err = p.do(req)
	}
	return err
}

// newRequest returns a request with an Accept header.
func (p azcorePipeline) newRequest(ctx context.Context, method string) (*policy.Request, error) {
	req, err := runtime.NewRequest(ctx, method, p.url)
	if err == nil {
		req.Raw().Header.Set("Accept", "application/json")
	}
	return req, err
}

func (p azcorePipeline) fetch(ctx context.Context, into *profile) error {
	req, err := p.newRequest(ctx, "GET")
	if err != nil {
		return err
	}
	text, err := p.do(req)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (p azcorePipeline) create(ctx context.Context, from *profile) error {
	req, err := p.newRequest(ctx, "POST")
	if err == nil {
		err = runtime.MarshalAsJSON(req, from)
	}
	if err == nil {
		_, err = p.do(req)
	}
	return err
}

func (p azcorePipeline) upload(ctx context.Context, file []byte) error {
	req, err := p.newRequest(ctx, "POST")
	if err == nil {
		err = req.SetBody(streaming.NopCloser(bytes.NewReader(file)), "application/octet-stream")
	}
	if err == nil {
		_, err = p.do(req)
	}
	return err
}

// do returns what the pipeline has read of the answer.
func (p azcorePipeline) do(req *policy.Request) ([]byte, error) {
	resp, err := p.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errStatus
	}
	return runtime.Payload(resp)
}

// credential has the first token once, and then what the exchange brings. The
// policy keeps it.
type credential struct {
	user *user
	had  atomic.Bool
}

func (c *credential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	access, err := c.user.first, error(nil)
	if c.had.Swap(true) {
		access, err = c.user.exchange(ctx)
	}
	return azcore.AccessToken{Token: access, ExpiresOn: time.Now().Add(life)}, err
}
