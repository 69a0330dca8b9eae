package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// heldBlock is the part of memory of which holdMemory keeps one page: small enough that no two free neighbours make a block that a guest
// reports (2 MiB on x86-64).
const heldBlock = 512 << 10

// holdMemory keeps the machine's memory in use for as long as this process lives: it touches size bytes, and then gives all of them back but
// one locked page in each heldBlock; 0 does nothing. On a virtual machine whose host takes free memory back (free page reporting), the first use
// of such a page is a fault that the host serves, and writing a file costs up to ten times the CPU, now and then; a host takes whole blocks only,
// and there are none any more, unless the kernel moves the kept pages together: see compactionNote. Locking takes root, or a limit on locked memory
// (RLIMIT_MEMLOCK) above size.
func holdMemory(ctx context.Context, size int64) error {
	if size -= size % heldBlock; size <= 0 {
		return nil
	}
	failed := func(err error) error { return fmt.Errorf("hold %d bytes of memory: %w", size, err) }
	m, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return failed(err)
	}
	if err := unix.Madvise(m, unix.MADV_NOHUGEPAGE); err != nil {
		return failed(err)
	}
	page := os.Getpagesize()
	for at := 0; at < len(m); at += page {
		m[at] = 1
		if at%heldBlock == 0 && ctx.Err() != nil {
			return failed(ctx.Err())
		}
	}
	for at := 0; at < len(m); at += heldBlock {
		if err := unix.Madvise(m[at+page:at+heldBlock], unix.MADV_DONTNEED); err != nil {
			return failed(err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MLOCK_ONFAULT); errno != 0 {
		return failed(fmt.Errorf("lock what is kept: %w", errno))
	}
	return nil
}

// compactionNote says which of the kernel's settings let it move held pages, also locked ones, to make free blocks: in the background, and
// always after a program has asked for a block that there is not. Empty if none does.
func compactionNote() string {
	var set []string
	for _, name := range []string{"compaction_proactiveness", "compact_unevictable_allowed"} {
		text, err := os.ReadFile("/proc/sys/vm/" + name)
		if v := strings.TrimSpace(string(text)); err == nil && v != "0" {
			set = append(set, "vm."+name+"="+v)
		}
	}
	if set == nil {
		return ""
	}
	return "-hold: with " + strings.Join(set, " and ") + " the kernel puts together again what is held apart; 0 keeps it from that"
}
