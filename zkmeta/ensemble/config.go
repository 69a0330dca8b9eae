package ensemble

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"ottla/zkmeta"
)

// Config of an ensemble.
type Config struct {
	Servers []string // host:port
	Chroot  string   // "" or "/a/b"; created when missing
	// SessionTimeout is zookeeper.session.timeout.ms; the server clamps it. Default 18 s.
	SessionTimeout time.Duration
	// MaxInFlight is zookeeper.max.in.flight.requests. Default 10.
	MaxInFlight int
	// TLS, if set, is used for every connection; an empty ServerName becomes the server's host.
	TLS *tls.Config
	// Auth is submitted before anything else, for example {"digest", "user:password"}.
	Auth []Auth
	// SecureACLs is zookeeper.set.acl: nodes get Kafka's restricted ACLs.
	SecureACLs bool
	// Dial replaces the plain TCP dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// OnState is told each change of a session's state, from one goroutine per session; it must not block.
	OnState func(session int64, state State)
	// OnRequest is told how long each answered request took.
	OnRequest func(time.Duration)
	Log       zerolog.Logger
}

// Auth is one authentication of a session.
type Auth struct {
	Scheme string // digest
	Data   string // user:password; never logged
}

// State of a session.
type State int

const (
	Connecting   State = iota // no session yet
	Connected                 // a server answers
	Disconnected              // no connection, the session may live
	Silent                    // nothing heard for a session timeout
	Expired                   // the server ended the session, or Close did
)

func (s State) String() string {
	return [...]string{"connecting", "connected", "disconnected", "silent", "expired"}[s]
}

const (
	defaultSessionTimeout = 18 * time.Second
	defaultMaxInFlight    = 10
	defaultPort           = "2181"
	// maxRequestBytes is the jute.maxbuffer of Kafka's client. A server with its default accepts 1 MiB
	// less one byte and closes the connection on anything larger.
	maxRequestBytes = 4 << 20
	// maxResponseBytes bounds what a server can make us allocate.
	maxResponseBytes = 64 << 20
)

// ParseConnect splits zookeeper.connect: host:port pairs separated by commas, and an optional chroot
// after the last one.
func ParseConnect(connect string) (servers []string, chroot string, err error) {
	hosts := connect
	if i := strings.IndexByte(connect, '/'); i >= 0 {
		hosts, chroot = connect[:i], strings.TrimRight(strings.TrimSpace(connect[i:]), "/")
		if chroot != "" {
			if err := zkmeta.ValidatePath(chroot, false); err != nil {
				return nil, "", fmt.Errorf("zookeeper.connect %q: chroot: %w", connect, err)
			}
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		host = strings.TrimSpace(host)
		if host == "" {
			continue
		}
		server, err := withPort(host)
		if err != nil {
			return nil, "", fmt.Errorf("zookeeper.connect %q: %w", connect, err)
		}
		servers = append(servers, server)
	}
	if len(servers) == 0 {
		return nil, "", fmt.Errorf("zookeeper.connect %q names no server", connect)
	}
	return servers, chroot, nil
}

func withPort(host string) (string, error) {
	if h, p, err := net.SplitHostPort(host); err == nil {
		if h == "" || p == "" {
			return "", fmt.Errorf("%q is not host:port", host)
		}
		return net.JoinHostPort(h, p), nil
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if bare == "" || strings.ContainsAny(bare, "[]") || strings.Contains(bare, ":") && net.ParseIP(bare) == nil {
		return "", fmt.Errorf("%q is not host:port", host)
	}
	return net.JoinHostPort(bare, defaultPort), nil
}

// prepare checks the configuration and fills in the defaults.
func (c *Config) prepare() error {
	if len(c.Servers) == 0 {
		return fmt.Errorf("zookeeper: no servers")
	}
	servers := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		var err error
		if servers[i], err = withPort(s); err != nil {
			return fmt.Errorf("zookeeper: server %w", err)
		}
	}
	c.Servers = servers
	if c.Chroot == "/" {
		c.Chroot = ""
	}
	if c.Chroot != "" {
		if err := zkmeta.ValidatePath(c.Chroot, false); err != nil {
			return fmt.Errorf("zookeeper: chroot: %w", err)
		}
	}
	if c.SessionTimeout <= 0 {
		c.SessionTimeout = defaultSessionTimeout
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = defaultMaxInFlight
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return nil
}
