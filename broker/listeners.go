package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"ottla/wire"
)

// listener is a bound listener with what clients are told of it.
type listener struct {
	net.Listener
	name       string
	protocol   string
	advertised endpoint
}

type endpoint struct {
	Host string
	Port int32
}

// bind opens all listeners. Connections wait in the backlog until serve.
func (b *Broker) bind(ctx context.Context) error {
	s := b.cfg.Snapshot()
	listen := b.opts.Listen
	if listen == nil {
		listen = b.server.Listen
	}
	advertised := s.Advertised()
	for _, l := range s.Listeners() {
		if l.Protocol != "PLAINTEXT" {
			return fmt.Errorf("listeners: %s has security protocol %s, and this broker serves PLAINTEXT only", l.Name, l.Protocol)
		}
		nl, err := listen(ctx, l.Address())
		if err != nil {
			return fmt.Errorf("listeners: %s: %w", l.Name, err)
		}
		bound := &listener{Listener: nl, name: l.Name, protocol: l.Protocol}
		b.listeners = append(b.listeners, bound)
		port := int32(nl.Addr().(*net.TCPAddr).Port)
		for _, a := range advertised {
			if a.Name != l.Name {
				continue
			}
			bound.advertised = endpoint{Host: a.Host, Port: a.Port}
			if a.Port == 0 {
				bound.advertised.Port = port
			}
			if a.Host == "" {
				if bound.advertised.Host, err = os.Hostname(); err != nil {
					return fmt.Errorf("listeners: %s has no host, and this machine's name is not known: %w", l.Name, err)
				}
			}
		}
	}
	return nil
}

// serve starts to process requests on all listeners. The inter-broker listener is spared the limits only if clients have another one
// (SocketServer.ConnectionQuotas.protectedListener).
func (b *Broker) serve() {
	inter := b.cfg.Snapshot().InterBroker().Name
	for _, l := range b.listeners {
		privileged := l.name == inter && len(b.listeners) > 1
		b.wg.Go(func() {
			if err := b.server.Serve(l, wire.ListenerConfig{Name: l.name, Privileged: privileged}); err != nil && !errors.Is(err, wire.ErrServerClosed) {
				b.fail(fmt.Errorf("listener %s: %w", l.name, err))
			}
		})
	}
}

// writePortsFile says which address each listener has, in one atomic step, so that a reader never sees half of it.
func writePortsFile(path string, listeners []*listener) error {
	if path == "" {
		return nil
	}
	var text strings.Builder
	for _, l := range listeners {
		fmt.Fprintf(&text, "%s %s\n", l.name, l.Addr())
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := os.WriteFile(tmp, []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("--ports-file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("--ports-file: %w", err)
	}
	return nil
}

func listenerTexts(listeners []*listener) []string {
	var texts []string
	for _, l := range listeners {
		texts = append(texts, l.name+"://"+l.Addr().String())
	}
	return texts
}
