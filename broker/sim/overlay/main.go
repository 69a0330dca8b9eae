// Overlay writes a copy of a few files of Go's runtime and of its mutex in which nothing is left to chance, and the file for `go build -overlay` that puts them
// in the place of the originals. Programs built with it run the same way each time, as far as goroutines of a testing/synctest bubble go:
//
//   - the choice of select, the order of maps and of timers that are due at once, and math/rand come from one generator, which the simulation seeds;
//   - which goroutine runs next is drawn from it, too, where Go has a fixed rule, so that other seeds try other orders;
//   - no goroutine is preempted because it has run for 10 ms, and no mutex changes its manner because somebody has waited for 1 ms.
//
// It fails if the runtime is not the one that it knows.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// patch replaces text that occurs once in a file of the standard library.
type patch struct{ file, old, new string }

var patches = []patch{
	{"runtime/rand.go", "	globalRand.state.Init(*seed)\n", "	*seed = [32]byte{1}\n	globalRand.state.Init(*seed)\n"},
	{"runtime/rand.go", "	mp := getg().m\n	c := &mp.chacha8\n", "	if getg().bubble != nil {\n		return simRand()\n	}\n	mp := getg().m\n	c := &mp.chacha8\n"},
	{"runtime/rand.go", "// rand32 is uint32(rand())", `// simState is the state of simRand.
var simState uint64

// simRand is splitmix64.
//
//go:nosplit
func simRand() uint64 {
	simState += 0x9e3779b97f4a7c15
	z := simState
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// simChoice is below n.
//
//go:nosplit
func simChoice(n uint32) uint32 {
	if getg().bubble == nil {
		return cheaprandn(n)
	}
	return uint32(uint64(uint32(simRand())) * uint64(n) >> 32)
}

//go:linkname simSeed ottla/broker/sim.seedRuntime
func simSeed(seed uint64) { simState = seed }

// rand32 is uint32(rand())`},
	{"runtime/select.go", "		j := cheaprandn(uint32(norder + 1))\n", "		j := simChoice(uint32(norder + 1))\n"},
	{"runtime/time.go", "			t.rand = cheaprand()\n", "			t.rand = uint32(simRand())\n"},
	{"runtime/proc.go", "const forcePreemptNS = 10 * 1000 * 1000 // 10ms\n", "const forcePreemptNS = 1 << 60\n"},
	{"runtime/proc.go", "	if randomizeScheduler && next && randn(2) == 0 {\n", "	if next && gp.bubble != nil && simRand()&1 == 0 {\n"},
	{"internal/sync/mutex.go", "	starvationThresholdNs = 1e6\n", "	starvationThresholdNs = 1 << 60\n"},
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "overlay:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src")
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	texts := map[string]string{}
	for _, p := range patches {
		if texts[p.file] == "" {
			text, err := os.ReadFile(filepath.Join(src, p.file))
			if err != nil {
				return err
			}
			texts[p.file] = string(text)
		}
		if n := strings.Count(texts[p.file], p.old); n != 1 {
			return fmt.Errorf("%s is not as expected: %q is there %d times", p.file, p.old, n)
		}
		texts[p.file] = strings.Replace(texts[p.file], p.old, p.new, 1)
	}
	replace := map[string]string{}
	for name, text := range texts {
		// The same name would make it a file of the wrong package for tools that look into dir.
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_")+".txt")
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
		replace[filepath.Join(src, name)] = to
	}
	out, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overlay.json"), out, 0o644)
}
