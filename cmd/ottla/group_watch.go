package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newGroupWatch(c *clientFlags, out *output) *cobra.Command {
	var interval time.Duration
	var count int
	cmd := &cobra.Command{
		Use:   "watch GROUP...",
		Short: "Show how the lag of groups changes, until interrupted",
		Long: `Ask for the lag of groups again and again. In a terminal it is drawn over time, by group and topic; elsewhere each look is a line per
group and topic (with -o json, a JSON object per line).`,
		Example: "  ottla group watch billing --interval 2s",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if interval <= 0 {
				return fmt.Errorf("--interval: %v is not positive", interval)
			}
			if out.format == "yaml" {
				return errors.New("watch has no YAML output")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			w := &lagWatch{names: names, interval: interval, count: count, out: cmd.OutOrStdout(), errOut: cmd.ErrOrStderr(), json: out.format == "json"}
			if f, ok := w.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && !w.json {
				w.width = func() int {
					width, _, err := term.GetSize(int(f.Fd()))
					if err != nil || width <= 0 {
						return 80
					}
					return width
				}
			}
			return w.run(ctx, c)
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "how often to look")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after so many looks; 0 for never")
	return cmd
}

// lagWatch looks at the lag of groups again and again.
type lagWatch struct {
	names    []string
	interval time.Duration
	count    int
	out      io.Writer
	errOut   io.Writer
	json     bool
	width    func() int // of the terminal; nil without one

	history map[[2]string][]int64 // by group and topic, newest last
	drawn   int                   // lines on the screen
}

// historyMax bounds what is kept of a line: wider than any terminal.
const historyMax = 500

func (w *lagWatch) run(ctx context.Context, c *clientFlags) error {
	admin, err := c.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	w.history = make(map[[2]string][]int64)
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for n := 1; ; n++ {
		list, err := c.groups(ctx, admin, w.names)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && n == 1 && len(list) == 0 {
			return err // most likely a wrong name
		}
		if perr := w.show(time.Now(), list, err); perr != nil {
			return perr
		}
		if n == w.count {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// show prints one look. err is what could not be looked at; the next look may succeed.
func (w *lagWatch) show(now time.Time, list []groupRow, err error) error {
	var lags []lagRow
	for i := range list {
		of := list[i].lags()
		if len(of) == 0 {
			of = []lagRow{{Group: list[i].Group, State: list[i].State, Topic: "-"}}
		}
		lags = append(lags, of...)
	}
	if w.width != nil {
		return w.draw(now, lags, err)
	}
	if err != nil {
		fmt.Fprintln(w.errOut, "ottla:", err)
	}
	for _, l := range lags {
		var perr error
		if at := now.UTC().Format(time.RFC3339Nano); w.json {
			perr = json.NewEncoder(w.out).Encode(struct {
				Time string `json:"time"`
				lagRow
			}{at, l})
		} else {
			_, perr = fmt.Fprintf(w.out, "%s %s %s %s lag=%d partitions=%d\n", now.UTC().Format("2006-01-02T15:04:05.000Z"), l.Group, l.State, l.Topic, l.Lag, l.Partitions)
		}
		if perr != nil {
			return perr
		}
	}
	return nil
}

// draw replaces what it drew before: a line of numbers and a graph for each group and topic.
func (w *lagWatch) draw(now time.Time, lags []lagRow, err error) error {
	width := w.width()
	lines := []string{fmt.Sprintf("%s  every %v, newest on the right", now.Format("15:04:05"), w.interval)}
	name := 0
	for _, l := range lags {
		name = max(name, len(l.Group)+1+len(l.Topic))
	}
	name = min(name, width/3)
	for _, l := range lags {
		key := [2]string{l.Group, l.Topic}
		h := append(w.history[key], l.Lag)
		h = h[max(0, len(h)-historyMax):]
		w.history[key] = h
		head := fmt.Sprintf("%-*s %-*s %12d ", name, clip(l.Group+" "+l.Topic, name), len("PreparingRebalance"), l.State, l.Lag)
		lines = append(lines, clip(head+sparkline(h, max(0, width-len([]rune(head)))), width))
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			lines = append(lines, clip(line, width))
		}
	}
	var b strings.Builder
	if w.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", w.drawn) // up, and clear to the end of the screen
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	w.drawn = len(lines)
	_, perr := io.WriteString(w.out, b.String())
	return perr
}

// clip cuts s to so many characters.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the last width values, from zero to the largest of them. No lag is the lowest mark, any lag is above it.
func sparkline(values []int64, width int) string {
	values = values[max(0, len(values)-width):]
	var most int64
	for _, v := range values {
		most = max(most, v)
	}
	line := make([]rune, len(values))
	for i, v := range values {
		level := 0
		if v > 0 {
			level = 1 + int(float64(v)/float64(most)*float64(len(sparks)-2))
		}
		line[i] = sparks[min(level, len(sparks)-1)]
	}
	return string(line)
}
