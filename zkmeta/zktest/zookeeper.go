package zktest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ClasspathEnv names the environment variable with the Java class path of a ZooKeeper server, 3.4 or
// later: the libs/* of a Kafka 3.9 distribution, or of ZooKeeper itself.
const ClasspathEnv = "OTTLA_ZK_CLASSPATH"

// Server is a ZooKeeper server of its own, on a free port of loopback.
type Server struct {
	Addr string // host:port

	config string
	log    string
	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// TickTime is the server's tickTime; sessions last 2 to 20 of them.
const TickTime = 500 * time.Millisecond

// StartZooKeeper starts a server, with further settings as key=value, that ends with the test, or skips the test if there is none to start.
func StartZooKeeper(t testing.TB, settings ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	s, err := start(dir, settings...)
	if errors.Is(err, errNoZooKeeper) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// StartEnsemble starts n servers that elect a leader among them, for the length of a test.
func StartEnsemble(t testing.TB, n int) []*Server {
	t.Helper()
	var lines []string
	for i := range n {
		var ports []string
		for range 2 { // for the others, and for the election
			addr, err := freeAddr()
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, addr[strings.LastIndexByte(addr, ':')+1:])
		}
		lines = append(lines, fmt.Sprintf("server.%d=127.0.0.1:%s", i+1, strings.Join(ports, ":")))
	}
	lines = append(lines, "initLimit=20", "syncLimit=10", "maxSessionTimeout=60000")
	servers, errs := make([]*Server, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		dir := t.TempDir()
		err := os.MkdirAll(filepath.Join(dir, "data"), 0o700)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "data", "myid"), fmt.Append(nil, i+1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { servers[i], errs[i] = start(dir, lines...) }) // serves when a majority is there
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, s := range servers {
			if s != nil {
				s.Stop()
			}
		}
	})
	switch err := errors.Join(errs...); {
	case errors.Is(err, errNoZooKeeper):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return servers
}

// Leads says whether the server is the leader of its ensemble.
func (s *Server) Leads() bool { return strings.Contains(s.srvr(), "Mode: leader") }

// Shared starts one server for a whole package. Call stop at the end of TestMain; server is nil, with the
// reason, if there is none to start.
func Shared() (server *Server, stop func(), reason error) {
	dir, err := os.MkdirTemp("", "zktest")
	if err != nil {
		return nil, func() {}, err
	}
	s, err := start(dir)
	if err != nil {
		return nil, func() {}, errors.Join(err, os.RemoveAll(dir))
	}
	return s, func() { s.Stop(); _ = os.RemoveAll(dir) }, nil
}

var errNoZooKeeper = errors.New("no ZooKeeper to test with")

func start(dir string, settings ...string) (*Server, error) {
	classpath := os.Getenv(ClasspathEnv)
	if classpath == "" {
		return nil, fmt.Errorf("%w: %s is not set", errNoZooKeeper, ClasspathEnv)
	}
	if _, err := exec.LookPath("java"); err != nil {
		return nil, fmt.Errorf("%w: %v", errNoZooKeeper, err)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	s := &Server{Addr: addr, config: filepath.Join(dir, "zk.properties"), log: filepath.Join(dir, "zk.log")}
	text := fmt.Sprintf("tickTime=%d\ndataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n"+
		"admin.enableServer=false\n4lw.commands.whitelist=*\nforceSync=no\n", TickTime.Milliseconds(), filepath.Join(dir, "data"), port)
	for _, line := range settings {
		text += line + "\n"
	}
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return s, s.Start()
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Start starts the server (again, on the same data) and waits until it serves.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return errors.New("ZooKeeper runs already")
	}
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command("java", "-Xmx256m", "-cp", os.Getenv(ClasspathEnv),
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", s.config)
	cmd.Stdout, cmd.Stderr = out, out
	// Killed with the test process, also when that panics. The kernel ties this to the thread that starts
	// the child, so that thread waits for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.exited = cmd, exited
	deadline := time.Now().Add(60 * time.Second)
	for !s.serves() {
		select {
		case <-exited:
			text, _ := os.ReadFile(s.log)
			s.cmd = nil
			return fmt.Errorf("ZooKeeper did not start:\n%s", text)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			<-exited
			s.cmd = nil
			return errors.New("ZooKeeper did not serve within a minute")
		}
	}
	return nil
}

func (s *Server) serves() bool { return strings.HasPrefix(s.srvr(), "Zookeeper version") }

// srvr is the answer to the four letter word of that name; empty if there is none.
func (s *Server) srvr() string {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("srvr")); err != nil {
		return ""
	}
	text, err := io.ReadAll(c)
	if err != nil {
		return ""
	}
	return string(text)
}

// Stop kills the server.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Pid is the server's process, for signals.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}
