package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newHealth() *cobra.Command {
	var addr string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a broker whether it serves; exit 0 if it does",
		Long: `Ask a broker for its metadata. Exit 0 means that it answered, knows itself as part of the cluster and knows a
controller: what a container's health check wants to know.`,
		Example: "  ottla health --bootstrap 127.0.0.1:9092",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := context.WithTimeout(cmd.Context(), timeout)
			defer stop()
			return checkHealth(ctx, addr)
		},
	}
	cmd.Flags().StringVarP(&addr, "bootstrap", "b", defaultBootstrap()[0], "`host:port` of the broker; "+bootstrapEnv+" has the default")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait")
	return cmd
}

func checkHealth(ctx context.Context, addr string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	answer, err := client.SeedBrokers()[0].Request(ctx, req) // of this broker, and of no other that it tells of
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", addr, err)
	}
	resp := answer.(*kmsg.MetadataResponse)
	switch {
	case len(resp.Brokers) == 0:
		return fmt.Errorf("%s knows no live broker", addr)
	case resp.ControllerID < 0:
		return fmt.Errorf("%s knows no controller", addr)
	}
	return nil
}
