package main

import (
	"bufio"
	"context"
	"fmt"
	"hash/fnv"
	"html"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// flameNode is a function in a flame graph, with the samples that it and what it called were seen in.
type flameNode struct {
	samples int
	callees map[string]*flameNode
}

func (f *flameNode) add(stack []string) {
	f.samples++
	if len(stack) == 0 {
		return
	}
	if f.callees == nil {
		f.callees = map[string]*flameNode{}
	}
	c := f.callees[stack[0]]
	if c == nil {
		c = new(flameNode)
		f.callees[stack[0]] = c
	}
	c.add(stack[1:])
}

func (f *flameNode) depth() int {
	d := 0
	for _, c := range f.callees {
		d = max(d, 1+c.depth())
	}
	return d
}

// cmdFlame draws what "perf script" prints as a flame graph.
func cmdFlame(_ context.Context, o *options, args []string) ([]*Result, error) {
	in := o.String("in", "/dev/stdin", "output of perf script, a `file`")
	out := o.String("out", "", "SVG `file` to write")
	title := o.String("title", "", "title of the graph")
	if err := o.parse(args); err != nil {
		return nil, err
	}
	f, err := os.Open(*in)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	root, err := readStacks(f)
	if err != nil {
		return nil, err
	}
	if root.samples == 0 {
		return nil, fmt.Errorf("%s has no samples", *in)
	}
	return nil, os.WriteFile(*out, []byte(drawFlame(root, *title)), 0o644)
}

// readStacks reads samples of perf script: a line about the sample, a line for each frame from the innermost on ("address function+offset
// (object)"), an empty line.
func readStacks(r io.Reader) (*flameNode, error) {
	root := new(flameNode)
	var stack []string
	end := func() {
		if len(stack) > 0 {
			slices.Reverse(stack)
			root.add(stack)
			stack = stack[:0]
		}
	}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		switch {
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			_, name, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok {
				continue
			}
			if i := strings.LastIndex(name, " ("); i >= 0 {
				name = name[:i]
			}
			if i := strings.LastIndex(name, "+0x"); i >= 0 {
				name = name[:i]
			}
			stack = append(stack, name)
		}
	}
	end()
	return root, in.Err()
}

const (
	flameWidth  = 1200.0
	flameRow    = 16
	flameTop    = 40
	flameSmall  = 0.8 // narrower frames are left out
	flameLetter = 6.3 // width of a letter
)

// drawFlame draws the outermost functions at the top. A frame's tooltip has its whole name and share.
func drawFlame(root *flameNode, title string) string {
	var b strings.Builder
	height := flameTop + flameRow*(root.depth()+1)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="monospace" font-size="10.5">`+"\n", flameWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="4" y="18" font-size="14">%s</text><text x="4" y="34">%d samples</text>`+"\n",
		html.EscapeString(title), root.samples)
	x := 0.0
	var walk func(name string, f *flameNode, x float64, row int)
	walk = func(name string, f *flameNode, x float64, row int) {
		width := flameWidth * float64(f.samples) / float64(root.samples)
		if width < flameSmall {
			return
		}
		short := name[strings.LastIndexByte(name, '/')+1:]
		if n := int(width / flameLetter); n < 3 {
			short = ""
		} else if len(short) > n {
			short = short[:n]
		}
		y := flameTop + flameRow*row
		fmt.Fprintf(&b, `<g><title>%s: %.1f %%</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`,
			html.EscapeString(name), 100*float64(f.samples)/float64(root.samples), x, y, max(width-0.5, 0.5), flameRow-1, flameColor(name))
		if short != "" {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`, x+2, y+11, html.EscapeString(short))
		}
		b.WriteString("</g>\n")
		for _, callee := range slices.Sorted(maps.Keys(f.callees)) {
			walk(callee, f.callees[callee], x, row+1)
			x += flameWidth * float64(f.callees[callee].samples) / float64(root.samples)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(root.callees)) {
		walk(name, root.callees[name], x, 0)
		x += flameWidth * float64(root.callees[name].samples) / float64(root.samples)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// flameColor is blue for the broker's own functions, green for other Go code and orange for the kernel, which has no dots in its names.
func flameColor(name string) string {
	h := fnv.New32a()
	io.WriteString(h, name)
	shade := int(h.Sum32() % 40)
	switch {
	case strings.HasPrefix(name, "ottla/"):
		return fmt.Sprintf("rgb(%d,%d,%d)", 110+shade, 160+shade, 235)
	case strings.Contains(strings.TrimSuffix(strings.TrimSuffix(name, ".isra.0"), ".part.0"), "."):
		return fmt.Sprintf("rgb(%d,%d,%d)", 130+shade, 205, 120+shade)
	}
	return fmt.Sprintf("rgb(%d,%d,%d)", 240, 150+shade, 80+shade)
}
