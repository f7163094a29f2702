// Package redisstore is a [tokencache.Store] on Redis (7.0 or later) or Valkey,
// for a BFF that runs as several replicas:
//
//	store := &redisstore.Store{Client: redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})}
//	defer store.Close()
//	coordinator := &tokencache.Coordinator{
//		Refresher: endpoint,
//		Store:     store,
//		Realm:     "https://as.example.com my-client",
//	}
//
// The Client may be one for a single node, for Sentinel or for a Cluster: each
// operation touches one key. Requests whose access token works send no command
// to Redis; a refresh takes about one from each replica that wants its outcome,
// and the replicas that wait are told it by one message.
//
// What Redis holds is sealed with the refresh token that was spent, and so are
// the messages: a copy of it opens nothing. Every key has a time to live.
//
// # What Redis must be told
//
// Set maxmemory-policy to noeviction: a Redis that evicts the note that a token
// is being presented lets it be presented twice. Replication of Redis is
// asynchronous, so that a failover may lose what was acknowledged, and a
// successor with it; WaitReplicas shrinks that. A user of Redis with an ACL
// needs SET, GET, EVALSHA, EVAL, DEL, PUBLISH, SUBSCRIBE and PING, and with
// WaitReplicas PEXPIRE and WAIT, for the keys and channels that begin with the
// Prefix. In a Cluster the client asks for its topology, too.
//
// The client writes lines of its own to stderr while Redis cannot be reached;
// they hold addresses. [redis.SetLogger] sends them elsewhere, for the whole
// program. It dials five times for each command unless DialerRetries says
// otherwise, which makes an outage slow to notice; [Open] has it dial once.
//
// docs/replicas.md says what is promised when a replica or Redis dies, and at
// which point.
package redisstore
