package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ottla/broker"
	"ottla/broker/config"
	"ottla/broker/logging"
)

// stopTimeout is how long a clean stop may wait for others: requests in flight, the controller.
const stopTimeout = 30 * time.Second

type brokerFlags struct {
	file      string
	sets      []string
	check     bool
	adopt     bool
	portsFile string
	logLevel  string
	logFormat string
}

func newBroker() *cobra.Command {
	var f brokerFlags
	cmd := &cobra.Command{
		Use:   "broker [-c server.properties] [--set key=value]...",
		Short: "Run a broker",
		Long: `Run a broker. Without zookeeper.connect it is standalone: topics and their state are kept in the first log directory.

Configuration comes, the later winning, from Kafka's defaults, the file (properties, YAML, TOML or JSON), the environment
(KAFKA_LOG_DIRS for log.dirs, as container images have it) and --set. See "ottla config explain".

SIGTERM and SIGINT stop it cleanly; another SIGINT, a second later or more, at once.`,
		Example: `  ottla broker
  ottla broker -c /etc/kafka/server.properties
  ottla broker --set listeners=PLAINTEXT://127.0.0.1:9092 --set log.dirs=/var/lib/ottla
  ottla broker -c server.properties --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBroker(cmd.Context(), f) },
	}
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "configuration file")
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "set one configuration `key=value`; may be repeated")
	cmd.Flags().BoolVar(&f.check, "check", false, "check the configuration and exit")
	cmd.Flags().BoolVar(&f.adopt, "adopt", false, "standalone: take over the topics that Kafka left in the log directories")
	cmd.Flags().StringVar(&f.portsFile, "ports-file", "", "write each listener's name and address to this `file` once bound")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "INFO", "TRACE, DEBUG, INFO, WARN, ERROR or FATAL")
	cmd.Flags().StringVar(&f.logFormat, "log-format", "auto", "auto (pretty on a terminal), pretty or json")
	return cmd
}

func runBroker(ctx context.Context, f brokerFlags) error {
	if ctx == nil {
		ctx = context.Background()
	}
	level, err := logging.Parse(f.logLevel)
	if err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	var pretty bool
	switch f.logFormat {
	case "auto":
		pretty = term.IsTerminal(int(os.Stdout.Fd()))
	case "pretty":
		pretty = true
	case "json":
	default:
		return fmt.Errorf("--log-format: %q is none of auto, pretty, json", f.logFormat)
	}
	levels := logging.New(os.Stdout, pretty, level)
	log := levels.Logger("broker")
	static, warnings, err := config.Load(config.Sources{File: f.file, Env: os.Environ(), Sets: f.sets})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.Warn().Msg(w.String())
	}
	if f.check {
		fmt.Println("the configuration is valid")
		return nil
	}
	setMemoryLimit(log)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a signal during the start ends it
		<-signals
		cancel()
		first := time.Now()
		for s := range signals { // supervisors may well send SIGTERM twice; a person who presses ^C again means it
			if s == syscall.SIGINT && time.Since(first) > time.Second {
				log.Warn().Msg("interrupted again: stopping at once; the logs will be checked at the next start")
				os.Exit(1)
			}
		}
	}()
	b, err := broker.Start(starting, broker.Options{
		Config: static, Log: log, Levels: levels, PortsFile: f.portsFile, Adopt: f.adopt, Version: version,
	})
	switch {
	case errors.Is(err, context.Canceled) && starting.Err() != nil:
		log.Info().Msg("stopped before the start was complete")
		return nil
	case err != nil:
		return err
	}
	var failure error
	select {
	case <-starting.Done():
	case failure = <-b.Failed():
		log.Error().Err(failure).Msg("the broker cannot go on")
	}
	bounded, stop := context.WithTimeout(context.Background(), stopTimeout)
	defer stop()
	return errors.Join(failure, b.Stop(bounded))
}
