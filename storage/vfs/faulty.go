package vfs

import (
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// OpKind says what an operation does.
type OpKind uint8

// The operations that Faulty asks about.
const (
	OpOpen OpKind = iota
	OpCreate
	OpRead
	OpWrite
	OpTruncate
	OpSync
	OpSyncDir
	OpRename
	OpRemove
	OpMkdir
	OpReadDir
	OpStat
	OpClose
)

var opNames = [...]string{"open", "create", "read", "write", "truncate", "sync", "syncdir", "rename", "remove", "mkdir", "readdir", "stat", "close"}

func (k OpKind) String() string { return opNames[k] }

// Changes says that the operation changes what a crash can leave.
func (k OpKind) Changes() bool {
	switch k {
	case OpCreate, OpWrite, OpTruncate, OpSync, OpSyncDir, OpRename, OpRemove, OpMkdir:
		return true
	}
	return false
}

// Op is an operation about to happen.
type Op struct {
	Kind OpKind
	Path string // the old name of a rename
	To   string // the new name of a rename
	Size int    // bytes of a read or write
}

// Fault is what to do with an operation. The zero value lets it happen.
type Fault struct {
	Err   error // returned; the operation does not happen, except for the first Short bytes of a write
	Short int   // with Err: bytes of a write that do reach the file
	Skip  bool  // report success and do nothing: a lost write, a lying fsync
}

// Faulty is a filesystem that asks Before about every operation. Before may sleep; it is called from many goroutines.
type Faulty struct {
	FS
	Before func(Op) Fault
}

// FailNth returns a Before that fails the n-th (from 1) operation for which match holds, and every later one if sticky.
func FailNth(n int64, sticky bool, err error, match func(Op) bool) func(Op) Fault {
	var seen atomic.Int64
	return func(op Op) Fault {
		if !match(op) {
			return Fault{}
		}
		if i := seen.Add(1); i == n || sticky && i > n {
			return Fault{Err: err}
		}
		return Fault{}
	}
}

// do runs an operation that is nothing but its error.
func (f *Faulty) do(op Op, run func() error) error {
	fault := f.Before(op)
	if fault.Err != nil {
		return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: fault.Err}
	}
	if fault.Skip {
		return nil
	}
	return run()
}

// OpenFile implements FS.
func (f *Faulty) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	kind := OpOpen
	if flag&os.O_CREATE != 0 {
		kind = OpCreate
	}
	if fault := f.Before(Op{Kind: kind, Path: name}); fault.Err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fault.Err}
	}
	file, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}

// Rename implements FS.
func (f *Faulty) Rename(oldName, newName string) error {
	return f.do(Op{Kind: OpRename, Path: oldName, To: newName}, func() error { return f.FS.Rename(oldName, newName) })
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	return f.do(Op{Kind: OpRemove, Path: name}, func() error { return f.FS.Remove(name) })
}

// RemoveAll implements FS.
func (f *Faulty) RemoveAll(name string) error {
	return f.do(Op{Kind: OpRemove, Path: name}, func() error { return f.FS.RemoveAll(name) })
}

// Mkdir implements FS.
func (f *Faulty) Mkdir(name string, perm fs.FileMode) error {
	return f.do(Op{Kind: OpMkdir, Path: name}, func() error { return f.FS.Mkdir(name, perm) })
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(name string, perm fs.FileMode) error {
	return f.do(Op{Kind: OpMkdir, Path: name}, func() error { return f.FS.MkdirAll(name, perm) })
}

// ReadDir implements FS.
func (f *Faulty) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = f.do(Op{Kind: OpReadDir, Path: name}, func() error { entries, err = f.FS.ReadDir(name); return err })
	return entries, err
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (info fs.FileInfo, err error) {
	err = f.do(Op{Kind: OpStat, Path: name}, func() error { info, err = f.FS.Stat(name); return err })
	return info, err
}

// Chtimes implements FS.
func (f *Faulty) Chtimes(name string, modified time.Time) error { return f.FS.Chtimes(name, modified) }

// SyncDir implements FS.
func (f *Faulty) SyncDir(name string) error {
	return f.do(Op{Kind: OpSyncDir, Path: name}, func() error { return f.FS.SyncDir(name) })
}

// SyncAll implements FS.
func (f *Faulty) SyncAll(name string) error {
	return f.do(Op{Kind: OpSync, Path: name}, func() error { return f.FS.SyncAll(name) })
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (io.Closer, error) { return f.FS.Lock(name) }

type faultyFile struct {
	File
	fs   *Faulty
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.fs.do(Op{Kind: OpRead, Path: f.name, Size: len(p)}, func() error { n, err = f.File.ReadAt(p, off); return err })
	return n, err
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	fault := f.fs.Before(Op{Kind: OpWrite, Path: f.name, Size: len(p)})
	if fault.Err != nil {
		n := 0
		if fault.Short > 0 {
			n, _ = f.File.WriteAt(p[:min(fault.Short, len(p))], off)
		}
		return n, &fs.PathError{Op: "write", Path: f.name, Err: fault.Err}
	}
	if fault.Skip {
		return len(p), nil
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Truncate(size int64) error {
	return f.fs.do(Op{Kind: OpTruncate, Path: f.name}, func() error { return f.File.Truncate(size) })
}

func (f *faultyFile) Sync() error {
	return f.fs.do(Op{Kind: OpSync, Path: f.name}, f.File.Sync)
}

func (f *faultyFile) Close() error {
	err := f.fs.do(Op{Kind: OpClose, Path: f.name}, func() error { return nil })
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	return err
}
