package harness

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProcessIsEndedByPid(t *testing.T) {
	p, err := startProcess(filepath.Join(t.TempDir(), "log"), "/", nil, "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.cmd.Process.Pid, 0); err == nil {
		t.Fatal("the process is still there")
	}
}

func TestStopKillsWhatIgnoresSIGTERM(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := startProcess(log, "/", nil, "sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done")
	if err != nil {
		t.Fatal(err)
	}
	err = p.await("shell", 5*time.Second, func() error {
		b, err := os.ReadFile(log)
		if err == nil && !strings.Contains(string(b), "deaf") {
			err = os.ErrNotExist
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(200 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Fatalf("stop: %v, want that it still ran", err)
	}
	if p.alive() {
		t.Fatal("the process is still there")
	}
}

func TestAwaitShowsTheOutputOfAProcessThatEnds(t *testing.T) {
	p, err := startProcess(filepath.Join(t.TempDir(), "log"), "/", nil, "sh", "-c", "echo bad setting; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = p.await("shell", 5*time.Second, func() error { return os.ErrNotExist })
	if err == nil || !strings.Contains(err.Error(), "bad setting") || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("await: %v", err)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
	}
}

func TestBrokerRestartsOnTheSamePortAndData(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker three times")
	}
	b := NewBroker(t, Config{ID: 7, SessionTimeout: 4 * time.Second})
	addr, pid := b.Addr, b.Pid()
	if err := b.Stop(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if b.Addr != addr || b.Pid() == pid {
		t.Fatalf("broker at %s pid %d, before at %s pid %d", b.Addr, b.Pid(), addr, pid)
	}
}
