package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// FS is a filesystem. Errors are those of package os: errors.Is with fs.ErrNotExist and fs.ErrExist works.
type FS interface {
	// OpenFile opens a file; flag is a combination of os.O_RDONLY, O_RDWR, O_CREATE, O_EXCL and O_TRUNC.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename replaces newName, atomically. Durable only after SyncDir of the directory.
	Rename(oldName, newName string) error
	Remove(name string) error
	// RemoveAll removes a tree; a missing one is no error.
	RemoveAll(name string) error
	Mkdir(name string, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// Chtimes sets the modification time.
	Chtimes(name string, modified time.Time) error
	// SyncDir makes the names in a directory durable: creations, renames and removals.
	SyncDir(name string) error
	// SyncAll makes everything on the volume that holds name durable, names and contents, in one go.
	SyncAll(name string) error
	// Lock takes an exclusive lock that lives until Close or the end of the process, on a file that it creates.
	// It fails at once, with ErrLocked, if another process or another part of this one has it.
	Lock(name string) (io.Closer, error)
	// Usage says how large the volume that holds name is, and how much of it an unprivileged user can still fill.
	Usage(name string) (total, usable int64, err error)
}

// File is an open file. ReadAt and WriteAt follow io.ReaderAt and io.WriterAt.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Sync makes the contents and the size durable, as fdatasync does. The name needs FS.SyncDir.
	Sync() error
	Size() (int64, error)
	// Preallocate reserves room for size bytes without changing the file's size, where the filesystem can.
	Preallocate(size int64) error
	// OS is the operating system's file for sendfile, nil if there is none.
	OS() *os.File
}

// ErrLocked is returned by Lock when the lock is taken.
var ErrLocked = errors.New("locked by another process")

// ReadFile returns the contents of a file. It refuses files larger than limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EFBIG}
	}
	p := make([]byte, size)
	n, err := f.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return p[:n], nil
}

// WriteFile creates or replaces a file, not atomically, and syncs its contents if sync is set.
func WriteFile(fsys FS, name string, data []byte, sync bool) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncFile opens a file to make its contents durable.
func SyncFile(fsys FS, name string) error {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
