package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/storage/vfs"
)

// Meta is what meta.properties says of the broker that a log directory belongs to.
type Meta struct {
	BrokerID  int32  // -1: not known
	ClusterID string // "": not known
}

// decodeMeta reads meta.properties. A ZooKeeper broker of Kafka 3.9 accepts version 0 only; version 1 is KRaft's.
func decodeMeta(data []byte) (Meta, error) {
	p, err := parseProperties(data)
	if err != nil {
		return Meta{}, err
	}
	if v := strings.TrimSpace(p["version"]); v != "0" {
		return Meta{}, fmt.Errorf("version %q is not 0", truncateText(v))
	}
	m := Meta{BrokerID: -1, ClusterID: strings.TrimSpace(p["cluster.id"])}
	if s := strings.TrimSpace(p["broker.id"]); s != "" {
		id, err := strconv.ParseInt(s, 10, 32)
		if err != nil || id < 0 {
			return Meta{}, fmt.Errorf("broker.id %q is not a number from 0 on", truncateText(s))
		}
		m.BrokerID = int32(id)
	}
	return m, nil
}

// encodeMeta renders it as Java's Properties does.
func encodeMeta(m Meta, now time.Time) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#\n#%s\n", now.UTC().Format("Mon Jan 02 15:04:05 MST 2006"))
	fmt.Fprintf(&b, "broker.id=%d\nversion=0\ncluster.id=%s\n", m.BrokerID, m.ClusterID)
	return b.Bytes()
}

// readMeta reads the file of one directory; ok is false if there is none.
func readMeta(fsys vfs.FS, dir string) (m Meta, ok bool, err error) {
	path := join(dir, metaPropertiesName)
	data, err := vfs.ReadFile(fsys, path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return Meta{BrokerID: -1}, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if m, err = decodeMeta(data); err != nil {
		return m, false, corruptFile(path, "%v", err)
	}
	return m, true, nil
}

// PeekMeta reads broker and cluster id from the log directories before they are opened; directories without them do not count. It takes no lock.
// Errors: files that cannot be read, or that contradict each other.
func PeekMeta(fsys vfs.FS, dirs []string) (Meta, error) {
	found := Meta{BrokerID: -1}
	from := ""
	for _, dir := range dirs {
		m, ok, err := readMeta(fsys, dir)
		if err != nil {
			return found, err
		}
		if !ok {
			continue
		}
		if from != "" && m != found {
			return found, fmt.Errorf("%s belongs to broker %d of cluster %q, but %s to broker %d of cluster %q", dir, m.BrokerID, m.ClusterID, from, found.BrokerID, found.ClusterID)
		}
		found, from = m, dir
	}
	return found, nil
}

// checkMeta compares a directory's meta.properties with what the broker is, and writes it if there is none.
func checkMeta(fsys vfs.FS, dir string, want Meta) error {
	got, ok, err := readMeta(fsys, dir)
	if err != nil {
		return err
	}
	path := join(dir, metaPropertiesName)
	if !ok {
		return replaceFile(fsys, path, encodeMeta(want, time.Now()), true)
	}
	if got.ClusterID != "" && got.ClusterID != want.ClusterID {
		return fmt.Errorf("%s belongs to cluster %q, this broker to cluster %q; is it the right log directory, and the right zookeeper.connect?: %w",
			path, got.ClusterID, want.ClusterID, kerr.InconsistentClusterID)
	}
	if got.BrokerID >= 0 && got.BrokerID != want.BrokerID {
		return fmt.Errorf("%s belongs to broker %d, this is broker %d; broker.id was changed, or the log directory is another broker's", path, got.BrokerID, want.BrokerID)
	}
	return nil
}
