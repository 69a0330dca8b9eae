package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bootstrapEnv names brokers for all commands that take no --bootstrap.
const bootstrapEnv = "OTTLA_BOOTSTRAP"

// clientFlags are those of every command that talks to a cluster.
type clientFlags struct {
	bootstrap []string
	clientID  string
	timeout   time.Duration
}

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringSliceVarP(&f.bootstrap, "bootstrap", "b", defaultBootstrap(), "`host:port` of some brokers; "+bootstrapEnv+" has the default")
	cmd.PersistentFlags().StringVar(&f.clientID, "client-id", "ottla-cli", "client id, as quotas and logs see it")
	cmd.PersistentFlags().DurationVar(&f.timeout, "timeout", 30*time.Second, "how long a request to the cluster may take")
}

func defaultBootstrap() []string {
	if env := os.Getenv(bootstrapEnv); env != "" {
		return strings.Split(env, ",")
	}
	return []string{"127.0.0.1:9092"}
}

// client connects; nothing is sent before the first request.
func (f *clientFlags) client(opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(f.bootstrap...),
		kgo.ClientID(f.clientID),
		kgo.RetryTimeout(f.timeout),
		kgo.MetadataMinAge(250 * time.Millisecond), // a topic that was just made is seen soon
		kgo.DialTimeout(min(f.timeout, 10*time.Second)),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", f.bootstrap, err)
	}
	return client, nil
}

func (f *clientFlags) admin() (*kadm.Client, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(int32(f.timeout.Milliseconds()))
	return admin, nil
}

// retry repeats a request whose answer is that it may be repeated: the first about groups makes brokers create the topic for them.
func retry[T any](ctx context.Context, f *clientFlags, request func() (T, error)) (T, error) {
	ctx, stop := context.WithTimeout(ctx, f.timeout)
	defer stop()
	for {
		v, err := request()
		var code *kerr.Error
		// The library does not call CONCURRENT_TRANSACTIONS retriable, yet it lasts only until markers are written.
		if !errors.As(err, &code) || !code.Retriable && code != kerr.ConcurrentTransactions {
			return v, err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return v, err
		}
	}
}

const retryPause = 100 * time.Millisecond
