package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"
)

type produceFlags struct {
	clientFlags
	file        string
	format      string
	delimiter   string
	null        string
	key         string
	keyType     string
	valueType   string
	timestamp   string
	headers     []string
	partition   int32
	partitioner string
	acks        string
	codec       string
	idempotent  bool
	delivery    time.Duration
	retries     int
	quiet       bool
}

func newProduce() *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write records read from standard input or a file",
		Long: `Write one record for each line of standard input or of a file. A line is a value; with --format key-value it is
"key:value" (see --delimiter); with --format json it is an object as "ottla consume -o json" prints it:

  {"key": "k", "value": "v", "headers": [{"key": "h", "value": "x"}], "partition": 0, "timestamp": 1700000000000}

A record that cannot be delivered within --delivery-timeout is reported and the exit code is 1.`,
		Example: `  echo hello | ottla produce greetings
  ottla produce orders --format key-value --codec zstd -f orders.txt
  ottla produce counts --key-type string --value-type long --format key-value <<< 'clicks:42'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), args[0], cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.file, "file", "f", "", "read this `file` instead of standard input")
	fl.StringVar(&f.format, "format", "lines", "lines, key-value or json")
	fl.StringVar(&f.delimiter, "delimiter", ":", "between key and value, with --format key-value")
	fl.StringVar(&f.null, "null", "", "a key or value that reads so is null (a null value is a tombstone)")
	fl.StringVar(&f.key, "key", "", "key of all records, with --format lines")
	fl.StringVar(&f.keyType, "key-type", "string", serdeNames())
	fl.StringVar(&f.valueType, "value-type", "string", serdeNames())
	fl.StringVar(&f.timestamp, "timestamp", "", "timestamp of all records: milliseconds or RFC 3339 (default: now)")
	fl.StringArrayVar(&f.headers, "header", nil, "header `name=value` of all records; may be repeated")
	fl.Int32VarP(&f.partition, "partition", "p", -1, "partition of all records, with --partitioner direct")
	fl.StringVar(&f.partitioner, "partitioner", "hash", "direct, hash (murmur2 of the key, as Java clients; sticky without a key), round-robin or sticky")
	fl.StringVar(&f.acks, "acks", "all", "all, 1 or 0")
	fl.StringVar(&f.codec, "codec", "none", "none, gzip, snappy, lz4 or zstd")
	fl.BoolVar(&f.idempotent, "idempotent", true, "write each record once even if requests are repeated; needs --acks all")
	fl.DurationVar(&f.delivery, "delivery-timeout", 2*time.Minute, "how long to try for a record (delivery.timeout.ms)")
	fl.IntVar(&f.retries, "retries", 0, "how often to try for a record; 0 for as often as the time allows")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress bar and no closing line")
	return cmd
}

func (f *produceFlags) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(5 * time.Millisecond), kgo.MaxBufferedRecords(100_000)}
	if f.retries > 0 {
		opts = append(opts, kgo.RecordRetries(f.retries))
	}
	switch f.partitioner {
	case "direct":
		if f.partition < 0 && f.format != "json" {
			return nil, errors.New("--partitioner direct needs --partition, or --format json with a partition in each line")
		}
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	case "hash":
		opts = append(opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	case "round-robin":
		opts = append(opts, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	case "sticky":
		opts = append(opts, kgo.RecordPartitioner(kgo.StickyPartitioner()))
	default:
		return nil, fmt.Errorf("--partitioner: %q is none of direct, hash, round-robin, sticky", f.partitioner)
	}
	if f.partition >= 0 && f.partitioner != "direct" {
		return nil, errors.New("--partition needs --partitioner direct")
	}
	idempotent := f.idempotent
	switch f.acks {
	case "all", "-1":
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "1":
		opts, idempotent = append(opts, kgo.RequiredAcks(kgo.LeaderAck())), false
	case "0":
		opts, idempotent = append(opts, kgo.RequiredAcks(kgo.NoAck())), false
	default:
		return nil, fmt.Errorf("--acks: %q is none of all, 1, 0", f.acks)
	}
	if !idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[f.codec]
	if !ok {
		return nil, fmt.Errorf("--codec: %q is none of none, gzip, snappy, lz4, zstd", f.codec)
	}
	return append(opts, kgo.ProducerBatchCompression(codec)), nil
}

func (f *produceFlags) run(ctx context.Context, topic string, in io.Reader, errOut io.Writer) error {
	parse, err := f.parser(topic)
	if err != nil {
		return err
	}
	opts, err := f.options()
	if err != nil {
		return err
	}
	size := int64(-1)
	if f.file != "" {
		file, err := os.Open(f.file)
		if err != nil {
			return err
		}
		defer file.Close()
		if st, err := file.Stat(); err == nil && st.Mode().IsRegular() {
			size = st.Size()
		}
		in = file
	}
	client, err := f.client(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	if bar := f.bar(size, errOut); bar != nil {
		r := progressbar.NewReader(in, bar)
		in = &r
	}
	d := deliveries{timeout: f.delivery}
	err = errors.Join(d.produce(ctx, client, in, parse), d.err())
	if errors.Is(err, errDeliveryTimeout) {
		bounded, stop := context.WithTimeout(ctx, min(f.timeout, reasonTimeout))
		defer stop()
		if reason := unreachable(bounded, client, topic); reason != nil {
			err = fmt.Errorf("%w: %w", err, reason)
		}
	}
	if !f.quiet {
		fmt.Fprintf(errOut, "%d records delivered\n", d.count())
	}
	return err
}

// bar shows progress through a file when someone is looking.
func (f *produceFlags) bar(size int64, errOut io.Writer) *progressbar.ProgressBar {
	if f.quiet || size < 0 || errOut != io.Writer(os.Stderr) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	return progressbar.DefaultBytes(size, "producing")
}

// reasonTimeout bounds the question why records could not be delivered.
const reasonTimeout = 5 * time.Second

// unreachable says what is wrong with the cluster, or with the topic.
func unreachable(ctx context.Context, client *kgo.Client, topic string) error {
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	return topics[topic].Err
}

var errDeliveryTimeout = errors.New("not delivered within --delivery-timeout")

// deliveries counts what became of the records.
type deliveries struct {
	timeout time.Duration

	mu        sync.Mutex
	delivered int64
	failed    int64
	first     error // what happened to the first that failed
}

// maxLine bounds a line of input; Kafka's own limit for a record is 1 MiB unless raised.
const maxLine = 128 << 20

// produce sends a record for each line and waits for all of them. A line that is no record ends it.
func (d *deliveries) produce(ctx context.Context, client *kgo.Client, in io.Reader, parse func(line string) (*kgo.Record, error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	deadlines := deadlines{parent: ctx, timeout: d.timeout}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var bad error
	for n := 1; lines.Scan(); n++ {
		r, err := parse(lines.Text())
		if err != nil {
			bad = fmt.Errorf("line %d: %w", n, err)
			break
		}
		client.Produce(deadlines.next(), r, func(_ *kgo.Record, err error) { d.done(n, err) })
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if bad == nil && lines.Err() != nil {
		bad = fmt.Errorf("read the input: %w", lines.Err())
	}
	return bad
}

// deadlines gives each record its time to be delivered. The library's own delivery timeout counts from the record's timestamp, which
// the user may set. Records that are read within a hundredth of the timeout share a context, so that few timers run.
type deadlines struct {
	parent  context.Context
	timeout time.Duration

	current context.Context
	until   time.Time
}

func (d *deadlines) next() context.Context {
	now, step := time.Now(), d.timeout/100
	if d.current == nil || now.After(d.until) {
		var stop context.CancelFunc
		d.current, stop = context.WithDeadline(d.parent, now.Add(d.timeout+step))
		context.AfterFunc(d.parent, stop)
		d.until = now.Add(step)
	}
	return d.current
}

func (d *deliveries) done(line int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.delivered++
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w %v", errDeliveryTimeout, d.timeout)
	}
	if d.failed++; d.first == nil {
		d.first = fmt.Errorf("line %d: %w", line, err)
	}
}

func (d *deliveries) count() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.delivered
}

func (d *deliveries) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == 0 {
		return nil
	}
	return fmt.Errorf("%d records were not delivered; the first: %w", d.failed, d.first)
}

// parser builds what turns a line into a record.
func (f *produceFlags) parser(topic string) (func(string) (*kgo.Record, error), error) {
	key, err := findSerde("key-type", f.keyType)
	if err != nil {
		return nil, err
	}
	value, err := findSerde("value-type", f.valueType)
	if err != nil {
		return nil, err
	}
	base := kgo.Record{Topic: topic, Partition: max(f.partition, 0)}
	for _, h := range f.headers {
		name, text, ok := strings.Cut(h, "=")
		if !ok {
			return nil, fmt.Errorf("--header: %q is not name=value", h)
		}
		base.Headers = append(base.Headers, kgo.RecordHeader{Key: name, Value: []byte(text)})
	}
	if f.timestamp != "" {
		if base.Timestamp, err = parseTime(f.timestamp); err != nil {
			return nil, fmt.Errorf("--timestamp: %w", err)
		}
	}
	encode := func(s serde, what, text string) ([]byte, error) {
		if f.null != "" && text == f.null {
			return nil, nil
		}
		b, err := s.encode(text)
		if err != nil {
			return nil, fmt.Errorf("%s as %s: %w", what, s.name, err)
		}
		if b == nil {
			b = []byte{}
		}
		return b, nil
	}
	switch f.format {
	case "lines":
		if f.key != "" {
			if base.Key, err = encode(key, "key", f.key); err != nil {
				return nil, err
			}
		}
		return func(line string) (*kgo.Record, error) {
			r := base
			r.Value, err = encode(value, "value", line)
			return &r, err
		}, nil
	case "key-value":
		if f.delimiter == "" {
			return nil, errors.New("--delimiter is empty")
		}
		return func(line string) (*kgo.Record, error) {
			k, v, ok := strings.Cut(line, f.delimiter)
			if !ok {
				return nil, fmt.Errorf("no %q in %q", f.delimiter, line)
			}
			r := base
			var err error
			if r.Key, err = encode(key, "key", k); err != nil {
				return nil, err
			}
			r.Value, err = encode(value, "value", v)
			return &r, err
		}, nil
	case "json":
		return func(line string) (*kgo.Record, error) { return parseJSONRecord(base, key, value, line) }, nil
	}
	return nil, fmt.Errorf("--format: %q is none of lines, key-value, json", f.format)
}
