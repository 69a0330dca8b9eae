package storage

import (
	"encoding/binary"
	"fmt"
	"io"
	"sort"
	"sync"
)

// Sizes of index entries.
//
//	.index      8 bytes {last offset of the batch - base offset int32, position of the batch int32}
//	.timeindex 12 bytes {largest timestamp so far int64, last offset of its batch - base offset int32}
//
// An entry is added when more than index.interval.bytes were appended since the last one, so not every batch has one.
// Both columns of .index ascend strictly, so do the timestamps of .timeindex.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12
)

// indexPage is how much of an index file a lookup reads at once, and how many bytes of new entries are kept back before they
// are written in one go. A multiple of both entry sizes.
const indexPage = 4080

// sparseIndex is one index file of fixed-size entries whose first column ascends. New entries collect in tail; everything else is in the file and
// read as needed: nothing is mapped, since an I/O error or a truncation under a map kills the process. Kafka's preallocation is
// not imitated. The entries in tail are lost in a crash, after which recovery rebuilds the index anyway.
//
// mu guards count and tail and is a leaf. The file's entries below count change only by truncation, which lookups detect
// afterwards (Log.generation).
type sparseIndex struct {
	file      lazyFile
	entrySize int
	count     int    // entries in the file
	tail      []byte // entries after them

	pageMu    sync.Mutex // leaf, held over one read of a page
	page      []byte     // cached entries from pageStart on
	pageStart int
}

// key is the column that lookups go by: the relative offset or the timestamp.
func (x *sparseIndex) key(entry []byte) int64 {
	if x.entrySize == offsetEntrySize {
		return int64(int32(binary.BigEndian.Uint32(entry)))
	}
	return int64(binary.BigEndian.Uint64(entry))
}

// value is the other one: the position or the relative offset.
func (x *sparseIndex) value(entry []byte) int64 {
	if x.entrySize == offsetEntrySize {
		return int64(int32(binary.BigEndian.Uint32(entry[4:])))
	}
	return int64(int32(binary.BigEndian.Uint32(entry[8:])))
}

// len is the number of entries. The caller holds segmentIndex.mu.
func (x *sparseIndex) lenLocked() int { return x.count + len(x.tail)/x.entrySize }

// addLocked appends an entry. The caller holds segmentIndex.mu and calls writeTailLocked when tailFull.
func (x *sparseIndex) addLocked(key, value int64) {
	if x.entrySize == offsetEntrySize {
		x.tail = binary.BigEndian.AppendUint32(x.tail, uint32(key))
		x.tail = binary.BigEndian.AppendUint32(x.tail, uint32(value))
		return
	}
	x.tail = binary.BigEndian.AppendUint64(x.tail, uint64(key))
	x.tail = binary.BigEndian.AppendUint32(x.tail, uint32(value))
}

func (x *sparseIndex) tailFull() bool { return len(x.tail) >= indexPage }

// writeTailLocked moves tail to the file.
func (x *sparseIndex) writeTailLocked() error {
	if len(x.tail) == 0 {
		return nil
	}
	r, err := x.file.acquire(true)
	if err != nil {
		return err
	}
	defer r.release()
	if _, err := r.f.WriteAt(x.tail, int64(x.count*x.entrySize)); err != nil {
		return err
	}
	x.count += len(x.tail) / x.entrySize
	x.tail = x.tail[:0]
	return nil
}

// entryLocked copies entry i to buf.
func (x *sparseIndex) entryLocked(i int, buf *[timeEntrySize]byte) ([]byte, error) {
	e := buf[:x.entrySize]
	if i >= x.count {
		copy(e, x.tail[(i-x.count)*x.entrySize:])
		return e, nil
	}
	return e, x.readAt(e, i)
}

func (x *sparseIndex) readAt(p []byte, i int) error {
	r, err := x.file.acquire(false)
	if err != nil {
		return &readError{err}
	}
	defer r.release()
	if n, err := r.f.ReadAt(p, int64(i*x.entrySize)); n < len(p) {
		if err == nil || err == io.EOF {
			return corruptFile(x.file.path(), "it ends before entry %d", i+len(p)/x.entrySize)
		}
		return &readError{err}
	}
	return nil
}

// by names a column of an entry.
type by func(x *sparseIndex, entry []byte) int64

func byKey(x *sparseIndex, e []byte) int64   { return x.key(e) }
func byValue(x *sparseIndex, e []byte) int64 { return x.value(e) }

// floor returns the last entry whose column col is at most target. count is x.count as read under segmentIndex.mu, which is not held: the tail has been
// looked at already.
func (x *sparseIndex) floor(count int, target int64, col by) (key, value int64, ok bool, err error) {
	if count == 0 {
		return 0, 0, false, nil
	}
	x.pageMu.Lock()
	defer x.pageMu.Unlock()
	perPage := indexPage / x.entrySize
	cached := len(x.page) / x.entrySize
	// Sequential readers stay on one page for long.
	if cached == 0 || col(x, x.page) > target || x.pageStart+cached < count && col(x, x.page[(cached-1)*x.entrySize:]) <= target {
		var buf [timeEntrySize]byte
		var readErr error
		pages := (count + perPage - 1) / perPage
		i := sort.Search(pages, func(i int) bool { // the first page that begins above target
			if readErr != nil {
				return true
			}
			e := buf[:x.entrySize]
			readErr = x.readAt(e, i*perPage)
			return readErr != nil || col(x, e) > target
		})
		if readErr != nil {
			return 0, 0, false, readErr
		}
		if i == 0 {
			return 0, 0, false, nil
		}
		start := (i - 1) * perPage
		n := min(perPage, count-start)
		if cap(x.page) == 0 {
			x.page = make([]byte, 0, indexPage)
		}
		x.page = x.page[:n*x.entrySize]
		x.pageStart = start
		if err := x.readAt(x.page, start); err != nil {
			x.page = x.page[:0]
			return 0, 0, false, err
		}
		cached = n
	}
	key, value, ok = x.search(x.page, target, col)
	return key, value, ok, nil
}

// search returns the last of some entries whose column is at most target.
func (x *sparseIndex) search(entries []byte, target int64, col by) (key, value int64, ok bool) {
	n := len(entries) / x.entrySize
	i := sort.Search(n, func(i int) bool { return col(x, entries[i*x.entrySize:]) > target })
	if i == 0 {
		return 0, 0, false
	}
	e := entries[(i-1)*x.entrySize:]
	return x.key(e), x.value(e), true
}

// dropPage forgets the cached page.
func (x *sparseIndex) dropPage() {
	x.pageMu.Lock()
	defer x.pageMu.Unlock()
	x.page = x.page[:0]
}

// truncateLocked keeps the first n entries, in memory and in the file.
func (x *sparseIndex) truncateLocked(n int) error {
	if n >= x.count {
		x.tail = x.tail[:(n-x.count)*x.entrySize]
		return nil
	}
	x.tail = x.tail[:0]
	r, err := x.file.acquire(true)
	if err != nil {
		return err
	}
	defer r.release()
	x.count = n
	err = r.f.Truncate(int64(n * x.entrySize))
	x.dropPage() // after it: a lookup under way may have cached what goes
	return err
}

// countBelowLocked is how many entries have a column below bound.
func (x *sparseIndex) countBelowLocked(bound int64, col by) (int, error) {
	var buf [timeEntrySize]byte
	var readErr error
	n := sort.Search(x.lenLocked(), func(i int) bool {
		if readErr != nil {
			return true
		}
		e, err := x.entryLocked(i, &buf)
		readErr = err
		return err != nil || col(x, e) >= bound
	})
	return n, readErr
}

// checkSize tells the number of entries from the size of a file.
func (x *sparseIndex) checkSize(size int64) (int, error) {
	if size%int64(x.entrySize) != 0 {
		return 0, fmt.Errorf("%d bytes are not a whole number of entries", size)
	}
	return int(size / int64(x.entrySize)), nil
}
