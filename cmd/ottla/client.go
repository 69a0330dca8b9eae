package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
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
	def := []string{"127.0.0.1:9092"}
	if env := os.Getenv(bootstrapEnv); env != "" {
		def = []string{env}
	}
	cmd.PersistentFlags().StringSliceVarP(&f.bootstrap, "bootstrap", "b", def, "`host:port` of some brokers (default from "+bootstrapEnv+")")
	cmd.PersistentFlags().StringVar(&f.clientID, "client-id", "ottla-cli", "client id, as quotas and logs see it")
	cmd.PersistentFlags().DurationVar(&f.timeout, "timeout", 30*time.Second, "how long a request to the cluster may take")
}

// client connects; nothing is sent before the first request.
func (f *clientFlags) client(opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(f.bootstrap...),
		kgo.ClientID(f.clientID),
		kgo.RetryTimeout(f.timeout),
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
