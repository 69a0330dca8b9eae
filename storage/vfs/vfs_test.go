package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Both filesystems must do the same.
func TestFilesystems(t *testing.T) {
	for name, fsys := range map[string]FS{"os": OS, "mem": NewMem(), "faulty": &Faulty{FS: NewMem(), Before: func(Op) Fault { return Fault{} }}} {
		t.Run(name, func(t *testing.T) {
			dir := "/d"
			if name == "os" {
				dir = filepath.Join(t.TempDir(), "d")
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(fsys.MkdirAll(dir+"/x/y", 0o755))
			must(fsys.MkdirAll(dir+"/x/y", 0o755))
			if err := fsys.Mkdir(dir+"/x", 0o755); !errors.Is(err, fs.ErrExist) {
				t.Errorf("mkdir of what exists: %v", err)
			}
			if _, err := fsys.OpenFile(dir+"/f", os.O_RDWR, 0); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open of what does not exist: %v", err)
			}
			f, err := fsys.OpenFile(dir+"/f", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
			must(err)
			_, err = f.WriteAt([]byte("hello"), 3)
			must(err)
			must(f.Sync())
			must(f.Preallocate(1 << 16))
			if n, err := f.Size(); n != 8 || err != nil {
				t.Errorf("size %d, %v", n, err)
			}
			p := make([]byte, 10)
			if n, err := f.ReadAt(p, 0); n != 8 || err != io.EOF || !bytes.Equal(p[:8], []byte("\x00\x00\x00hello")) {
				t.Errorf("%d %v %q", n, err, p)
			}
			must(f.Truncate(4))
			must(f.Truncate(6))
			_, err = f.ReadAt(p[:6], 0)
			must(err)
			if !bytes.Equal(p[:6], []byte("\x00\x00\x00h\x00\x00")) {
				t.Errorf("after truncation %q", p[:6])
			}
			if (f.OS() != nil) != (name == "os") {
				t.Error("OS()")
			}
			must(fsys.Rename(dir+"/f", dir+"/g"))
			if _, err := f.WriteAt([]byte("z"), 0); err != nil {
				t.Errorf("write after rename: %v", err)
			}
			must(f.Close())
			got, err := ReadFile(fsys, dir+"/g", 100)
			must(err)
			if string(got) != "z\x00\x00h\x00\x00" {
				t.Errorf("%q", got)
			}
			if _, err := ReadFile(fsys, dir+"/g", 3); !errors.Is(err, syscall.EFBIG) {
				t.Errorf("a file above the limit: %v", err)
			}
			must(WriteFile(fsys, dir+"/g", []byte("new"), true))
			when := time.UnixMilli(1_600_000_000_000)
			must(fsys.Chtimes(dir+"/g", when))
			st, err := fsys.Stat(dir + "/g")
			must(err)
			if st.Size() != 3 || !st.ModTime().Equal(when) || st.IsDir() {
				t.Errorf("%+v", st)
			}
			entries, err := fsys.ReadDir(dir)
			must(err)
			if len(entries) != 2 || entries[0].Name() != "g" || entries[1].Name() != "x" || !entries[1].IsDir() {
				t.Errorf("%v", entries)
			}
			must(fsys.SyncDir(dir))
			must(fsys.SyncAll(dir))
			must(SyncFile(fsys, dir+"/g"))
			if err := fsys.Remove(dir + "/x"); err == nil {
				t.Error("removed a directory that is not empty")
			}
			must(fsys.RemoveAll(dir + "/x"))
			must(fsys.RemoveAll(dir + "/x"))
			must(fsys.Remove(dir + "/g"))
			if err := fsys.Remove(dir + "/g"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v", err)
			}
			lock, err := fsys.Lock(dir + "/.lock")
			must(err)
			if _, err := fsys.Lock(dir + "/.lock"); !errors.Is(err, ErrLocked) {
				t.Errorf("second lock: %v", err)
			}
			must(lock.Close())
			lock, err = fsys.Lock(dir + "/.lock")
			must(err)
			must(lock.Close())
			if total, usable, err := fsys.Usage(dir); total <= 0 || usable < 0 || err != nil {
				t.Error(total, usable, err)
			}
		})
	}
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for mode := LoseUnsynced; mode <= KeepAll; mode++ {
		seen := map[string]bool{}
		for range 300 {
			m := NewMem()
			_ = m.MkdirAll("/d", 0o755)
			_ = WriteFile(m, "/d/a", []byte("old"), true)
			_ = m.SyncAll("/")
			f, _ := m.OpenFile("/d/a", os.O_RDWR, 0)
			_, _ = f.WriteAt([]byte("NEW"), 0)
			_ = m.Rename("/d/a", "/d/b")
			_ = WriteFile(m, "/d/c", []byte("c"), true)
			c := m.CrashClone(mode, rnd)
			state := ""
			entries, _ := c.ReadDir("/d")
			for _, x := range entries {
				p, _ := ReadFile(c, "/d/"+x.Name(), 100)
				state += x.Name() + "=" + string(p) + " "
			}
			seen[state] = true
		}
		want := map[CrashMode][]string{
			LoseUnsynced: {"a=old "},
			KeepAll:      {"b=NEW c=c "},
		}[mode]
		for _, s := range want {
			if !seen[s] || len(seen) != len(want) {
				t.Errorf("%s: %v", mode, seen)
			}
		}
		if want == nil && (len(seen) < 4 || !seen["a=old "] || !seen["b=NEW c=c "] || seen["a=old b=old "]) {
			t.Errorf("%s: %v", mode, seen)
		}
	}
}

func TestCrashLosesUnsyncedNames(t *testing.T) {
	m := NewMem()
	_ = m.Mkdir("/d", 0o755)
	_ = m.SyncDir("/")
	_ = WriteFile(m, "/d/a", []byte("a"), true)
	if c := m.CrashClone(LoseUnsynced, nil); len(must(c.ReadDir("/d"))) != 0 {
		t.Error("a name that was not synced is there")
	}
	_ = m.SyncDir("/d")
	c := m.CrashClone(LoseUnsynced, nil)
	if p, err := ReadFile(c, "/d/a", 10); err != nil || string(p) != "a" {
		t.Errorf("%q %v", p, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestFaulty(t *testing.T) {
	m := NewMem()
	f := &Faulty{FS: m, Before: FailNth(2, false, syscall.EIO, func(op Op) bool { return op.Kind == OpWrite })}
	for i, want := range []error{nil, syscall.EIO, nil} {
		if err := WriteFile(f, "/a", []byte("abc"), false); !errors.Is(err, want) {
			t.Errorf("write %d: %v, want %v", i, err, want)
		}
	}
	f.Before = func(op Op) Fault {
		if op.Kind == OpWrite {
			return Fault{Err: syscall.ENOSPC, Short: 2}
		}
		return Fault{}
	}
	if err := WriteFile(f, "/b", []byte("abc"), false); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if p := must(ReadFile(m, "/b", 10)); string(p) != "ab" {
		t.Errorf("a short write left %q", p)
	}
	f.Before = func(op Op) Fault { return Fault{Skip: op.Kind == OpSync} }
	if err := WriteFile(f, "/c", []byte("abc"), true); err != nil {
		t.Fatal(err)
	}
	if p := m.find("/c").synced; len(p) != 0 {
		t.Error("a sync that was skipped happened")
	}
}
