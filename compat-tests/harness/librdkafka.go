package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// librdkafkaVersion is that of the Python client, which brings its own librdkafka. Debian's kcat has one that is too old for
// group.protocol=consumer.
const librdkafkaVersion = "2.16.1"

// Librdkafka runs members of groups with a current librdkafka (../librdkafka/member.py).
type Librdkafka struct{ python, program, packages string }

// FindLibrdkafka installs the client, once for all test processes. The error is ErrMissing on a machine without Python and pip.
func FindLibrdkafka() (*Librdkafka, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return nil, fmt.Errorf("python3: %w", ErrMissing)
	}
	l := &Librdkafka{
		python: python, program: filepath.Join(root, "compat-tests", "librdkafka", "member.py"),
		packages: filepath.Join(peersHome(), "librdkafka-"+librdkafkaVersion),
	}
	if _, err := os.Stat(l.packages); err == nil {
		return l, nil
	}
	if exec.Command(python, "-m", "pip", "--version").Run() != nil {
		return nil, fmt.Errorf("pip: %w", ErrMissing)
	}
	if err := os.MkdirAll(peersHome(), 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(peersHome(), "pip-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	out, err := exec.Command(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
		"--target", work, "confluent-kafka=="+librdkafkaVersion).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("install the Python client: %w\n%s", err, out)
	}
	if err := os.Rename(work, l.packages); err != nil { // another process may have been first
		if _, err2 := os.Stat(l.packages); err2 != nil {
			return nil, err
		}
	}
	return l, nil
}

// NewLibrdkafka is FindLibrdkafka for a test, which is skipped on a machine without Python.
func NewLibrdkafka(t testing.TB) *Librdkafka {
	t.Helper()
	l, err := FindLibrdkafka()
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Member is a command that consumes a topic as a member of a group until SIGTERM. Settings are key=value.
func (l *Librdkafka) Member(topic string, settings ...string) *exec.Cmd {
	cmd := exec.Command(l.python, append([]string{l.program, topic}, settings...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+l.packages, "PYTHONDONTWRITEBYTECODE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
