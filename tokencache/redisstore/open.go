package redisstore

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

var errURL = errors.New("redisstore: not a URL of the form redis://user:password@host:port/db, or rediss:// for TLS")

// Open returns a Store with a Client of its own, which Close closes, too. The
// URL is redis://user:password@host:port/db, or rediss:// for TLS; more hosts
// after commas, as in redis://one:6379,two:6379, make it a Cluster. It does not
// connect. The error tells nothing of the URL, which may hold a password.
func Open(url string) (*Store, error) {
	first, others, several := strings.Cut(url, ",")
	if !several {
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, errURL
		}
		return owning(redis.NewClient(o)), nil
	}
	o, err := redis.ParseClusterURL(first)
	if err != nil {
		return nil, errURL
	}
	for _, host := range strings.Split(others, ",") {
		if host = strings.TrimSpace(host); host == "" || strings.ContainsAny(host, "/@") {
			return nil, errURL
		}
		o.Addrs = append(o.Addrs, host)
	}
	return owning(redis.NewClusterClient(o)), nil
}

func owning(client redis.UniversalClient) *Store {
	return &Store{Client: client, owned: client}
}
