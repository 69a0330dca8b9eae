package controller

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// A Machine decides. It does no I/O, starts no goroutine and looks at no clock: Process takes an event and
// answers with what to read or write in the metadata store, Resume takes the results and answers with what
// to do next, until a step is Done. One event is finished before the next begins, so a decision never rests
// on a state that another one is changing.
//
// Handlers are written as straight-line code: Process runs them as a coroutine that is suspended while its
// driver does the I/O. A Machine may be driven from any goroutine, but only from one at a time.
type Machine struct {
	cfg Config
	log zerolog.Logger

	now       time.Time
	sessionID int64 // 0 without a session
	active    int32 // broker id in /controller, -1 if none or unknown
	term      *term // nil unless this broker is the controller
	// retryElection is when to try again after becoming controller failed; zero if there is no need.
	retryElection time.Time
	rebalanceAt   time.Time

	// The event being handled.
	resume  func() (Step, bool)
	abandon func()
	yield   func(Step) bool
	results []Result
	sends   []Send
}

// Config says who the broker is and what the decisions depend on.
type Config struct {
	BrokerID            int32
	InterBrokerListener string
	// DeleteTopicEnable is delete.topic.enable.
	DeleteTopicEnable bool
	// AutoRebalance is auto.leader.rebalance.enable. ImbalancePercent is
	// leader.imbalance.per.broker.percentage, looked at every ImbalanceCheckInterval
	// (leader.imbalance.check.interval.seconds).
	AutoRebalance          bool
	ImbalanceCheckInterval time.Duration
	ImbalancePercent       int
	// UncleanDefault answers unclean.leader.election.enable for topics without an own setting.
	UncleanDefault func() bool
	Log            zerolog.Logger
}

// defaultImbalanceCheckInterval is the default of leader.imbalance.check.interval.seconds.
const defaultImbalanceCheckInterval = 300 * time.Second

// A Step is what the driver of a Machine has to do next: hand Sends to the brokers' channels, in order,
// then, unless Done, do the Requests and give their results to Resume.
type Step struct {
	Sends    []Send
	Requests []Request
	Done     bool
}

// A Send is something for a broker's channel. Channels are first in, first out, with one request in flight,
// repeated until it is answered or the channel is closed.
type Send struct {
	Kind    SendKind
	Broker  int32
	Info    zkmeta.BrokerInfo // of OpenChannel and UpdateChannel
	Request kmsg.Request      // of SendRequest; read only, it may share memory with other requests
}

// SendKind tells what a Send is.
type SendKind int8

// Kinds of Send.
const (
	SendRequest      SendKind = iota
	OpenChannel               // start an empty channel to a broker
	UpdateChannel             // the broker's endpoints changed
	CloseChannel              // drop the channel and all in it
	CloseAllChannels          // the controller resigned
)

// A Request is something to read or write in the metadata store. The requests of one step do not depend on
// each other and may be done in any order and all at once.
type Request struct {
	Kind RequestKind
	Path string // of a read
	// Watch asks for a ZNodeChanged when what was read changes.
	Watch bool
	// Ops are written together or not at all.
	Ops []zkmeta.Op
	// Fenced writes are valid only while /controller_epoch has version EpochVersion: the driver puts the
	// check in front, and may join several requests with the same check to one multi as long as each gets
	// the result it would have got alone.
	Fenced       bool
	EpochVersion int32
}

// RequestKind tells what a Request does.
type RequestKind int8

// Kinds of Request.
const (
	ReadData RequestKind = iota
	ReadChildren
	ReadExists
	Write
)

// A Result belongs to the request at the same place of the step.
type Result struct {
	Data     []byte
	Stat     zkmeta.Stat
	Exists   bool
	Children []string
	// Written has one element for each op.
	Written []zkmeta.OpResult
	// Err is nil, or wraps one of zkmeta's errors; for a failed write it is a *zkmeta.MultiError whose
	// index counts in Ops. A failed fence is ErrFenced.
	Err error
}

// ErrFenced says that another controller has been elected.
var ErrFenced = errors.New("controller epoch has changed")

// errAbandoned ends a handler whose driver gave up on it.
var errAbandoned = errors.New("event abandoned")

// NewMachine returns a machine without a session: it does nothing until SessionStarted.
func NewMachine(cfg Config) *Machine {
	if cfg.ImbalanceCheckInterval <= 0 {
		cfg.ImbalanceCheckInterval = defaultImbalanceCheckInterval
	}
	return &Machine{cfg: cfg, log: cfg.Log, active: -1}
}

// ActiveID is the broker id in /controller as last seen, or -1.
func (m *Machine) ActiveID() int32 { return m.active }

// Epoch is the controller epoch while this broker is the controller, otherwise -1.
func (m *Machine) Epoch() int32 {
	if m.term == nil {
		return -1
	}
	return m.term.epoch
}

// Process starts handling ev. The machine must not be in the middle of another event.
func (m *Machine) Process(now time.Time, ev Event) Step {
	if m.resume != nil {
		panic(fmt.Sprintf("controller: %T while another event is being handled", ev))
	}
	m.now = now
	m.resume, m.abandon = iter.Pull(func(yield func(Step) bool) {
		m.yield = yield
		m.finish(ev, m.handle(ev))
	})
	return m.step()
}

// Resume goes on with the event, given the results of the last step's requests.
func (m *Machine) Resume(now time.Time, results []Result) Step {
	m.now, m.results = now, results
	return m.step()
}

// Abandon ends the event at once, without doing what is left of it, and resigns. The store may or may not
// have the writes of the last step.
func (m *Machine) Abandon() Step {
	if m.resume != nil {
		m.abandon()
		m.resume = nil
	}
	m.sends = nil
	m.resign()
	step := Step{Sends: m.sends, Done: true}
	m.sends = nil
	return step
}

func (m *Machine) step() Step {
	step, more := m.resume()
	if more {
		return step
	}
	m.abandon()
	m.resume = nil
	step = Step{Sends: m.sends, Done: true}
	m.sends = nil
	return step
}

// do suspends the handler until the requests are done. An error other than nil ends the event: the
// controller was replaced, or the session or the driver ended. What went wrong with a single request is
// in its result.
func (m *Machine) do(reqs ...Request) ([]Result, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	step := Step{Sends: m.sends, Requests: reqs}
	m.sends = nil
	if !m.yield(step) {
		return nil, errAbandoned
	}
	results := m.results
	m.results = nil
	for _, r := range results {
		if r.Err != nil && endsTerm(r.Err) {
			return nil, r.Err
		}
	}
	return results, nil
}

// endsTerm tells whether after err nothing more can be done as controller.
func endsTerm(err error) bool {
	return errors.Is(err, ErrFenced) || errors.Is(err, zkmeta.ErrSessionExpired) || errors.Is(err, zkmeta.ErrClosed) || errors.Is(err, errAbandoned)
}

// fenced makes a write that only the controller of this term can do.
func (m *Machine) fenced(ops ...zkmeta.Op) Request {
	return Request{Kind: Write, Ops: ops, Fenced: true, EpochVersion: m.term.epochVersion}
}

func (m *Machine) send(id int32, req kmsg.Request) {
	m.sends = append(m.sends, Send{Kind: SendRequest, Broker: id, Request: req})
}

// finish deals with an event that failed.
func (m *Machine) finish(ev Event, err error) {
	// Each turn is an election that was won and lost again at once.
	for range maxElectionRounds {
		switch {
		case err == nil || errors.Is(err, errAbandoned):
			return
		case errors.Is(err, zkmeta.ErrSessionExpired) || errors.Is(err, zkmeta.ErrClosed):
			m.resign()
			m.sessionID = 0
			return
		case errors.Is(err, ErrFenced):
			m.log.Info().Err(err).Msg("another controller was elected")
			m.resign()
			err = m.observe()
			continue
		}
		break
	}
	m.log.Error().Err(err).Type("event", ev).Msg("controller event failed")
	if endsTerm(err) {
		m.resign()
	}
	if m.term == nil && m.sessionID != 0 {
		m.retryElection = m.now.Add(electionRetry)
	}
}

func (m *Machine) handle(ev Event) error {
	switch ev := ev.(type) {
	case SessionStarted:
		m.sessionID = ev.ID
		return m.observe()
	case SessionLost:
		m.resign()
		m.sessionID = 0
		return nil
	case ZNodeChanged:
		if m.sessionID == 0 {
			return nil
		}
		return m.zNodeChanged(ev.Path)
	case Tick:
		return m.tick()
	case BrokerAnswered:
		return m.brokerAnswered(ev)
	case UncleanElectionEnabled:
		return m.uncleanElectionEnabled(ev.Topic)
	case AlterPartition:
		return m.alterPartition(ev)
	case ControlledShutdown:
		return m.controlledShutdown(ev)
	case ElectLeaders:
		return m.electLeaders(ev)
	case AlterReassignments:
		return m.alterReassignments(ev)
	case ListReassignments:
		m.listReassignments(ev)
		return nil
	case AllocateProducerIDs:
		return m.allocateProducerIDs(ev)
	case ReadStats:
		ev.Reply(m.stats())
		return nil
	}
	panic(fmt.Sprintf("controller: unknown event %T", ev))
}

// Deadline is when the machine wants a Tick, or zero.
func (m *Machine) Deadline() time.Time {
	d := m.retryElection
	if m.term == nil {
		return d
	}
	d = earlier(d, m.rebalanceAt)
	return earlier(d, m.deletionRetryAt())
}

func (m *Machine) tick() error {
	if !m.retryElection.IsZero() && !m.now.Before(m.retryElection) {
		m.retryElection = time.Time{}
		if m.sessionID != 0 && m.term == nil {
			return m.observe()
		}
	}
	if m.term == nil {
		return nil
	}
	if err := m.retryDeletions(); err != nil {
		return err
	}
	if !m.rebalanceAt.IsZero() && !m.now.Before(m.rebalanceAt) {
		m.rebalanceAt = m.now.Add(m.cfg.ImbalanceCheckInterval)
		return m.rebalance()
	}
	return nil
}

// earlier returns the earlier of a and b, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// errNotController is answered to requests that only the controller serves.
func errNotController(what string) error {
	return fmt.Errorf("%s: this broker is not the controller: %w", what, kerr.NotController)
}
