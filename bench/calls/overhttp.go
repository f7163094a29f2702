package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
)

// builder is http.NewRequestWithContext, or what takes its place.
type builder func(ctx context.Context, method, url string, body io.Reader) (*http.Request, error)

// overHTTP is the door of who has an http.Client. All of them do the same with
// it, the best that one can write by hand.
func overHTTP(url string, rt http.RoundTripper, build builder) *door {
	c := &http.Client{Transport: rt}
	url += path
	return &door{
		trip:  rt,
		build: build,
		get: func(ctx context.Context) error {
			req, err := build(ctx, "GET", url, nil)
			if err != nil {
				return err
			}
			_, err = read(c.Do(req))
			return err
		},
		accept: func(ctx context.Context) error {
			req, err := build(ctx, "GET", url, nil)
			if err != nil {
				return err
			}
			req.Header.Set("Accept", "application/json")
			_, err = read(c.Do(req))
			return err
		},
		fetch: func(ctx context.Context, p *profile) error {
			req, err := build(ctx, "GET", url, nil)
			if err != nil {
				return err
			}
			req.Header.Set("Accept", "application/json")
			text, err := read(c.Do(req))
			if err != nil {
				return err
			}
			return json.Unmarshal(text, p)
		},
		create: func(ctx context.Context, p *profile) error {
			text, err := json.Marshal(p)
			if err != nil {
				return err
			}
			return post(ctx, c, build, url, "application/json", text)
		},
		upload: func(ctx context.Context, file []byte) error {
			return post(ctx, c, build, url, "application/octet-stream", file)
		},
	}
}

func post(ctx context.Context, c *http.Client, build builder, url, kind string, text []byte) error {
	req, err := build(ctx, "POST", url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", kind)
	_, err = read(c.Do(req))
	return err
}

// read returns the body of an answer whose status is 200.
func read(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text := make([]byte, resp.ContentLength)
	if _, err := io.ReadFull(resp.Body, text); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errStatus
	}
	return text, nil
}
