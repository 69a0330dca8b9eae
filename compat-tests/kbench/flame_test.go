package main

import (
	"strings"
	"testing"
)

func TestFlame(t *testing.T) {
	const script = `ottla 1 [000] 1.0: 250000 cpu-clock:
	ffffffff81 vfs_write+0x1f ([kernel.kallsyms])
	     4a0010 ottla/storage.(*Log).pwrite+0x10 (/bin/ottla)
	     400010 runtime.goexit.abi0+0x1 (/bin/ottla)

ottla 1 [000] 1.1: 250000 cpu-clock:
	     4a0020 ottla/storage.(*Log).pwrite+0x20 (/bin/ottla)
	     400010 runtime.goexit.abi0+0x1 (/bin/ottla)

ottla 1 [000] 1.2: 250000 cpu-clock:
	     4b0020 runtime.sysmon (/bin/ottla)
`
	root, err := readStacks(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	pwrite := root.callees["runtime.goexit.abi0"].callees["ottla/storage.(*Log).pwrite"]
	if root.samples != 3 || pwrite.samples != 2 || pwrite.callees["vfs_write"].samples != 1 || root.callees["runtime.sysmon"].samples != 1 {
		t.Errorf("%+v", root)
	}
	svg := drawFlame(root, "a < b")
	for _, want := range []string{"a &lt; b", "3 samples", "<title>ottla/storage.(*Log).pwrite: 66.7 %</title>", `width="799.5"`, ">storage.(*Log).pwrite</text>", "<title>vfs_write: 33.3 %</title>"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
}
