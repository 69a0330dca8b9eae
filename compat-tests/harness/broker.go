package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kind says whose broker is run.
type Kind string

const (
	Ottla Kind = "ottla"
	Kafka Kind = "kafka"
)

// KindFromEnv returns the kind that BROKER names; Ottla when it is unset.
func KindFromEnv() (Kind, error) {
	switch k := Kind(os.Getenv("BROKER")); k {
	case "":
		return Ottla, nil
	case Ottla, Kafka:
		return k, nil
	default:
		return "", fmt.Errorf("BROKER=%s: want ottla or kafka", k)
	}
}

// Config says how a broker is run.
type Config struct {
	Kind      Kind
	Dir       string   // configuration, data and logs
	ID        int32    // broker.id
	Port      int      // 0: a free one
	ZooKeeper string   // zookeeper.connect; "": standalone for Ottla, an own server for Kafka
	Settings  []string // further key=value lines of server.properties

	// SessionTimeout is that of the ZooKeeper session; 0: long enough for a busy machine. It is how long a killed Kafka
	// cannot be started again.
	SessionTimeout time.Duration

	// StartLimit is how long the broker may take to come up; 0: a minute and a half.
	StartLimit time.Duration

	Env []string // further environment
}

// Broker is a broker process. After Stop or Kill it can be started again on the same port and data.
type Broker struct {
	Addr string // host:port of the PLAINTEXT listener
	Kind Kind
	ID   int32

	cfg  Config
	argv []string
	zk   *ZooKeeper // an own one for Kafka
	proc *process

	paused bool // by Pause
}

// startLimit is generous: a JVM on a machine with two busy cores.
const startLimit = 90 * time.Second

// StartBroker runs a broker and waits until it answers Metadata as the controller of its cluster, or beside one.
func StartBroker(cfg Config) (*Broker, error) {
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	if cfg.Port == 0 {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		cfg.Port = port
	}
	b := &Broker{Addr: fmt.Sprintf("127.0.0.1:%d", cfg.Port), Kind: cfg.Kind, ID: cfg.ID, cfg: cfg}
	conf := filepath.Join(cfg.Dir, "server.properties")
	switch cfg.Kind {
	case Ottla:
		bin, err := OttlaBinary()
		if err != nil {
			return nil, err
		}
		b.argv = []string{bin, "broker", "-c", conf}
	case Kafka:
		cp, err := kafkaClasspath()
		if err != nil {
			return nil, err
		}
		b.argv = []string{"java", "-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-Djava.awt.headless=true", "-cp", cp, "kafka.Kafka", conf}
		if cfg.ZooKeeper == "" {
			if b.zk, err = StartZooKeeper(filepath.Join(cfg.Dir, "zookeeper")); err != nil {
				return nil, err
			}
			b.cfg.ZooKeeper = b.zk.Addr
		}
	default:
		return nil, fmt.Errorf("unknown kind of broker %q", cfg.Kind)
	}
	if err := os.WriteFile(conf, []byte(b.properties()), 0o644); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := b.Start(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// properties returns server.properties: the same for both kinds, so that both are asked for the same behaviour.
func (b *Broker) properties() string {
	lines := []string{
		fmt.Sprintf("broker.id=%d", b.ID),
		"listeners=PLAINTEXT://" + b.Addr,
		"log.dirs=" + filepath.Join(b.cfg.Dir, "data"),
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
	}
	if b.cfg.ZooKeeper != "" {
		lines = append(lines, "zookeeper.connect="+b.cfg.ZooKeeper, fmt.Sprintf("zookeeper.session.timeout.ms=%d", b.sessionTimeout().Milliseconds()))
	}
	return strings.Join(append(lines, b.cfg.Settings...), "\n") + "\n"
}

func (b *Broker) sessionTimeout() time.Duration {
	if b.cfg.SessionTimeout > 0 {
		return b.cfg.SessionTimeout
	}
	return 9 * time.Second // ZooKeeper allows 20 ticks
}

// Start runs the broker again. Apache Kafka gives up when the znode of a killed predecessor is still there, or when its own
// session ends before it is up, on a busy machine; it is then started again.
func (b *Broker) Start() error {
	deadline := time.Now().Add(cmp.Or(b.cfg.StartLimit, startLimit))
	for {
		p, err := startProcess(b.LogPath(), b.cfg.Dir, b.cfg.Env, b.argv...)
		if err != nil {
			return err
		}
		b.proc = p
		err = p.await(string(b.Kind)+" broker", time.Until(deadline), b.ready)
		if err == nil {
			return nil
		}
		if b.Kind == Kafka && !p.alive() && time.Now().Before(deadline) {
			if last := p.tail(60); strings.Contains(last, "NodeExists") || strings.Contains(last, "SessionExpired") {
				continue
			}
		}
		return errors.Join(err, p.kill())
	}
}

// ready succeeds when the broker answers Metadata with itself in the list of brokers and a controller.
func (b *Broker) ready() error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RetryTimeout(time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	meta := resp.(*kmsg.MetadataResponse)
	for _, mb := range meta.Brokers {
		if mb.NodeID == b.ID && meta.ControllerID >= 0 {
			return nil
		}
	}
	return fmt.Errorf("broker %d not in metadata, or no controller (%d): %v", b.ID, meta.ControllerID, meta.Brokers)
}

// Pid is the process id of the running broker.
func (b *Broker) Pid() int { return b.proc.cmd.Process.Pid }

// Dir is the directory given in Config.
func (b *Broker) Dir() string { return b.cfg.Dir }

// ZooKeeper is the address of the ensemble; "" when the broker is standalone.
func (b *Broker) ZooKeeper() string { return b.cfg.ZooKeeper }

// LogPath is the file with the broker's output.
func (b *Broker) LogPath() string { return filepath.Join(b.cfg.Dir, "broker.log") }

// Tail returns the broker's last output.
func (b *Broker) Tail(lines int) string {
	if b.proc == nil {
		return ""
	}
	return b.proc.tail(lines)
}

// Stop ends the broker with SIGTERM and fails when that takes longer than limit.
func (b *Broker) Stop(limit time.Duration) error { return b.proc.stop(limit) }

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill() error { return b.proc.kill() }

// Pause stops the process with SIGSTOP: its sockets stay open and nothing is answered.
func (b *Broker) Pause() error {
	b.paused = true
	return b.proc.cmd.Process.Signal(syscall.SIGSTOP)
}

// Continue ends Pause.
func (b *Broker) Continue() error {
	b.paused = false
	return b.proc.cmd.Process.Signal(syscall.SIGCONT)
}

// DataDir is the directory with the broker's logs.
func (b *Broker) DataDir() string { return filepath.Join(b.cfg.Dir, "data") }

// Close ends what is left of the broker, and the ZooKeeper server that StartBroker started for it.
func (b *Broker) Close() error {
	var err error
	if b.proc != nil && b.proc.alive() {
		err = b.proc.stop(30 * time.Second)
	}
	if b.zk != nil {
		err = errors.Join(err, b.zk.Kill())
	}
	return err
}
