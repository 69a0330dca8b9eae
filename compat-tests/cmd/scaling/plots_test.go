package main

import (
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// The figures that the documentation shows can be drawn from what is kept beside them, and show what was measured.
func TestDraw(t *testing.T) {
	dir := t.TempDir()
	var kept bytes.Buffer
	to := json.NewEncoder(&kept)
	for rep, factor := range []float64{3, 1, 2} {
		for _, s := range all {
			for _, x := range s.xs {
				m := map[string]float64{}
				for _, f := range figures {
					for _, l := range f.lines {
						m[l.metric] = factor * float64(x)
					}
				}
				if err := to.Encode(point{Series: s.name, Rep: rep + 1, X: float64(x), Metrics: m}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "scaling.jsonl"), kept.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(dir, "", "", true, 0); err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		text, err := os.ReadFile(filepath.Join(dir, f.file))
		if err != nil {
			t.Fatal(err)
		}
		if img, err := png.Decode(bytes.NewReader(text)); err != nil || img.Bounds().Dx() < 500 {
			t.Errorf("%s: %v", f.file, err)
		}
	}
	points, err := read(filepath.Join(dir, "scaling.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := values(points, line{"cores-fetch", "throughput", "", 1}, true)
	if err != nil || len(r.XYs) != 2 || r.XYs[1].Y != 2 || r.YErrors[1].Low != 1 || r.YErrors[1].High != 1 {
		t.Errorf("%+v, %v: want twice as much with two, from 1 to 3", r, err)
	}
	if _, err := values(points, line{"nothing", "throughput", "", 1}, false); err == nil {
		t.Error("a line without figures is no error")
	}
}
