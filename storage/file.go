package storage

import (
	"errors"
	"io/fs"
	"path"

	"ottla/storage/vfs"
)

// Small text and binary files are read whole; none of ours comes near this.
const maxSmallFile = 256 << 20

// replaceFile puts data in the place of a file, which then has either the old or the new contents, whatever happens:
// <name>.tmp, fsync, rename, fsync of the directory. With sync false the two fsyncs are left out, and a power cut may leave
// the old contents, the new ones or garbage: the reader must be able to tell.
func replaceFile(fsys vfs.FS, name string, data []byte, sync bool) error {
	tmp := name + ".tmp"
	if err := vfs.WriteFile(fsys, tmp, data, sync); err != nil {
		return errors.Join(err, ignoreNotExist(fsys.Remove(tmp)))
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	if !sync {
		return nil
	}
	return fsys.SyncDir(path.Dir(name))
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
