package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is one child process with its output in a file.
type process struct {
	cmd     *exec.Cmd
	logPath string
	exited  chan struct{} // closed after Wait
	err     error         // of Wait; read after exited
}

// startProcess runs argv with its output appended to logPath.
func startProcess(logPath, dir string, env []string, argv ...string) (*process, error) {
	return startProcessOut(logPath, logPath, dir, env, argv...)
}

// startProcessOut runs argv with standard output appended to outPath and standard error to logPath.
func startProcessOut(outPath, logPath, dir string, env []string, argv ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	out := log
	if outPath != logPath {
		if out, err = os.OpenFile(outPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return nil, err
		}
		defer out.Close()
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	p := &process{cmd: cmd, logPath: logPath, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal sends sig and waits until the process has ended or limit has passed.
func (p *process) signal(sig os.Signal, limit time.Duration) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("process %d still runs %v after %v", p.cmd.Process.Pid, limit, sig)
	}
}

// stop asks with SIGTERM and, when that takes longer than limit, ends the process and says so.
func (p *process) stop(limit time.Duration) error {
	err := p.signal(syscall.SIGTERM, limit)
	if err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

// kill ends the process at once (SIGKILL); what it had written stays in the page cache.
func (p *process) kill() error { return p.signal(syscall.SIGKILL, 10*time.Second) }

// tail returns the last lines of the output.
func (p *process) tail(lines int) string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// await calls ready until it returns nil, the process ends, or limit has passed.
func (p *process) await(what string, limit time.Duration, ready func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready (%v); last output:\n%s", what, p.err, p.tail(30))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s not ready after %v: %w; last output:\n%s", what, limit, err, p.tail(30))
		}
	}
}
