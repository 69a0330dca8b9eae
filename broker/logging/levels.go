// Package logging makes the broker's loggers: one for each part, with a level that can be changed while the broker runs (KIP-412's
// BROKER_LOGGER configs, the log4j settings of container images).
package logging

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Root is the logger whose level holds for all that have none of their own.
const Root = "root"

// Levels makes loggers and holds their levels. Its methods may be called from any goroutine.
type Levels struct {
	base zerolog.Logger

	mu    sync.Mutex
	parts map[string]*part
}

// part is the level of one logger. It is a zerolog.Sampler, which is asked before an event is made: a line below the level costs one
// atomic load.
type part struct {
	level atomic.Int32
	own   atomic.Bool // set for this part; otherwise it follows root
}

func (p *part) Sample(l zerolog.Level) bool { return l >= zerolog.Level(p.level.Load()) }

func init() { zerolog.TimeFieldFormat = time.RFC3339Nano }

// New writes to out: for people if pretty, otherwise one JSON object a line.
func New(out io.Writer, pretty bool, level zerolog.Level) *Levels {
	if pretty {
		out = zerolog.ConsoleWriter{Out: out, TimeFormat: "15:04:05.000"}
	}
	l := &Levels{base: zerolog.New(out).Level(zerolog.TraceLevel).With().Timestamp().Logger(), parts: make(map[string]*part)}
	root := &part{}
	root.level.Store(int32(level))
	l.parts[Root] = root
	return l
}

// Logger is the logger of a part, which its lines name.
func (l *Levels) Logger(name string) zerolog.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.parts[name]
	if p == nil {
		p = &part{}
		p.level.Store(l.parts[Root].level.Load())
		l.parts[name] = p
	}
	log := l.base.Sample(p)
	if name != Root {
		log = log.With().Str("part", name).Logger()
	}
	return log
}

// Set changes the level of a part, or of root and of all that follow it. Level is one of Kafka's names.
func (l *Levels) Set(name, level string) error {
	z, err := parse(level)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.parts[name]
	if p == nil {
		//lint:ignore ST1005 Kafka's words
		return fmt.Errorf("Logger %s does not exist!", name)
	}
	p.own.Store(true)
	p.level.Store(int32(z))
	if name == Root {
		l.follow()
	}
	return nil
}

// Unset makes a part follow root again.
func (l *Levels) Unset(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.parts[name]
	switch {
	case name == Root:
		//lint:ignore ST1005 Kafka's words
		return fmt.Errorf("Removing the log level of the %s logger is not allowed", Root)
	case p == nil:
		//lint:ignore ST1005 Kafka's words
		return fmt.Errorf("Logger %s does not exist!", name)
	}
	p.own.Store(false)
	l.follow()
	return nil
}

func (l *Levels) follow() {
	root := l.parts[Root].level.Load()
	for _, p := range l.parts {
		if !p.own.Load() {
			p.level.Store(root)
		}
	}
}

// All returns the level of each part, in Kafka's names.
func (l *Levels) All() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]string, len(l.parts))
	for name, p := range l.parts {
		all[name] = text(zerolog.Level(p.level.Load()))
	}
	return all
}

var names = map[string]zerolog.Level{
	"TRACE": zerolog.TraceLevel, "DEBUG": zerolog.DebugLevel, "INFO": zerolog.InfoLevel,
	"WARN": zerolog.WarnLevel, "ERROR": zerolog.ErrorLevel, "FATAL": zerolog.FatalLevel,
}

func parse(level string) (zerolog.Level, error) {
	z, ok := names[strings.ToUpper(level)]
	if !ok {
		return 0, fmt.Errorf("log level %q is none of %s", level, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	return z, nil
}

// Parse is the level that a name of Kafka's, in any case, stands for.
func Parse(level string) (zerolog.Level, error) { return parse(level) }

func text(z zerolog.Level) string {
	for name, l := range names {
		if l == z {
			return name
		}
	}
	return strings.ToUpper(z.String())
}
