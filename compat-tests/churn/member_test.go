package churn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/compat-tests/harness"
)

// member is a consumer in a group. All methods but pause may be called once, at the end.
type member interface {
	leave()
	crash()
	pause(time.Duration) // stands still for a while
}

// starter makes a member of a group; id is its number.
type starter func(g *groupRun, seeds []string, id int) (member, error)

const sessionTimeout = 6 * time.Second // the least that brokers accept

// goMember is a franz-go client.
type goMember struct {
	cl   *kgo.Client
	stop context.CancelFunc
	done sync.WaitGroup
	hold chan time.Duration

	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

var errCrashed = errors.New("the client has crashed")

func startGo(g *groupRun, seeds []string, id int) (member, error) {
	m := &goMember{hold: make(chan time.Duration, 1)}
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID(fmt.Sprintf("go-%d", id)), kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(topicName),
		kgo.Balancers(g.balancer), kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(15 * time.Second),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitInterval(500 * time.Millisecond),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.FetchMaxWait(time.Second), kgo.Dialer(m.dial),
	}
	if g.static {
		opts = append(opts, kgo.InstanceID(fmt.Sprintf("instance-%d", id)))
	}
	if g.modern {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	m.cl = cl
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.done.Go(func() {
		for ctx.Err() == nil {
			select {
			case d := <-m.hold:
				select {
				case <-time.After(d):
				case <-ctx.Done():
				}
			default:
			}
			// What was polled is committed only after the next poll.
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { g.saw(r.Partition, r.Offset) })
		}
	})
	return m, nil
}

func (m *goMember) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil, errCrashed
	}
	var d net.Dialer
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	c, err := d.DialContext(ctx, network, addr)
	if err == nil {
		m.conns = append(m.conns, c)
	}
	return c, err
}

func (m *goMember) leave() {
	m.stop()
	m.done.Wait()
	m.cl.Close()
}

// crash cuts all connections for good before the client could say anything.
func (m *goMember) crash() {
	m.mu.Lock()
	m.dead = true
	for _, c := range m.conns {
		c.Close()
	}
	m.mu.Unlock()
	m.leave()
}

func (m *goMember) pause(d time.Duration) {
	select {
	case m.hold <- d:
	default: // it pauses already
	}
}

// programMember is a client in a process of its own, which prints "partition offset" for each record.
type programMember struct {
	cmd  *exec.Cmd
	done sync.WaitGroup
}

func startKcat(g *groupRun, seeds []string, id int) (member, error) {
	return startProgram(g, exec.Command("kcat", "-b", strings.Join(seeds, ","), "-q", "-u", "-f", "%p %o\n",
		"-X", fmt.Sprintf("client.id=kcat-%d", id), "-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=500", "-X", "heartbeat.interval.ms=1000",
		"-X", fmt.Sprintf("session.timeout.ms=%d", sessionTimeout.Milliseconds()), "-X", "max.poll.interval.ms=15000", "-X", "partition.assignment.strategy=range",
		"-G", g.name, topicName))
}

// librdkafkaStarter makes members with a current librdkafka, under the consumer protocol.
func librdkafkaStarter(l *harness.Librdkafka) starter {
	return func(g *groupRun, seeds []string, id int) (member, error) {
		return startProgram(g, l.Member(topicName, "bootstrap.servers="+strings.Join(seeds, ","), "group.id="+g.name, fmt.Sprintf("client.id=librdkafka-%d", id),
			"group.protocol=consumer", "auto.offset.reset=earliest", "enable.auto.commit=false", "max.poll.interval.ms=15000"))
	}
}

// javaStarter makes members with a Java client, of either protocol.
func javaStarter(j *harness.JavaClients) starter {
	return func(g *groupRun, seeds []string, id int) (member, error) {
		options := []string{"bootstrap=" + strings.Join(seeds, ","), "topic=" + topicName, "group=" + g.name, fmt.Sprintf("client.client.id=java-%d", id),
			"client.auto.commit.interval.ms=500", "client.max.poll.interval.ms=15000", "client.metadata.max.age.ms=1000"}
		if g.modern {
			options = append(options, "client.group.protocol=consumer")
		} else {
			options = append(options, "client.heartbeat.interval.ms=1000", fmt.Sprintf("client.session.timeout.ms=%d", sessionTimeout.Milliseconds()),
				"client.partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor")
		}
		return startProgram(g, j.Command("Member", options...))
	}
}

func startProgram(g *groupRun, cmd *exec.Cmd) (member, error) {
	m := &programMember{cmd: cmd}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.cmd.StdoutPipe()
	if err == nil {
		err = m.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	m.done.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var p int32
			var o int64
			if n, _ := fmt.Sscanf(lines.Text(), "%d %d", &p, &o); n == 2 {
				g.saw(p, o)
			}
		}
		_ = m.cmd.Wait() // it is killed, or says why on standard error, which is not shown
	})
	return m, nil
}

func (m *programMember) end(s syscall.Signal) {
	_ = m.cmd.Process.Signal(syscall.SIGCONT)
	_ = m.cmd.Process.Signal(s)
	kill := time.AfterFunc(20*time.Second, func() { _ = m.cmd.Process.Kill() })
	m.done.Wait()
	kill.Stop()
}

func (m *programMember) leave() { m.end(syscall.SIGTERM) }
func (m *programMember) crash() { m.end(syscall.SIGKILL) }

// pause stops the whole process, heartbeats included.
func (m *programMember) pause(d time.Duration) {
	_ = m.cmd.Process.Signal(syscall.SIGSTOP)
	time.AfterFunc(d, func() { _ = m.cmd.Process.Signal(syscall.SIGCONT) })
}
