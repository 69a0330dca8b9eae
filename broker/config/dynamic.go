package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Dynamic is the configuration of a running broker: the static one with the two dynamic layers of KIP-226. Snapshot may be called from
// anywhere at any rate; the setters are called by whoever watches the metadata store.
type Dynamic struct {
	current atomic.Pointer[Snapshot]

	mu       sync.Mutex // serialises changes and their listeners
	static   *Static
	watchers map[int]func(before, after *Snapshot)
	next     int
}

// NewDynamic starts with empty dynamic layers.
func NewDynamic(static *Static) *Dynamic {
	d := &Dynamic{static: static, watchers: map[int]func(_, _ *Snapshot){}}
	d.current.Store(static.snapshot)
	return d
}

// Snapshot is the configuration as it is now.
func (d *Dynamic) Snapshot() *Snapshot { return d.current.Load() }

// Static is the configuration that the broker was started with.
func (d *Dynamic) Static() *Static { return d.static }

// OnChange has f called after each change, from the goroutine that made it, in order. f must not change d.
func (d *Dynamic) OnChange(f func(before, after *Snapshot)) (cancel func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.next
	d.next++
	d.watchers[id] = f
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, id)
	}
}

// SetDefault replaces the cluster's dynamic defaults by what the metadata store holds. Entries that cannot count are left out and
// returned in the error; if the rest contradicts itself nothing changes.
func (d *Dynamic) SetDefault(props map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, errs := usable(props, false)
	return d.set(kept, d.Snapshot().dynamicBroker, errs)
}

// SetBroker replaces this broker's dynamic configs, by the rules of SetDefault.
func (d *Dynamic) SetBroker(props map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, errs := usable(props, true)
	return d.set(d.Snapshot().dynamicDefault, kept, errs)
}

func (d *Dynamic) set(dynamicDefault, dynamicBroker map[string]string, errs []error) error {
	before := d.Snapshot()
	after, problems := assemble(before.static, dynamicDefault, dynamicBroker)
	if len(problems) > 0 {
		return fmt.Errorf("dynamic configs not applied: %w", errors.Join(append(errs, problems...)...))
	}
	if maps.Equal(before.dynamicDefault, dynamicDefault) && maps.Equal(before.dynamicBroker, dynamicBroker) {
		return errors.Join(errs...)
	}
	d.current.Store(after)
	for _, id := range slices.Sorted(maps.Keys(d.watchers)) {
		d.watchers[id](before, after)
	}
	return errors.Join(errs...)
}

// usable leaves out what must not be in a dynamic layer (DynamicBrokerConfig.fromPersistentProps).
func usable(props map[string]string, perBroker bool) (map[string]string, []error) {
	kept := make(map[string]string, len(props))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(props)) {
		err := ValidateDynamicBroker(name, props[name], perBroker)
		if err != nil {
			errs = append(errs, fmt.Errorf("dynamic config %s is ignored: %w", name, err))
			continue
		}
		kept[name] = props[name]
	}
	return kept, errs
}

// ValidateDynamicBroker checks one dynamic broker config by itself (DynamicBrokerConfig.validateConfigs). Errors carry INVALID_REQUEST,
// which is Kafka's code here, or INVALID_CONFIG for what is not served yet.
func ValidateDynamicBroker(name, value string, perBroker bool) error {
	return validateDynamic(map[string]string{name: value}, perBroker)
}

// clusterListenerKeys may be set for a listener on all brokers.
var clusterListenerKeys = []string{"max.connections", "max.connection.creation.rate", "num.network.threads"}

// securityKeys may be set dynamically only for one listener (SslConfigs.RECONFIGURABLE_CONFIGS).
var securityKeys = []string{"ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.password", "ssl.key.password",
	"ssl.truststore.type", "ssl.truststore.location", "ssl.truststore.password",
	"ssl.keystore.certificate.chain", "ssl.keystore.key", "ssl.truststore.certificates"}

func validateDynamic(props map[string]string, perBroker bool) error {
	names := slices.Sorted(maps.Keys(props))
	which := func(keep func(name string) bool) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !keep(n) })
	}
	if bad := which(func(n string) bool {
		d := brokerKeys.get(n)
		return d != nil && d.Mode == ReadOnly
	}); len(bad) > 0 {
		return refuse(kerr.InvalidRequest, "Cannot update these configs dynamically: %s", javaSet(bad))
	}
	if bad := which(func(n string) bool { return slices.Contains(securityKeys, n) }); len(bad) > 0 {
		return refuse(kerr.InvalidRequest, "These security configs can be dynamically updated only per-listener using the listener prefix: Hash%s", javaSet(bad))
	}
	for _, n := range names {
		d := brokerKeys.get(n)
		if d == nil {
			d = baseOf(n)
		}
		if d == nil {
			continue // anything may be stored under a name that the broker does not know
		}
		v, err := d.parse(props[n])
		if err != nil {
			return refuse(kerr.InvalidRequest, "%s", err)
		}
		if d.refused(v) {
			return refuse(kerr.InvalidConfig, "%s", strings.Replace(laterText(d, props[n]), d.Name, n, 1))
		}
	}
	if perBroker {
		return nil
	}
	if bad := which(func(n string) bool {
		if base, ok := cutListener(n); ok {
			return !slices.Contains(clusterListenerKeys, base)
		}
		d := brokerKeys.get(n)
		return d != nil && d.Mode == PerBroker
	}); len(bad) > 0 {
		return refuse(kerr.InvalidRequest, "Cannot update these configs at default cluster level, broker id must be specified: %s", javaSet(bad))
	}
	return nil
}

// refused says whether the broker does not serve v: another value than the default of a key marked Later.
func (d *Def) refused(v any) bool {
	return d.Mark == Later && format(v) != d.Default
}
