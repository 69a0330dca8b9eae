package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// What the entry points of the Kafka images do beyond the environment. Only with Sources.Container.

// containerFiles are the places where the images look for a mounted server.properties.
var containerFiles = []string{"/mnt/shared/config/server.properties", "/opt/kafka/config/server.properties", "/etc/kafka/server.properties",
	"/bitnami/kafka/config/server.properties", "/opt/bitnami/kafka/config/server.properties"}

// containerDirs are the images' data volumes; the last is used when none is mounted.
var containerDirs = []string{"/var/lib/kafka/data", "/bitnami/kafka/data", "/kafka/kafka-logs-" + hostName()}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

func containerFile(root string) string {
	for _, f := range containerFiles {
		if info, err := os.Stat(filepath.Join(root, f)); err == nil && info.Mode().IsRegular() {
			return filepath.Join(root, f)
		}
	}
	return ""
}

func (l *loader) containerDefaults() {
	if !l.has("log.dirs") && !l.has("log.dir") {
		dir, why := l.containerDir()
		l.put(Setting{Name: "log.dirs", Value: dir, Where: why})
	}
	l.oneNodeKRaft()
}

// containerDir is the first of the images' data directories that is mounted or holds something.
func (l *loader) containerDir() (dir, why string) {
	for _, d := range containerDirs {
		path := filepath.Join(l.src.Root, d)
		if mounted(path) {
			return path, "the mounted data directory"
		}
		if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
			return path, "the data directory that is not empty"
		}
	}
	return filepath.Join(l.src.Root, containerDirs[0]), "the default of a container"
}

// mounted says whether path is the root of a file system.
func mounted(path string) bool {
	own, err := os.Stat(path)
	if err != nil || !own.IsDir() {
		return false
	}
	up, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return false
	}
	a, okA := own.Sys().(*syscall.Stat_t)
	b, okB := up.Sys().(*syscall.Stat_t)
	return okA && okB && a.Dev != b.Dev
}

// oneNodeKRaft reads the settings of a one-node KRaft container, the shape of every apache/kafka compose file, as standalone: the
// controller's listeners are not opened. A quorum of several voters, or a node without the role broker, stays refused. It applies to
// the environment only: process.roles in a file is refused like everywhere.
func (l *loader) oneNodeKRaft() {
	roles, ok := l.settings["process.roles"]
	if !ok || !strings.HasPrefix(roles.Where, "environment variable ") {
		return
	}
	if !slices.Contains(splitList(roles.Value), "broker") {
		l.problems = append(l.problems, &Problem{Key: "process.roles", Where: roles.Where,
			Text: "process.roles=" + roles.Value + ": a node without the role broker makes no sense here, there is no KRaft quorum to take part in"})
		return
	}
	if voters := splitList(l.settings["controller.quorum.voters"].Value); len(voters) > 1 {
		l.problems = append(l.problems, &Problem{Key: "controller.quorum.voters", Where: l.settings["controller.quorum.voters"].Where,
			Text: fmt.Sprintf("controller.quorum.voters names %d voters: a KRaft quorum of several nodes is not possible, run brokers with zookeeper.connect instead", len(voters))})
		return
	}
	delete(l.settings, "process.roles")
	controllers := splitList(l.settings["controller.listener.names"].Value)
	var dropped []string
	for _, key := range []string{"listeners", "advertised.listeners"} {
		s, ok := l.settings[key]
		if !ok {
			continue
		}
		items := slices.DeleteFunc(splitList(s.Value), func(item string) bool {
			name, _, _ := strings.Cut(item, "://")
			if !slices.Contains(controllers, name) {
				return false
			}
			dropped = append(dropped, item)
			return true
		})
		s.Value = strings.Join(items, ",")
		l.settings[key] = s
	}
	l.warnings = append(l.warnings, Warning{Key: "process.roles", Where: roles.Where,
		Text: fmt.Sprintf("process.roles=%s: runs standalone, without KRaft; controller listeners are not opened: %s", roles.Value, strings.Join(dropped, ", "))})
}
