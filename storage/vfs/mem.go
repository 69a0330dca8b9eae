package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a filesystem in memory that can crash. The root directory exists.
//
// Each file keeps, beside its contents, those of its last Sync and the writes since; each directory keeps the names of
// its last SyncDir and the changes since. A rename within a directory is one change. (Renames between directories are
// refused: a log directory has none.)
type Mem struct {
	mu    sync.Mutex
	root  *memNode
	locks map[string]bool
	total int64
}

type memNode struct {
	isDir    bool
	modified time.Time

	data   []byte   // a file's contents
	synced []byte   // as of the last Sync
	writes []memOp  // since
	names  memNames // a directory's entries
	saved  memNames // as of the last SyncDir
	moves  []memMove
}

type memNames map[string]*memNode

// memOp is a write, or a truncation if data is nil.
type memOp struct {
	off  int64
	data []byte
}

// memMove is one change of a directory: of a name to a node, or its removal, or both for a rename.
type memMove struct {
	remove string
	add    string
	node   *memNode
}

// NewMem returns an empty filesystem.
func NewMem() *Mem { return &Mem{root: newMemDir(), locks: map[string]bool{}, total: 1 << 40} }

func newMemDir() *memNode {
	return &memNode{isDir: true, names: memNames{}, saved: memNames{}, modified: time.Now()}
}

func memErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func split(name string) []string {
	return strings.FieldsFunc(path.Clean("/"+name), func(r rune) bool { return r == '/' })
}

// find returns the node of a path, nil if there is none. The caller holds mu.
func (m *Mem) find(name string) *memNode {
	n := m.root
	for _, part := range split(name) {
		if n == nil || !n.isDir {
			return nil
		}
		n = n.names[part]
	}
	return n
}

// parent returns the directory that holds name, nil if there is none, and the last element. The caller holds mu.
func (m *Mem) parent(name string) (*memNode, string) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, ""
	}
	dir := m.find("/" + strings.Join(parts[:len(parts)-1], "/"))
	if dir == nil || !dir.isDir {
		return nil, ""
	}
	return dir, parts[len(parts)-1]
}

func (d *memNode) apply(names memNames, mv memMove) {
	if mv.remove != "" {
		delete(names, mv.remove)
	}
	if mv.add != "" {
		names[mv.add] = mv.node
	}
}

func (d *memNode) change(mv memMove) {
	d.apply(d.names, mv)
	d.moves = append(d.moves, mv)
	d.modified = time.Now()
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, memErr("open", name, fs.ErrNotExist)
	case n == nil:
		dir, base := m.parent(name)
		if dir == nil {
			return nil, memErr("open", name, fs.ErrNotExist)
		}
		n = &memNode{modified: time.Now()}
		dir.change(memMove{add: base, node: n})
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, memErr("open", name, fs.ErrExist)
	case n.isDir:
		return nil, memErr("open", name, syscall.EISDIR)
	case flag&os.O_TRUNC != 0:
		n.write(memOp{off: 0})
	}
	return &memFile{m: m, n: n, name: name, readOnly: flag&(os.O_RDWR|os.O_WRONLY) == 0}, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldDir, oldBase := m.parent(oldName)
	newDir, newBase := m.parent(newName)
	if oldDir == nil || newDir == nil || oldDir.names[oldBase] == nil {
		return memErr("rename", oldName, fs.ErrNotExist)
	}
	if oldDir != newDir {
		return memErr("rename", oldName, syscall.EXDEV)
	}
	n := oldDir.names[oldBase]
	if old := oldDir.names[newBase]; old != nil && old.isDir && len(old.names) > 0 {
		return memErr("rename", newName, syscall.ENOTEMPTY)
	}
	if oldBase != newBase {
		oldDir.change(memMove{remove: oldBase, add: newBase, node: n})
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base := m.parent(name)
	if dir == nil || dir.names[base] == nil {
		return memErr("remove", name, fs.ErrNotExist)
	}
	if n := dir.names[base]; n.isDir && len(n.names) > 0 {
		return memErr("remove", name, syscall.ENOTEMPTY)
	}
	dir.change(memMove{remove: base})
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if dir, base := m.parent(name); dir != nil && dir.names[base] != nil {
		removeTree(dir, base)
	}
	return nil
}

func removeTree(dir *memNode, base string) {
	n := dir.names[base]
	if n.isDir {
		for child := range n.names {
			removeTree(n, child)
		}
	}
	dir.change(memMove{remove: base})
}

// Mkdir implements FS.
func (m *Mem) Mkdir(name string, _ fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(name) != nil {
		return memErr("mkdir", name, fs.ErrExist)
	}
	dir, base := m.parent(name)
	if dir == nil {
		return memErr("mkdir", name, fs.ErrNotExist)
	}
	dir.change(memMove{add: base, node: newMemDir()})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	at := ""
	for _, part := range split(name) {
		at += "/" + part
		m.mu.Lock()
		n := m.find(at)
		m.mu.Unlock()
		if n == nil {
			if err := m.Mkdir(at, perm); err != nil {
				return err
			}
		} else if !n.isDir {
			return memErr("mkdir", at, syscall.ENOTDIR)
		}
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n == nil {
		return nil, memErr("readdir", name, fs.ErrNotExist)
	}
	if !n.isDir {
		return nil, memErr("readdir", name, syscall.ENOTDIR)
	}
	var out []fs.DirEntry
	for base, child := range n.names {
		out = append(out, fs.FileInfoToDirEntry(child.info(base)))
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n == nil {
		return nil, memErr("stat", name, fs.ErrNotExist)
	}
	return n.info(path.Base(name)), nil
}

// Chtimes implements FS.
func (m *Mem) Chtimes(name string, modified time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n == nil {
		return memErr("chtimes", name, fs.ErrNotExist)
	}
	n.modified = modified
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n == nil || !n.isDir {
		return memErr("sync", name, fs.ErrNotExist)
	}
	for _, mv := range n.moves {
		n.apply(n.saved, mv)
	}
	n.moves = nil
	return nil
}

// SyncAll implements FS.
func (m *Mem) SyncAll(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	syncTree(m.root)
	return nil
}

func syncTree(n *memNode) {
	n.sync()
	for _, mv := range n.moves {
		n.apply(n.saved, mv)
	}
	n.moves = nil
	for _, child := range n.names {
		syncTree(child)
	}
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	m.locks[name] = true
	return &memLock{m: m, name: name, f: f}, nil
}

type memLock struct {
	m    *Mem
	name string
	f    File
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

// Usage implements FS.
func (m *Mem) Usage(string) (total, usable int64, err error) { return m.total, m.total, nil }

func (n *memNode) info(base string) fs.FileInfo {
	return memInfo{name: base, size: int64(len(n.data)), dir: n.isDir, modified: n.modified}
}

type memInfo struct {
	name     string
	size     int64
	dir      bool
	modified time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// applyOp returns the contents after one write or truncation.
func applyOp(data []byte, op memOp) []byte {
	if op.data == nil {
		if op.off <= int64(len(data)) {
			return data[:op.off]
		}
		return append(data, make([]byte, op.off-int64(len(data)))...)
	}
	end := op.off + int64(len(op.data))
	if end > int64(len(data)) {
		data = slices.Grow(data, int(end)-len(data))
		old := len(data)
		data = data[:end]
		if op.off > int64(old) {
			clear(data[old:op.off]) // the room may hold bytes from before a truncation
		}
	}
	copy(data[op.off:], op.data)
	return data
}

func (n *memNode) write(op memOp) {
	n.data = applyOp(n.data, op)
	n.writes = append(n.writes, op)
	n.modified = time.Now()
}

type memFile struct {
	m        *Mem
	n        *memNode
	name     string
	readOnly bool
}

func (f *memFile) OS() *os.File            { return nil }
func (f *memFile) Preallocate(int64) error { return nil }
func (f *memFile) Close() error            { return nil }

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if off < 0 {
		return 0, memErr("read", f.name, fs.ErrInvalid)
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.readOnly || off < 0 {
		return 0, memErr("write", f.name, fs.ErrPermission)
	}
	if len(p) > 0 {
		f.n.write(memOp{off: off, data: slices.Clone(p)})
	}
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.readOnly || size < 0 {
		return memErr("truncate", f.name, fs.ErrPermission)
	}
	f.n.write(memOp{off: size})
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.sync()
	return nil
}

func (n *memNode) sync() {
	for _, op := range n.writes {
		n.synced = applyOp(n.synced, op)
	}
	n.writes = nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), nil
}
