package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/signal"
	"syscall"
	"text/template"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

type consumeFlags struct {
	clientFlags
	group      string
	partitions []int32
	from       string
	max        int64
	exitAtEnd  bool
	idle       time.Duration
	format     string
	template   string
	keyType    string
	valueType  string
	commit     string
	isolation  string
}

func newConsume() *cobra.Command {
	var f consumeFlags
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Print records",
		Long: `Print the records of topics, as a member of a group or from given partitions.

--from says where to start: beginning, end, an offset (42), so many before the end (-10), or a time (@1700000000000,
@2024-01-02T03:04:05Z). In a group it holds for partitions without a committed offset.

A template has the fields Topic, Partition, Offset, Timestamp (ms), Key, Value and Headers (each with Key and Value).`,
		Example: `  ottla consume orders --from beginning --exit-at-end
  ottla consume orders --group billing --commit manual
  ottla consume orders --from -10 -o json
  ottla consume orders --template '{{.Partition}}/{{.Offset}} {{.Key}}={{.Value}}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return f.run(ctx, args, cmd.OutOrStdout())
		},
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.group, "group", "g", "", "consumer group to join")
	fl.Int32SliceVarP(&f.partitions, "partitions", "p", nil, "only these partitions; not with --group")
	fl.StringVar(&f.from, "from", "end", "beginning, end, an offset, -N, or @time")
	fl.Int64VarP(&f.max, "max", "n", 0, "stop after so many records; 0 for no limit")
	fl.BoolVarP(&f.exitAtEnd, "exit-at-end", "e", false, "stop at the offsets that were the end when the command started; not with --group")
	fl.DurationVar(&f.idle, "idle-timeout", 0, "stop when nothing has come for this long; 0 for never")
	fl.StringVarP(&f.format, "output", "o", "text", "text (values), json, or template")
	fl.StringVar(&f.template, "template", "", "Go `template` of a line; implies -o template")
	fl.StringVar(&f.keyType, "key-type", "string", serdeNames())
	fl.StringVar(&f.valueType, "value-type", "string", serdeNames())
	fl.StringVar(&f.commit, "commit", "auto", "auto (in the background), or manual: after each batch has been printed; with --group")
	fl.StringVar(&f.isolation, "isolation", "read_uncommitted", "read_uncommitted or read_committed")
	return cmd
}

func (f *consumeFlags) run(ctx context.Context, topics []string, out io.Writer) error {
	print, err := f.printer()
	if err != nil {
		return err
	}
	opts, err := f.options(topics)
	if err != nil {
		return err
	}
	client, err := f.client(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	c := consumer{flags: f, client: client, out: bufio.NewWriterSize(out, 64<<10), print: print}
	if f.group == "" {
		if err := c.assign(ctx, topics); err != nil {
			return err
		}
		if f.exitAtEnd && len(c.until) == 0 {
			return nil
		}
	}
	err = errors.Join(c.consume(ctx), c.out.Flush())
	if err == nil && f.group != "" {
		bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), f.timeout)
		defer stop()
		err = client.CommitUncommittedOffsets(bounded) // what was printed since the last commit
	}
	return err
}

func (f *consumeFlags) options(topics []string) ([]kgo.Opt, error) {
	var opts []kgo.Opt
	switch f.isolation {
	case "read_uncommitted":
	case "read_committed":
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	default:
		return nil, fmt.Errorf("--isolation: %q is none of read_uncommitted, read_committed", f.isolation)
	}
	if f.commit != "auto" && f.commit != "manual" {
		return nil, fmt.Errorf("--commit: %q is none of auto, manual", f.commit)
	}
	start, err := parseFrom(f.from)
	if err != nil {
		return nil, err
	}
	if f.group == "" {
		return opts, nil // see assign
	}
	if len(f.partitions) > 0 || f.exitAtEnd {
		return nil, errors.New("--partitions and --exit-at-end are not for groups: the group decides who reads what; see --max and --idle-timeout")
	}
	opts = append(opts, kgo.ConsumerGroup(f.group), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(start.offset()))
	if f.commit == "manual" {
		opts = append(opts, kgo.DisableAutoCommit())
	}
	return opts, nil
}

// consumer is one run of the command.
type consumer struct {
	flags  *consumeFlags
	client *kgo.Client
	out    *bufio.Writer
	print  func(io.Writer, *kgo.Record) error
	next   map[topicPartition]int64 // offsets to be read next, without a group
	until  map[topicPartition]int64 // end offsets that are still to be reached, with --exit-at-end
	count  int64
}

func (c *consumer) consume(ctx context.Context) error {
	for {
		poll := ctx
		stop := func() {}
		if c.flags.idle > 0 {
			poll, stop = context.WithTimeout(ctx, c.flags.idle)
		} else if c.flags.exitAtEnd {
			poll, stop = context.WithTimeout(ctx, endCheckInterval)
		}
		most := 0 // as many as there are
		if c.flags.max > 0 {
			most = int(min(c.flags.max-c.count, math.MaxInt32))
		}
		fetches := c.client.PollRecords(poll, most)
		idle := poll.Err() != nil && fetches.Empty()
		stop()
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
				return fmt.Errorf("%s-%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		done, err := c.write(fetches)
		if err == nil {
			err = c.out.Flush()
		}
		if err == nil && c.flags.group != "" && c.flags.commit == "manual" {
			err = c.client.CommitUncommittedOffsets(ctx)
		}
		if err != nil || done {
			return err
		}
		if idle && c.flags.idle > 0 {
			return nil
		}
		if c.flags.exitAtEnd && fetches.Empty() {
			if err := c.skipEmpty(ctx); err != nil || len(c.until) == 0 {
				return err
			}
		}
	}
}

// endCheckInterval is how long a poll may find nothing before the broker is asked whether there is a record left before the end: the
// last offsets of a partition may hold none (transaction markers, compaction).
const endCheckInterval = 500 * time.Millisecond

func (c *consumer) write(fetches kgo.Fetches) (done bool, err error) {
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		key := topicPartition{r.Topic, r.Partition}
		if c.next != nil {
			c.next[key] = r.Offset + 1
		}
		end, bounded := c.until[key]
		if c.flags.exitAtEnd && (!bounded || r.Offset >= end) {
			continue
		}
		if err := c.print(c.out, r); err != nil {
			return true, fmt.Errorf("%s-%d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		if bounded && r.Offset+1 >= end {
			delete(c.until, key)
		}
		if c.count++; c.flags.max > 0 && c.count >= c.flags.max {
			return true, nil
		}
	}
	return c.flags.exitAtEnd && len(c.until) == 0, nil
}

// printer builds what writes a record.
func (f *consumeFlags) printer() (func(io.Writer, *kgo.Record) error, error) {
	key, err := findSerde("key-type", f.keyType)
	if err != nil {
		return nil, err
	}
	value, err := findSerde("value-type", f.valueType)
	if err != nil {
		return nil, err
	}
	format := f.format
	if f.template != "" {
		format = "template"
	}
	switch format {
	case "text":
		return func(w io.Writer, r *kgo.Record) error {
			text := "null"
			if r.Value != nil {
				if text, err = value.decode(r.Value); err != nil {
					return err
				}
			}
			_, err := io.WriteString(w, text+"\n")
			return err
		}, nil
	case "json":
		return func(w io.Writer, r *kgo.Record) error { return printJSON(w, key, value, r) }, nil
	case "template":
		if f.template == "" {
			return nil, errors.New("-o template needs --template")
		}
		t, err := template.New("record").Parse(f.template + "\n")
		if err != nil {
			return nil, fmt.Errorf("--template: %w", err)
		}
		return func(w io.Writer, r *kgo.Record) error { return printTemplate(w, t, key, value, r) }, nil
	}
	return nil, fmt.Errorf("--output: %q is none of text, json, template", f.format)
}

func printJSON(w io.Writer, key, value serde, r *kgo.Record) error {
	ms := r.Timestamp.UnixMilli()
	out := jsonRecord{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: &ms}
	var err error
	if out.Key, err = toJSON(key, r.Key); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if out.Value, err = toJSON(value, r.Value); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	for _, h := range r.Headers {
		jh := jsonHeader{Key: h.Key}
		if h.Value != nil {
			text := string(h.Value)
			jh.Value = &text
		}
		out.Headers = append(out.Headers, jh)
	}
	return json.NewEncoder(w).Encode(out)
}

func printTemplate(w io.Writer, t *template.Template, key, value serde, r *kgo.Record) error {
	type header struct{ Key, Value string }
	data := struct {
		Topic                string
		Partition            int32
		Offset, Timestamp    int64
		Key, Value           string
		KeyIsNull, ValueNull bool
		Headers              []header
	}{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), KeyIsNull: r.Key == nil, ValueNull: r.Value == nil}
	var err error
	if r.Key != nil {
		if data.Key, err = key.decode(r.Key); err != nil {
			return fmt.Errorf("key: %w", err)
		}
	}
	if r.Value != nil {
		if data.Value, err = value.decode(r.Value); err != nil {
			return fmt.Errorf("value: %w", err)
		}
	}
	for _, h := range r.Headers {
		data.Headers = append(data.Headers, header{h.Key, string(h.Value)})
	}
	return t.Execute(w, data)
}
