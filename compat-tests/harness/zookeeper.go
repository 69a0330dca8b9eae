package harness

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// ZooKeeper is a one-node server on loopback.
type ZooKeeper struct {
	Addr string // host:port
	dir  string
	java []string
	proc *process
}

// StartZooKeeper runs a server with its data in dir. tickTime is short, so that a session (at least two ticks) of a
// killed broker ends within a second.
func StartZooKeeper(dir string) (*ZooKeeper, error) {
	cp, err := zooKeeperClasspath()
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n"+
		"admin.enableServer=false\n4lw.commands.whitelist=*\n", filepath.Join(dir, "data"), port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	z := &ZooKeeper{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir,
		java: []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", cp,
			"org.apache.zookeeper.server.quorum.QuorumPeerMain", conf},
	}
	return z, z.Start()
}

// Start runs the server again on the same port and data.
func (z *ZooKeeper) Start() error {
	p, err := startProcess(filepath.Join(z.dir, "zookeeper.log"), z.dir, nil, z.java...)
	if err != nil {
		return err
	}
	z.proc = p
	if err := p.await("ZooKeeper", 60*time.Second, z.ruok); err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

// ruok asks the server whether it serves (ZooKeeper's four-letter command).
func (z *ZooKeeper) ruok() error {
	c, err := net.DialTimeout("tcp", z.Addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, "ruok"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if string(b) != "imok" {
		return fmt.Errorf("ruok answered %q", b)
	}
	return nil
}

// Stop ends the server with SIGTERM.
func (z *ZooKeeper) Stop() error { return z.proc.stop(20 * time.Second) }

// Kill ends the server with SIGKILL.
func (z *ZooKeeper) Kill() error { return z.proc.kill() }
