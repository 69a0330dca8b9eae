package harness

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// JavaVersions are the Java clients that programs are compiled and run with: the last of the 3 line, which is what most
// applications have, and a current one.
var JavaVersions = []string{KafkaVersion, "4.3.1"}

// JavaClients are the compiled programs of ../java/programs with the jars of one version of the Java client.
type JavaClients struct {
	Version   string
	classpath string
}

// NewJavaClients fetches the jars and compiles the programs, each once for all test processes. The test is skipped on a
// machine without a JDK, or without Maven and the jars.
func NewJavaClients(t testing.TB, version string) *JavaClients {
	t.Helper()
	j, err := javaClients(version)
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func javaClients(version string) (*JavaClients, error) {
	for _, tool := range []string{"java", "javac"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s: %w", tool, ErrMissing)
		}
	}
	root, err := Root()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "compat-tests")
	libs := filepath.Join(peersHome(), "clients-"+version, "libs")
	if _, err := os.Stat(filepath.Join(libs, "kafka-clients-"+version+".jar")); err != nil {
		if _, err := exec.LookPath("mvn"); err != nil {
			return nil, fmt.Errorf("jars of the Java client in %s, and mvn to fetch them: %w", libs, ErrMissing)
		}
		out, err := exec.Command(filepath.Join(dir, "peers", "kafka"), "clients", version).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("fetch the Java client %s: %w\n%s", version, err, out)
		}
	}
	classes, err := compileJava(filepath.Join(dir, "java", "programs"), libs, version)
	if err != nil {
		return nil, err
	}
	return &JavaClients{Version: version, classpath: classes + ":" + libs + "/*"}, nil
}

// compileJava compiles the sources of dir, and of its folder named like the version (for programs that other versions
// have no API for). Classes are kept under a name made of the sources, so that they are compiled once.
func compileJava(dir, libs, version string) (string, error) {
	sources, err := filepath.Glob(filepath.Join(dir, "*.java"))
	if err != nil {
		return "", err
	}
	own, err := filepath.Glob(filepath.Join(dir, version, "*.java"))
	if err != nil {
		return "", err
	}
	sources = append(sources, own...)
	sum := sha256.New()
	for _, s := range sources {
		b, err := os.ReadFile(s)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(s), len(b), b)
	}
	classes := filepath.Join(peersHome(), fmt.Sprintf("java-%s-%.8x", version, sum.Sum(nil)))
	if _, err := os.Stat(classes); err == nil {
		return classes, nil
	}
	work, err := os.MkdirTemp(peersHome(), "javac-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	args := append([]string{"-d", work, "-cp", libs + "/*", "-Xlint:all,-processing,-classfile,-path", "-Werror", "--release", "17"}, sources...)
	if out, err := exec.Command("javac", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("javac, with the Java client %s: %w\n%s", version, err, out)
	}
	// Another process may have been first; its classes are the same.
	if err := os.Rename(work, classes); err != nil {
		if _, err2 := os.Stat(classes); err2 != nil {
			return "", err
		}
	}
	return classes, nil
}

// JavaProgram is a running program.
type JavaProgram struct {
	proc *process
	out  string
}

// Start runs the program with key=value arguments (see programs/Options.java). It is ended, if it still runs, with the
// test, and its messages are shown when the test has failed.
func (j *JavaClients) Start(t testing.TB, class string, options ...string) *JavaProgram {
	t.Helper()
	p, err := j.StartIn(Dir(t), class, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.Alive() {
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("last messages of %s with the Java client %s:\n%s", class, j.Version, p.Messages(40))
		}
	})
	return p
}

// StartIn runs the program with its output in dir; whoever calls it ends it.
func (j *JavaClients) StartIn(dir, class string, options ...string) (*JavaProgram, error) {
	out := filepath.Join(dir, class+".out")
	p, err := startProcessOut(out, filepath.Join(dir, class+".log"), dir, nil, j.argv(class, options)...)
	if err != nil {
		return nil, err
	}
	return &JavaProgram{proc: p, out: out}, nil
}

// Command is the program for a caller that runs it itself. It is killed when the caller's process ends.
func (j *JavaClients) Command(class string, options ...string) *exec.Cmd {
	argv := j.argv(class, options)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (j *JavaClients) argv(class string, options []string) []string {
	return append([]string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", j.classpath, class}, options...)
}

// Run runs a program to its end and returns the lines of its standard output. The test fails when the program does, or
// when it takes longer than limit.
func (j *JavaClients) Run(t testing.TB, limit time.Duration, class string, options ...string) []string {
	t.Helper()
	p := j.Start(t, class, options...)
	if err := p.Wait(limit); err != nil {
		t.Fatalf("%s with the Java client %s: %v", class, j.Version, err)
	}
	return p.Lines()
}

// Wait returns nil when the program has ended with exit code 0.
func (p *JavaProgram) Wait(limit time.Duration) error {
	select {
	case <-p.proc.exited:
		return p.proc.err
	case <-time.After(limit):
		return fmt.Errorf("still runs after %v", limit)
	}
}

// Lines are the whole lines of standard output so far.
func (p *JavaProgram) Lines() []string {
	b, err := os.ReadFile(p.out)
	if err != nil {
		return nil
	}
	text := string(b)
	end := strings.LastIndexByte(text, '\n')
	if end < 0 {
		return nil
	}
	return strings.Split(text[:end], "\n")
}

// Await waits until a line of the output is this one.
func (p *JavaProgram) Await(limit time.Duration, line string) error {
	return p.proc.await("Java program", limit, func() error {
		for _, l := range p.Lines() {
			if l == line {
				return nil
			}
		}
		return fmt.Errorf("did not print %q", line)
	})
}

// Messages are the last lines of standard error: the client's log and stack traces.
func (p *JavaProgram) Messages(lines int) string { return p.proc.tail(lines) }

// Alive says that the program still runs.
func (p *JavaProgram) Alive() bool { return p.proc.alive() }

// Stop asks the program to end (SIGTERM).
func (p *JavaProgram) Stop(limit time.Duration) error { return p.proc.stop(limit) }

// Kill ends the program at once (SIGKILL).
func (p *JavaProgram) Kill() error { return p.proc.kill() }
