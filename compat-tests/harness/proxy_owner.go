package harness

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// owns says whether a process has the socket with these addresses, on loopback (proc(5)).
func owns(pid int, local, remote net.Addr) bool {
	inode := socketInode(local.(*net.TCPAddr).Port, remote.(*net.TCPAddr).Port)
	if inode == "" {
		return false
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}

// socketInode finds a socket by its two ports; "" if there is none. A JVM's sockets are IPv6 ones.
func socketInode(local, remote int) string {
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // sl local rem st queues tr retrnsmt uid timeout inode ...
			if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", local)) && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", remote)) {
				return f[9]
			}
		}
	}
	return ""
}
