//go:build unix

package redisd

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cluster is a Redis Cluster.
type Cluster struct {
	t     testing.TB
	Nodes []*Server
}

const slots = 16384

// StartCluster starts a Cluster of so many masters, each with so many replicas.
func StartCluster(t testing.TB, masters, replicas int) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for range masters * (1 + replicas) {
		c.Nodes = append(c.Nodes, Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
			"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"))
	}
	first := c.Nodes[0]
	for i, n := range c.Nodes {
		n.Must("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		if i > 0 {
			first.Must("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(n.port))
		}
		if i < masters {
			n.Must("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/masters), strconv.Itoa(slots*(i+1)/masters-1))
		}
	}
	for i, n := range c.Nodes[masters:] {
		of := c.Nodes[i%masters].Must("CLUSTER", "MYID").(string)
		c.until("the nodes know each other", func() bool {
			_, err := n.Do("CLUSTER", "REPLICATE", of)
			return err == nil
		})
	}
	c.until("the cluster is whole", func() bool {
		for _, n := range c.Nodes {
			info, _ := n.Do("CLUSTER", "INFO")
			nodes, _ := n.Do("CLUSTER", "NODES")
			role, _ := n.Do("INFO", "replication")
			replica := strings.Contains(fmt.Sprint(role), "role:slave")
			if !strings.Contains(fmt.Sprint(info), "cluster_state:ok") || strings.Count(fmt.Sprint(nodes), "slave") != masters*replicas ||
				replica && !strings.Contains(fmt.Sprint(role), "master_link_status:up") {
				return false
			}
		}
		return true
	})
	return c
}

func (c *Cluster) until(what string, is func() bool) {
	c.t.Helper()
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	c.t.Fatalf("it did not come to pass that %s", what)
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() (addrs []string) {
	for _, n := range c.Nodes {
		addrs = append(addrs, n.Addr())
	}
	return addrs
}

// MasterOf returns the node that has the key.
func (c *Cluster) MasterOf(key string) *Server {
	c.t.Helper()
	for _, n := range c.Nodes {
		role, err := n.Do("ROLE")
		if err != nil || role.([]any)[0] != "master" {
			continue
		}
		if _, err := n.Do("GET", key); err == nil || !strings.HasPrefix(err.Error(), "MOVED") {
			return n
		}
	}
	c.t.Fatalf("nobody has the key %q", key)
	return nil
}

// Failover kills the node and returns when another has taken its place.
func (c *Cluster) Failover(n *Server) {
	c.t.Helper()
	port := fmt.Sprintf("127.0.0.1:%d@", n.port)
	n.Kill()
	c.until("a replica is promoted", func() bool {
		for _, other := range c.Nodes {
			if other == n {
				continue
			}
			info, _ := other.Do("CLUSTER", "INFO")
			nodes, _ := other.Do("CLUSTER", "NODES")
			for line := range strings.Lines(fmt.Sprint(nodes)) {
				if strings.Contains(line, port) && len(strings.Fields(line)) > 8 {
					return false // it still has slots
				}
			}
			if !strings.Contains(fmt.Sprint(info), "cluster_state:ok") {
				return false
			}
		}
		return true
	})
}
