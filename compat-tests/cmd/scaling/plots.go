package main

import (
	"fmt"
	"image/color"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// line is a measure of a series as a plot shows it: its medians, with the range of the repetitions.
type line struct {
	series, metric, label string
	scale                 float64 // what the values are multiplied with
}

// figure is one plot. What grows in proportion, or slower, is a level or falling line where the cost is that of one, and no steeper than
// the dashed one where it is that of all.
type figure struct {
	file, title, x, y string
	lines             []line
	total             bool // the cost of all: both axes logarithmic, and the dashed line of proportional growth
	relative          bool // the values are divided by the first one
}

var figures = []figure{
	{file: "cores.png", title: "Throughput by GOMAXPROCS, one is 1", x: "GOMAXPROCS", y: "times that with one", relative: true, lines: []line{
		{"cores-produce", "throughput", "produce, 64 KiB batches", 1},
		{"cores-requests", "requests", "one record in a request, 32 connections", 1},
		{"cores-fetch", "throughput", "fetch from page cache", 1},
	}},
	{file: "partitions-request.png", title: "CPU of a request with one record, by partitions", x: "partitions", y: "us", lines: []line{
		{"partitions", "cpu_per_mrec", "broker CPU", 1}}},
	{file: "partitions-create.png", title: "Creating partitions", x: "partitions", y: "s", total: true, lines: []line{
		{"created", "leaders", "until all have a leader", 1}, {"created", "first_write_all", "a first record to each", 1}}},
	{file: "connections-request.png", title: "CPU of a request with one record, by connections", x: "connections", y: "us", lines: []line{
		{"connections", "cpu_per_mrec", "broker CPU", 1}}},
	{file: "connections-memory.png", title: "Memory of an idle connection, by connections", x: "connections", y: "kB each", lines: []line{
		{"idle", "rss_per_conn", "resident memory", 1}}},
	{file: "consumers.png", title: "CPU of a GB that consumers got, by consumers of 1 MB/s", x: "consumers", y: "s", lines: []line{
		{"consumers", "cpu_per_gb", "broker CPU", 1}}},
}

var colors = []color.Color{color.RGBA{0x1b, 0x5e, 0x9b, 0xff}, color.RGBA{0xc2, 0x51, 0x0e, 0xff}, color.RGBA{0x2e, 0x7d, 0x32, 0xff}}

func drawAll(dir string, points []point) error {
	for _, f := range figures {
		if err := f.draw(filepath.Join(dir, f.file), points); err != nil {
			return fmt.Errorf("%s: %w", f.file, err)
		}
	}
	return nil
}

// ranges are points with their lowest and highest values, for error bars.
type ranges struct {
	plotter.XYs
	plotter.YErrors
}

func (f *figure) draw(path string, points []point) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.title, f.x, f.y
	p.Legend.Top, p.Legend.Left = true, f.total
	p.X.Tick.Marker = ticks{}
	if !f.relative {
		p.X.Scale = plot.LogScale{}
	}
	if f.total {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	p.Add(plotter.NewGrid())
	highest := 0.0
	for i, l := range f.lines {
		r, err := values(points, l, f.relative)
		if err != nil {
			return err
		}
		drawn, dots, err := plotter.NewLinePoints(r.XYs)
		if err != nil {
			return err
		}
		bars, err := plotter.NewYErrorBars(r)
		if err != nil {
			return err
		}
		drawn.Color, dots.Color, bars.Color = colors[i], colors[i], colors[i]
		dots.Shape = draw.CircleGlyph{}
		p.Add(drawn, dots, bars)
		p.Legend.Add(l.label, drawn, dots)
		for j := range r.XYs {
			highest = max(highest, r.XYs[j].Y+r.YErrors[j].High)
		}
		if f.total && i == 0 {
			last := r.XYs[len(r.XYs)-1]
			first := r.XYs[0]
			ref, err := plotter.NewLine(plotter.XYs{{X: first.X, Y: last.Y * first.X / last.X}, last})
			if err != nil {
				return err
			}
			ref.Dashes = []vg.Length{vg.Points(4), vg.Points(4)}
			p.Add(ref)
			p.Legend.Add("in proportion", ref)
		}
	}
	if !f.total {
		p.Y.Max = highest * 1.25 // room for the legend
	}
	c := vgimg.NewWith(vgimg.UseWH(16*vg.Centimeter, 9*vg.Centimeter), vgimg.UseDPI(110))
	p.Draw(draw.New(c))
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(out); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// values collects the medians of a line, in the order of x.
func values(points []point, l line, relative bool) (r ranges, err error) {
	at := map[float64][]float64{}
	for _, p := range points {
		if v, ok := p.Metrics[l.metric]; ok && p.Series == l.series {
			at[p.X] = append(at[p.X], v*l.scale)
		}
	}
	if len(at) == 0 {
		return r, fmt.Errorf("no figures of %s, %s", l.series, l.metric)
	}
	one := 1.0
	for i, x := range slices.Sorted(maps.Keys(at)) {
		v := slices.Sorted(slices.Values(at[x]))
		median := v[len(v)/2]
		if len(v)%2 == 0 {
			median = (v[len(v)/2-1] + v[len(v)/2]) / 2
		}
		if relative && i == 0 {
			one = median
		}
		r.XYs = append(r.XYs, plotter.XY{X: x, Y: median / one})
		r.YErrors = append(r.YErrors, struct{ Low, High float64 }{(median - v[0]) / one, (v[len(v)-1] - median) / one})
	}
	return r, nil
}

// ticks marks powers of two up to 64 where the axis ends there, and powers of ten where it goes further.
type ticks struct{}

func (ticks) Ticks(low, high float64) (t []plot.Tick) {
	base := 2.0
	if high > 100 {
		base = 10
	}
	for v := math.Pow(base, math.Floor(math.Log(low)/math.Log(base)+1e-9)); v <= high*1.001; v *= base {
		if v >= low*0.999 {
			t = append(t, plot.Tick{Value: v, Label: fmt.Sprintf("%.0f", v)})
		}
	}
	return t
}
