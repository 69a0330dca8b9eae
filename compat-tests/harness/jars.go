package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KafkaVersion is the newest Apache Kafka that runs on ZooKeeper: the reference of every comparison.
const KafkaVersion = "3.9.2"

// ErrMissing is wrapped when a server cannot be run because its program is not on this machine: a test skips.
var ErrMissing = errors.New("not installed")

// Root returns the repository's directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module ottla\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the ottla repository")
		}
		dir = parent
	}
}

// OttlaBinary returns the path of the broker under test.
func OttlaBinary() (string, error) {
	if bin := os.Getenv("OTTLA_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "ottla")
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("bin/ottla: %w (run `make build`)", ErrMissing)
	}
	return bin, nil
}

func peersDir() (string, error) {
	root, err := Root()
	return filepath.Join(root, "compat-tests", "peers"), err
}

// peersHome is where jars are kept, as in ../peers/kafka.
func peersHome() string {
	if home := os.Getenv("PEERS_HOME"); home != "" {
		return home
	}
	return "/tmp/peers"
}

// kafkaClasspath returns Kafka's class path, fetching the jars with Maven when they are not there yet.
func kafkaClasspath() (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("java: %w", ErrMissing)
	}
	peers, err := peersDir()
	if err != nil {
		return "", err
	}
	libs := filepath.Join(peersHome(), "kafka-"+KafkaVersion, "libs")
	if _, err := os.Stat(filepath.Join(libs, "kafka_2.13-"+KafkaVersion+".jar")); err != nil {
		if _, err := exec.LookPath("mvn"); err != nil {
			return "", fmt.Errorf("jars of Kafka in %s, and mvn to fetch them: %w", libs, ErrMissing)
		}
		out, err := exec.Command(filepath.Join(peers, "kafka"), "fetch", KafkaVersion).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("fetch Kafka %s: %w\n%s", KafkaVersion, err, out)
		}
	}
	return libs + "/*:" + peers, nil
}

// KafkaTool runs a class of Kafka's tools and returns what it prints.
func KafkaTool(class string, args ...string) (string, error) {
	cp, err := kafkaClasspath()
	if err != nil {
		return "", err
	}
	argv := append([]string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", cp, class}, args...)
	out, err := exec.Command("java", argv...).CombinedOutput()
	return string(out), err
}

// zooKeeperClasspath returns a class path that has a ZooKeeper server.
func zooKeeperClasspath() (string, error) {
	cp := os.Getenv("OTTLA_ZK_CLASSPATH")
	if cp == "" {
		return kafkaClasspath()
	}
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("java: %w", ErrMissing)
	}
	return cp, nil
}
