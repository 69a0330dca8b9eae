package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

//go:generate go run ./internal/schemagen

// kmsg sizes its slices by the array counts of a request, which it compares only with the number of bytes left: an element of one byte
// on the wire may take 200 in memory, arrays nest, and a count of tagged fields is not compared with anything. CheckCounts walks a request
// first, without allocating, and refuses what is not there or would take too much memory.

const (
	// A request may decode to decodedBase + decodedRatio times its size, at most to maxDecoded.
	decodedBase  = 4 << 20
	decodedRatio = 8
	maxDecoded   = 512 << 20

	tagMemory    = 64 // an entry of the map of unknown tagged fields
	stringMemory = 16 // a string header behind a pointer
)

// schemaField is a field of a request as schemagen found it.
type schemaField struct {
	first, last int16 // versions that have it
	tag         int16 // -1 for none
	kind        schemaKind
	nonNull     bool   // strings
	size        uint8  // kindFixed
	memory      uint32 // of an array's element, decoded
	elem        *schemaField
	fields      []schemaField
}

type schemaKind uint8

const (
	kindFixed schemaKind = iota
	kindString
	kindBytes
	kindArray
	kindStruct
	kindNullableStruct
)

// step is an instruction of a compiled layout: the fields of one version, with fixed ones merged.
type step struct {
	op      opcode
	nonNull bool
	n       uint32 // opSkip: bytes; arrays: memory of an element
	program []step // arrays, nullable structs
	tags    []knownTag
}

type knownTag struct {
	tag     uint32
	program []step
}

type opcode uint8

const (
	opSkip opcode = iota
	opString
	opCompactString
	opBytes
	opCompactBytes
	opArray
	opCompactArray
	opNullableStruct
	opTags
)

type program struct {
	once  sync.Once
	steps []step
}

// programs are compiled when a version is first seen.
var programs [maxKey][32]program

var errUnknownLayout = errors.New("request layout is unknown")

// CheckCounts checks that body is a whole request of the key and version, and that it would not decode to
// much more memory than it justifies. Bytes after it are ignored, as Kafka ignores them.
func CheckCounts(key, version int16, body []byte) error {
	if key < 0 || key >= maxKey || requestSchemas[key] == nil || version < 0 || int(version) >= len(programs[key]) {
		return fmt.Errorf("key %d version %d: %w", key, version, errUnknownLayout)
	}
	p := &programs[key][version]
	p.once.Do(func() { p.steps = compile(requestSchemas[key], version, isFlexible(key, version)) })
	g := guard{left: min(decodedBase+decodedRatio*int64(len(body)), maxDecoded)}
	_, err := g.run(p.steps, body)
	return err
}

func compile(fields []schemaField, version int16, flexible bool) []step {
	var steps []step
	tags := step{op: opTags}
	for i := range fields {
		f := &fields[i]
		switch {
		case f.tag >= 0:
			if flexible {
				tags.tags = append(tags.tags, knownTag{uint32(f.tag), compileField(nil, f, version, flexible)})
			}
		case version >= f.first && version <= f.last:
			steps = compileField(steps, f, version, flexible)
		}
	}
	if flexible {
		steps = append(steps, tags)
	}
	return steps
}

func compileField(steps []step, f *schemaField, version int16, flexible bool) []step {
	op := func(plain, compact opcode) opcode {
		if flexible {
			return compact
		}
		return plain
	}
	switch f.kind {
	case kindFixed:
		if n := len(steps); n > 0 && steps[n-1].op == opSkip {
			steps[n-1].n += uint32(f.size)
			return steps
		}
		return append(steps, step{op: opSkip, n: uint32(f.size)})
	case kindString:
		return append(steps, step{op: op(opString, opCompactString), nonNull: f.nonNull})
	case kindBytes:
		return append(steps, step{op: op(opBytes, opCompactBytes)})
	case kindArray:
		s := step{op: op(opArray, opCompactArray), n: f.memory}
		if f.elem != nil {
			s.program = compileField(nil, f.elem, version, flexible)
		} else {
			s.program = compile(f.fields, version, flexible)
		}
		return append(steps, s)
	case kindStruct:
		return append(steps, compile(f.fields, version, flexible)...)
	case kindNullableStruct:
		return append(steps, step{op: opNullableStruct, n: f.memory, program: compile(f.fields, version, flexible)})
	}
	panic(fmt.Sprintf("wire: kind %d of a schema", f.kind))
}

var (
	errGuardShort  = errors.New("request is cut short")
	errGuardCount  = errors.New("array count is larger than the request")
	errGuardNull   = errors.New("null where a value is required")
	errGuardMemory = errors.New("request would decode to far more memory than its size")
)

// guard is one check; left is the memory that may still be taken.
type guard struct{ left int64 }

func (g *guard) run(steps []step, p []byte) (rest []byte, err error) {
	for i := range steps {
		s := &steps[i]
		switch s.op {
		case opSkip:
			if uint64(len(p)) < uint64(s.n) {
				return nil, errGuardShort
			}
			p = p[s.n:]
		case opString:
			if len(p) < 2 {
				return nil, errGuardShort
			}
			n := int(int16(binary.BigEndian.Uint16(p)))
			p = p[2:]
			if n < 0 {
				if s.nonNull || n < -1 {
					return nil, errGuardNull
				}
				continue
			}
			if n > len(p) {
				return nil, errGuardShort
			}
			p = p[n:]
			g.left -= stringMemory
		case opBytes:
			if len(p) < 4 {
				return nil, errGuardShort
			}
			n := int32(binary.BigEndian.Uint32(p))
			p = p[4:]
			if n < 0 {
				continue
			}
			if int(n) > len(p) {
				return nil, errGuardShort
			}
			p = p[n:]
		case opCompactString, opCompactBytes:
			v, n := uvarint(p)
			if n == 0 {
				return nil, errGuardShort
			}
			p = p[n:]
			if v == 0 {
				if s.nonNull {
					return nil, errGuardNull
				}
				continue
			}
			if uint64(v-1) > uint64(len(p)) {
				return nil, errGuardShort
			}
			p = p[v-1:]
			g.left -= stringMemory
		case opArray:
			if len(p) < 4 {
				return nil, errGuardShort
			}
			n := int32(binary.BigEndian.Uint32(p))
			if n <= 0 {
				p = p[4:]
				continue
			}
			if p, err = g.array(s, p[4:], uint32(n)); err != nil {
				return nil, err
			}
		case opCompactArray:
			v, n := uvarint(p)
			if n == 0 {
				return nil, errGuardShort
			}
			if v <= 1 {
				p = p[n:]
				continue
			}
			if p, err = g.array(s, p[n:], v-1); err != nil {
				return nil, err
			}
		case opNullableStruct:
			if len(p) < 1 {
				return nil, errGuardShort
			}
			present := int8(p[0]) >= 0
			p = p[1:]
			if present {
				if p, err = g.run(s.program, p); err != nil {
					return nil, err
				}
			}
		case opTags:
			if len(p) > 0 && p[0] == 0 {
				p = p[1:]
			} else if p, err = g.tags(s, p); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// array checks n elements. kmsg allocates them all before it reads the first, so the memory is counted first.
func (g *guard) array(s *step, p []byte, n uint32) (rest []byte, err error) {
	if uint64(n) > uint64(len(p)) {
		return nil, errGuardCount
	}
	if g.left -= int64(n) * int64(s.n); g.left < 0 {
		return nil, errGuardMemory
	}
	if len(s.program) == 1 && s.program[0].op == opSkip { // fixed size
		size := uint64(n) * uint64(s.program[0].n)
		if size > uint64(len(p)) {
			return nil, errGuardCount
		}
		return p[size:], nil
	}
	for range n {
		if p, err = g.run(s.program, p); err != nil {
			return nil, err
		}
	}
	if g.left < 0 {
		return nil, errGuardMemory
	}
	return p, nil
}

func (g *guard) tags(s *step, p []byte) (rest []byte, err error) {
	count, n := uvarint(p)
	if n == 0 || uint64(count)*2 > uint64(len(p)-n) {
		return nil, errTags
	}
	if g.left -= int64(count) * tagMemory; g.left < 0 {
		return nil, errGuardMemory
	}
	p = p[n:]
	for range count {
		tag, n := uvarint(p)
		if n == 0 {
			return nil, errTags
		}
		p = p[n:]
		size, n := uvarint(p)
		if n == 0 || uint64(size) > uint64(len(p)-n) {
			return nil, errTags
		}
		field := p[n : n+int(size)]
		p = p[n+int(size):]
		for i := range s.tags {
			if s.tags[i].tag == tag {
				if _, err := g.run(s.tags[i].program, field); err != nil {
					return nil, err
				}
			}
		}
	}
	return p, nil
}
