package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// heldBlock is the part of memory of which holdMemory keeps one page: small enough that no two free neighbours make a block that a guest
// reports (2 MiB on x86-64).
const heldBlock = 512 << 10

// holdMemory keeps the machine's memory in use for as long as this process lives: it touches size bytes, and then gives all of them back but
// one page in each heldBlock; 0 does nothing. On a virtual machine whose host takes free memory back (free page reporting), the first use of
// such a page is a fault that the host serves, and writing a file costs up to ten times the CPU, now and then; a host takes whole blocks only,
// and there are none any more.
func holdMemory(size int64) error {
	if size -= size % heldBlock; size <= 0 {
		return nil
	}
	m, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("hold %d bytes of memory: %w", size, err)
	}
	if err := unix.Madvise(m, unix.MADV_NOHUGEPAGE); err != nil {
		return fmt.Errorf("hold %d bytes of memory: %w", size, err)
	}
	page := os.Getpagesize()
	for at := 0; at < len(m); at += page {
		m[at] = 1
	}
	for at := 0; at < len(m); at += heldBlock {
		if err := unix.Madvise(m[at+page:at+heldBlock], unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("hold %d bytes of memory: %w", size, err)
		}
	}
	return nil
}
