package redisstore

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var errURL = errors.New("redisstore: not a URL of the form redis://user:password@host:port/db, or rediss:// for TLS")

// Open returns a Store with a Client of its own, which Close closes, too. The
// URL is redis://user:password@host:port/db, or rediss:// for TLS; more hosts
// after commas, as in redis://one:6379,two:6379, make it a Cluster. It does not
// connect. The error tells nothing of the URL, which may hold a password. The
// Client does not dial again and again: a Redis that is away is noticed at once.
// Nor does it wait for the connections of a Redis that has fallen silent one by
// one: a command that has waited in vain, for a second (read_timeout) and for half
// of one at least, ends all that are as silent. What else it may be told, such as
// max_retries, stands after a question mark; see [redis.ParseURL].
func Open(url string) (*Store, error) {
	first, others, several := strings.Cut(url, ",")
	if !several {
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, errURL
		}
		// The Coordinator's deadlines are short, and it tries again itself: a
		// Redis that refuses connections is to be known at once.
		o.ContextTimeoutEnabled, o.DialerRetries = true, 1
		if o.MaxRetries == 0 {
			o.MaxRetries = 1
		}
		o.ReadTimeout = cmp.Or(o.ReadTimeout, unanswered)
		all := new(conns)
		o.Dialer = all.dial(redis.NewDialer(o))
		return owning(redis.NewClient(o)), nil
	}
	o, err := redis.ParseClusterURL(first)
	if err != nil {
		return nil, errURL
	}
	o.ContextTimeoutEnabled, o.DialerRetries = true, 1
	for _, host := range strings.Split(others, ",") {
		if host = strings.TrimSpace(host); host == "" || strings.ContainsAny(host, "/@") {
			return nil, errURL
		}
		o.Addrs = append(o.Addrs, host)
	}
	o.ReadTimeout = cmp.Or(o.ReadTimeout, unanswered)
	all := new(conns)
	o.NewClient = func(node *redis.Options) *redis.Client {
		node.Dialer = all.dial(redis.NewDialer(node))
		return redis.NewClient(node)
	}
	return owning(redis.NewClusterClient(o)), nil
}

// unanswered is how long a command may take: a third of the usual lease.
const unanswered = time.Second

func owning(client redis.UniversalClient) *Store {
	return &Store{Client: client, owned: client}
}
