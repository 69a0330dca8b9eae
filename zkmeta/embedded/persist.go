package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"ottla/zkmeta"
)

// change is one node to be written, or with a nil value removed.
type change struct {
	path  string
	value []byte
}

// persister keeps the tree. Commit is durable when it returns.
type persister interface {
	commit(zxid int64, changes []change) error
	close() error
}

// memory forgets everything: for simulations and tests.
type memory struct{}

func (memory) commit(int64, []change) error { return nil }
func (memory) close() error                 { return nil }

// CorruptError says that the file does not hold a whole tree.
type CorruptError struct {
	File string
	Path string // znode, if known
	Err  error
}

func (e *CorruptError) Error() string {
	at := ""
	if e.Path != "" {
		at = " at znode " + e.Path
	}
	return fmt.Sprintf("metadata file %s is damaged%s: %v", e.File, at, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// ErrInUse: another process has the file open.
var ErrInUse = errors.New("metadata file is in use by another process")

var (
	bucketMeta  = []byte("meta")
	bucketNodes = []byte("nodes")
	keyFormat   = []byte("format")
	keyZxid     = []byte("zxid")
)

const fileFormat = 1

// boltFile is the persister over a bbolt file.
type boltFile struct {
	db *bbolt.DB
}

// openBolt opens or creates the file and loads the tree.
func openBolt(file string, lockTimeout time.Duration) (_ *boltFile, _ *tree, err error) {
	created := false
	switch info, statErr := os.Stat(file); {
	case errors.Is(statErr, os.ErrNotExist):
		created = true
	case statErr != nil:
		return nil, nil, fmt.Errorf("open metadata file: %w", statErr)
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("open metadata file: %s is not a regular file", file)
	}
	// bbolt reads through a memory map: damaged pages show as panics, a file cut short as a fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var db *bbolt.DB
	var handle *os.File // when Open panics nobody else closes it, and the lock would stay
	defer func() {
		if r := recover(); r != nil {
			err = &CorruptError{File: file, Err: fmt.Errorf("%v", r)}
		}
		switch {
		case err != nil && db != nil:
			_ = closeBolt(db)
		case err != nil && handle != nil:
			// The memory map that Open left behind keeps the lock beyond the file's close.
			_ = unix.Flock(int(handle.Fd()), unix.LOCK_UN)
			_ = handle.Close()
		}
	}()
	db, err = bbolt.Open(file, 0o600, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			handle, err = os.OpenFile(name, flag, mode)
			return handle, err
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, nil, fmt.Errorf("%w: %s", ErrInUse, file)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, nil, &CorruptError{File: file, Err: err}
	case err != nil && (errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist)):
		return nil, nil, fmt.Errorf("open metadata file: %w", err)
	case err != nil:
		return nil, nil, &CorruptError{File: file, Err: err}
	}
	if created {
		if err := syncDir(filepath.Dir(file)); err != nil {
			return nil, nil, fmt.Errorf("open metadata file: %w", err)
		}
	}
	t, err := loadTree(db, file)
	if err != nil {
		return nil, nil, err
	}
	return &boltFile{db}, t, nil
}

func loadTree(db *bbolt.DB, file string) (*tree, error) {
	var t *tree
	err := db.View(func(tx *bbolt.Tx) error {
		meta, nodes := tx.Bucket(bucketMeta), tx.Bucket(bucketNodes)
		if meta == nil && nodes == nil {
			return nil // new
		}
		if info, err := os.Stat(file); err == nil && info.Size() < tx.Size() {
			return &CorruptError{File: file, Err: fmt.Errorf("%d bytes long instead of %d", info.Size(), tx.Size())}
		}
		if meta == nil || nodes == nil {
			return &CorruptError{File: file, Err: errors.New("a bucket is missing")}
		}
		if f := meta.Get(keyFormat); len(f) != 1 || f[0] != fileFormat {
			return fmt.Errorf("metadata file %s has format %x, this version reads %d", file, f, fileFormat)
		}
		z := meta.Get(keyZxid)
		if len(z) != 8 {
			return &CorruptError{File: file, Err: errors.New("no zxid")}
		}
		loaded, err := readNodes(nodes, int64(binary.BigEndian.Uint64(z)))
		if c := (*CorruptError)(nil); errors.As(err, &c) {
			c.File = file
		}
		t = loaded
		return err
	})
	if err != nil || t != nil {
		return t, err
	}
	t = newTree()
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket(bucketMeta)
		if err != nil {
			return err
		}
		nodes, err := tx.CreateBucket(bucketNodes)
		if err != nil {
			return err
		}
		return errors.Join(meta.Put(keyFormat, []byte{fileFormat}), meta.Put(keyZxid, make([]byte, 8)),
			nodes.Put([]byte("/"), appendNode(nil, "/", t.nodes["/"])))
	})
	if err != nil {
		return nil, fmt.Errorf("create metadata file %s: %w", file, err)
	}
	return t, nil
}

func readNodes(b *bbolt.Bucket, zxid int64) (*tree, error) {
	t := &tree{nodes: make(map[string]*node), zxid: zxid}
	var last []byte
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		path := string(k)
		if last != nil && bytes.Compare(last, k) >= 0 {
			return nil, &CorruptError{Path: path, Err: errors.New("keys are not in order")}
		}
		last = k
		n, err := decodeNode(path, v)
		if err == nil {
			err = zkmeta.ValidatePath(path, false)
		}
		if err == nil && max(n.czxid, n.mzxid, n.pzxid) > zxid {
			err = fmt.Errorf("transaction id beyond the last one, %d", zxid)
		}
		if err != nil {
			return nil, &CorruptError{Path: path, Err: err}
		}
		t.nodes[path] = n
	}
	if t.nodes["/"] == nil {
		return nil, &CorruptError{Path: "/", Err: errors.New("missing")}
	}
	for path := range t.nodes {
		if path == "/" {
			continue
		}
		parent := t.nodes[zkmeta.Parent(path)]
		if parent == nil {
			return nil, &CorruptError{Path: path, Err: errors.New("has no parent")}
		}
		if parent.children == nil {
			parent.children = make(map[string]struct{})
		}
		parent.children[filepath.Base(path)] = struct{}{}
	}
	return t, nil
}

func (f *boltFile) commit(zxid int64, changes []change) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write metadata file %s: %v", f.db.Path(), r)
		}
	}()
	err = f.db.Update(func(tx *bbolt.Tx) error {
		nodes := tx.Bucket(bucketNodes)
		for i := range changes {
			c := &changes[i]
			if c.value == nil {
				if err := nodes.Delete([]byte(c.path)); err != nil {
					return err
				}
			} else if err := nodes.Put([]byte(c.path), c.value); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyZxid, binary.BigEndian.AppendUint64(nil, uint64(zxid)))
	})
	if err != nil {
		return fmt.Errorf("write metadata file %s: %w", f.db.Path(), err)
	}
	return nil
}

func (f *boltFile) close() error { return closeBolt(f.db) }

// closeBolt closes a file that may be damaged.
func closeBolt(db *bbolt.DB) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("close metadata file: %v", r)
		}
	}()
	return db.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
