package behaviour

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is one connection to the broker.
type conn struct {
	nc          net.Conn
	correlation int32
}

var (
	errClosed = errors.New("connection closed by the broker")
	errSilent = errors.New("no answer")
)

// answerLimit is how long an answer may take: longer than any wait that a case asks for, on a busy machine.
const answerLimit = 20 * time.Second

// maxAnswer bounds an answer: more would be garbage.
const maxAnswer = 64 << 20

func dial(addr string) (*conn, error) {
	nc, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{nc: nc}, nil
}

// frame puts the length in front of a payload.
func frame(payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

// header is a request header; version 2 (flexible) ends with no tags, version 0 has no client id.
func header(key, version int16, correlation int32, clientID *string, flexible bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	if key == 7 && version == 0 {
		return b
	}
	if clientID == nil {
		b = append(b, 0xff, 0xff)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(*clientID)))
		b = append(b, *clientID...)
	}
	if flexible {
		b = append(b, 0)
	}
	return b
}

// send writes a request at its version.
func (c *conn) send(req kmsg.Request, clientID *string) error {
	c.correlation++
	return c.write(frame(req.AppendTo(header(req.Key(), req.GetVersion(), c.correlation, clientID, req.IsFlexible()))))
}

func (c *conn) write(b []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return errClosed
	}
	return err
}

// payload reads one frame; errClosed and errSilent are answers, too.
func (c *conn) payload(limit time.Duration) ([]byte, error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return nil, readError(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxAnswer {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.nc, b); err != nil {
		return nil, fmt.Errorf("in the middle of an answer of %d bytes: %w", n, readError(err))
	}
	return b, nil
}

func readError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSilent
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return errClosed
	}
	return err
}

// receive reads the answer to the last request sent into resp. Fields beyond the version, or bytes that do not belong to the
// answer, are errors.
func (c *conn) receive(resp kmsg.Response, limit time.Duration) error {
	b, err := c.payload(limit)
	if err != nil {
		return err
	}
	if len(b) < 4 {
		return fmt.Errorf("answer of %d bytes has no correlation id", len(b))
	}
	if id := int32(binary.BigEndian.Uint32(b)); id != c.correlation {
		return fmt.Errorf("answer has correlation id %d, the request %d", id, c.correlation)
	}
	b = b[4:]
	if resp.IsFlexible() && resp.Key() != 18 {
		if len(b) == 0 || b[0] != 0 {
			return fmt.Errorf("the answer's header has tags: % x", b[:min(len(b), 16)])
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		return fmt.Errorf("answer cannot be decoded: %w: % x", err, b[:min(len(b), 64)])
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, b) {
		return fmt.Errorf("answer of %d bytes encodes to %d", len(b), len(again))
	}
	return nil
}
